/** Operations that save a guest's memory and bring it back, and their inputs (see operations.ts). */
import type { Descriptor, Lock } from './operation.js'

const onPower = (i: { serverId: string; diskIds: string[] }): Lock[] => [
  `power:${i.serverId}`,
  ...i.diskIds.map((id): Lock => `chain:${id}`),
]

/** Managed save: memory goes to a file, QEMU ends. */
export interface SaveServerInput {
  serverId: string
  /** The server's disks at acceptance, for the chain locks. */
  diskIds: string[]
  /** Row `planned`. */
  memoryStateId: string
  /** What the server is called then: Nova's suspend, or stopped with a saved state. */
  becomes: 'suspended' | 'stopped'
}
export const saveServer: Descriptor<SaveServerInput> = {
  name: 'save-server',
  version: 1,
  subject: (i) => ({ type: 'server', id: i.serverId }),
  locks: onPower,
}

/** The server goes on from its saved memory. */
export interface RestoreServerInput {
  serverId: string
  diskIds: string[]
  memoryStateId: string
}
export const restoreServer: Descriptor<RestoreServerInput> = {
  name: 'restore-server',
  version: 1,
  subject: (i) => ({ type: 'server', id: i.serverId }),
  locks: onPower,
}

/** The saved memory is given up; the next start is one from power-off. */
export interface DiscardSavedInput {
  serverId: string
  diskIds: string[]
  memoryStateId: string
}
export const discardSaved: Descriptor<DiscardSavedInput> = {
  name: 'discard-saved',
  version: 1,
  subject: (i) => ({ type: 'server', id: i.serverId }),
  locks: onPower,
}
