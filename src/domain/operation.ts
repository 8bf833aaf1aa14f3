/**
 * Descriptors: what a service must know of an operation to enqueue it. The plan itself is code in
 * src/operations, found by name and version; services never import it.
 */

/**
 * An aspect of a resource a job needs to itself: `chain:<disk>` for graph changes, `power:<server>` around
 * start, stop and pivots, `layer:<layer>` for who may put a child on it or merge it. Locks queue, they do not refuse.
 */
export type Lock = `chain:${string}` | `power:${string}` | `layer:${string}` | `image:${string}`

export const chain = (diskId: string): Lock => `chain:${diskId}`
export const power = (serverId: string): Lock => `power:${serverId}`
export const layer = (layerId: string): Lock => `layer:${layerId}`

export interface Descriptor<I extends object> {
  readonly name: string
  readonly version: number
  /** The resource the job is about, for listing and for 409s. */
  subject(input: I): { type: 'server' | 'volume' | 'snapshot' | 'image' | 'layer' | 'server_snapshot' | 'disk'; id: string }
  /** Locks that follow from the input alone; a service may add those it reads from the tables. */
  locks(input: I): Lock[]
  /** Ends the guest's power whatever it says: of which server, and how long after it was asked for. Undefined: this one does not. */
  endsGuest?(input: I): { readonly serverId: string; readonly afterMs: number } | undefined
  /** Makes way for any other job that wants one of its locks, and goes on afterwards. */
  readonly preemptible?: boolean
}
