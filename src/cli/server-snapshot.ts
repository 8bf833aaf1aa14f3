/** A server's snapshots as the service tells them, and how they read: a line, a record, a tree. */
import { onlyOne } from './find.js'
import type { Session } from './session.js'
import { type Branch, type Cell, type Column, renderRecord, renderTable, renderTree, sizeText, timeText } from './text.js'

export interface ServerSnapshot {
  readonly id: string
  readonly name: string
  readonly description: string | null
  readonly status: string
  readonly kind: 'external' | 'internal'
  readonly memory: boolean
  readonly server_id: string
  readonly parent_id: string | null
  readonly children: readonly string[]
  readonly is_current: boolean
  readonly power_state: string | null
  readonly protected: boolean
  readonly expires_at: string | null
  readonly created_at: string
  readonly consistency: Consistency | null
  readonly memory_state: { readonly size: number | null } | null
  readonly disks: readonly DiskPart[]
}
interface Consistency {
  readonly requested: string
  readonly reached: string
  readonly degraded_reason: string | null
  readonly frozen_seconds: number | null
  readonly paused_seconds: number | null
}
interface DiskPart {
  readonly device: string
  readonly volume_id: string | null
  readonly snapshot: string
  readonly layer_id: string | null
  readonly virtual_size: number
}

export const snapshotsPath = (serverId: string): string => `/servers/${serverId}/snapshots`

export async function listSnapshots(session: Session, serverId: string, query = ''): Promise<ServerSnapshot[]> {
  const answer = await session.call<{ server_snapshots: ServerSnapshot[] }>('strata', 'GET', `${snapshotsPath(serverId)}${query}`)
  return answer.server_snapshots
}

export const findSnapshot = async (session: Session, serverId: string, nameOrId: string): Promise<ServerSnapshot> =>
  onlyOne('snapshot of the server', await listSnapshots(session, serverId), nameOrId)

const yes = (is: boolean): Cell => (is ? 'yes' : null)
const seconds = (value: number | null): Cell => (value === null ? null : `${(value * 1000).toFixed(1)} ms`)

export const COLUMNS: readonly Column<ServerSnapshot>[] = [
  ['id', (one) => one.id],
  ['name', (one) => one.name],
  ['status', (one) => one.status],
  ['kind', (one) => one.kind],
  ['memory', (one) => yes(one.memory)],
  ['consistency', (one) => one.consistency?.reached],
  ['taken', (one) => timeText(one.created_at)],
  ['current', (one) => yes(one.is_current)],
]

/** `among`: those its parent and children are named from. */
export function snapshotText(one: ServerSnapshot, among: readonly ServerSnapshot[]): string {
  const nameOf = (id: string): string => among.find((other) => other.id === id)?.name ?? id
  const record = renderRecord([
    ['id', one.id],
    ['name', one.name],
    ...(one.description === null ? [] : [['description', one.description] as const]),
    ['status', one.status],
    ['kind', one.kind],
    ['memory', one.memory ? (one.memory_state?.size == null ? 'yes' : sizeText(one.memory_state.size)) : null],
    ['server was', one.power_state],
    ['parent', one.parent_id === null ? null : nameOf(one.parent_id)],
    ['children', one.children.length === 0 ? null : one.children.map(nameOf).join(', ')],
    ['current', yes(one.is_current)],
    ['protected', yes(one.protected)],
    ...(one.expires_at === null ? [] : [['expires', timeText(one.expires_at)] as const]),
    ['taken', timeText(one.created_at)],
    ...consistencyFields(one.consistency),
  ])
  const columns: readonly Column<DiskPart>[] = [
    ['disk', (disk) => disk.device],
    ['volume', (disk) => disk.volume_id],
    ['kind', (disk) => disk.snapshot],
    ['size', (disk) => sizeText(disk.virtual_size)],
    ['layer', (disk) => disk.layer_id],
  ]
  return `${record}\n\n${renderTable(one.disks, columns)}`
}

function consistencyFields(report: Consistency | null): (readonly [string, Cell])[] {
  if (report === null) return []
  return [
    ['consistency', `${report.reached} (asked: ${report.requested})`],
    ...(report.degraded_reason === null ? [] : [['less because', report.degraded_reason] as const]),
    ...(report.frozen_seconds === null ? [] : [['frozen', seconds(report.frozen_seconds)] as const]),
    ...(report.paused_seconds === null ? [] : [['paused', seconds(report.paused_seconds)] as const]),
  ]
}

export interface SnapshotTree {
  readonly nodes: readonly TreeNode[]
  readonly present: { readonly parent: string | null; readonly disks: readonly PresentDisk[] }
}
interface PresentDisk {
  readonly device: string
  readonly disk_id: string
  readonly volume_id: string | null
  readonly depth: number
}
type TreeNode = Pick<ServerSnapshot, 'id' | 'name' | 'kind' | 'memory' | 'status' | 'protected' | 'is_current' | 'created_at'> & {
  readonly parent: string | null
}

/** The present hangs where it grew from: at the current one, or beside the roots. */
export function treeText({ nodes, present }: SnapshotTree): string {
  const depths = present.disks.map(({ device, depth }) => `${device} on ${depth === 1 ? '1 layer' : `${depth} layers`}`)
  const now: Branch = { label: ['(the present)', depths.join(', ')].join('  ').trimEnd(), children: [] }
  const below = (parent: string | null): Branch[] => [
    ...nodes.filter((node) => node.parent === parent).map((node) => ({ label: labelOf(node), children: below(node.id) })),
    ...(present.parent === parent ? [now] : []),
  ]
  return renderTree(below(null))
}

function labelOf(one: TreeNode): string {
  const kind = one.memory ? `${one.kind} with memory` : one.kind
  const marks = [one.is_current ? 'current' : '', one.protected ? 'protected' : '', one.status === 'available' ? '' : one.status]
  const marked = marks.filter((mark) => mark !== '')
  return `${one.name}  ${kind}  ${timeText(one.created_at)}${marked.length === 0 ? '' : `  [${marked.join(', ')}]`}`
}
