/**
 * The snapshots of a server as a picture: the oldest at the top, each on the line of what it grew from, and the present,
 * which is no snapshot, below the one it grew from.
 */
import type { SnapshotTree } from '../../../src/services/strata/server-snapshot-tree.js'
import { box, path, picture, text } from './svg.js'

const BOX = { width: 208, height: 66 }
const GAP = { x: 28, y: 44 }
const MARGIN = 24
const HEAD = 40
const INSIDE = BOX.width - 24

interface Node {
  readonly id: string
  readonly children: readonly Node[]
}
interface Placed {
  readonly id: string
  readonly x: number
  readonly y: number
  readonly parent: Placed | undefined
}

const PRESENT = 'the present'

export function treeSvg(tree: SnapshotTree): string {
  const { server, nodes, present } = tree
  const placed = place(rootsOf(tree))
  const at = new Map(placed.map((one) => [one.id, one]))
  const lines = placed.flatMap(({ x, y, parent }) => (parent === undefined ? [] : [line(parent, x, y)]))
  const boxes = nodes.map(({ snapshot, isCurrent }) => {
    const { x, y } = at.get(snapshot.id) ?? { x: MARGIN, y: HEAD }
    const kind = `${snapshot.kind}${snapshot.withMemory ? ', with memory' : ', disks only'}`
    const marks = [
      ...(isCurrent ? ['current'] : []),
      ...(snapshot.protected ? ['protected'] : []),
      ...(snapshot.status === 'available' ? [] : [snapshot.status]),
    ]
    return [
      box(x, y, BOX.width, BOX.height, isCurrent ? 'chosen' : 'box'),
      text({ x: x + 12, y: y + 22, text: snapshot.name, size: 14, bold: true, room: INSIDE }),
      text({ x: x + 12, y: y + 40, text: kind, look: 'faint', room: INSIDE }),
      text({
        x: x + 12,
        y: y + 56,
        text: [when(snapshot.createdAt), ...marks].join(' · '),
        look: isCurrent ? 'accent' : 'faint',
        size: 11,
        room: INSIDE,
      }),
    ].join('')
  })
  const now = at.get(PRESENT) ?? { x: MARGIN, y: HEAD }
  const disks = present.map(({ device, depth }) => `${device}: ${depth} ${depth === 1 ? 'layer' : 'layers'}`).join(', ')
  const last = [
    box(now.x, now.y, BOX.width, BOX.height, 'present'),
    text({ x: now.x + 12, y: now.y + 22, text: PRESENT, size: 14, bold: true, room: INSIDE }),
    text({ x: now.x + 12, y: now.y + 40, text: `server is ${server.vmState}`, look: 'faint', room: INSIDE }),
    text({ x: now.x + 12, y: now.y + 56, text: disks, look: 'faint', size: 11, room: INSIDE }),
  ].join('')
  const width = Math.max(...placed.map(({ x }) => x), 0) + BOX.width + MARGIN
  const height = Math.max(...placed.map(({ y }) => y), 0) + BOX.height + MARGIN
  const title = text({ x: MARGIN, y: 26, text: `Snapshots of ${server.name}`, size: 15, bold: true, room: width - 2 * MARGIN })
  return picture(`Snapshots of server ${server.name}`, width, height, [title, ...lines, ...boxes, last])
}

const when = (micros: number): string => new Date(micros / 1000).toISOString().slice(0, 16).replace('T', ' ')

/** A snapshot whose parent is not there is a root; one that is its own ancestor, which must not be, is drawn once. */
function rootsOf({ server, nodes, roots }: SnapshotTree): Node[] {
  const seen = new Set<string>()
  const children = new Map(nodes.map((node) => [node.snapshot.id, node.children]))
  const node = (id: string): Node[] => {
    if (seen.has(id)) return []
    seen.add(id)
    const present = id === server.currentSnapshotId ? [{ id: PRESENT, children: [] }] : []
    return [{ id, children: [...(children.get(id) ?? []).flatMap(node), ...present] }]
  }
  const grown = [...roots.flatMap(node), ...nodes.flatMap(({ snapshot }) => node(snapshot.id))]
  const isThere = server.currentSnapshotId !== null && seen.has(server.currentSnapshotId)
  return isThere ? grown : [...grown, { id: PRESENT, children: [] }]
}

/** Leaves side by side, whatever others grew from over the middle of those. */
function place(roots: readonly Node[]): Placed[] {
  const placed: Placed[] = []
  let leaves = 0
  const put = (node: Node, depth: number): { x: number; hang(parent: Placed | undefined): void } => {
    const y = HEAD + depth * (BOX.height + GAP.y)
    const below = node.children.map((child) => put(child, depth + 1))
    const [first, last] = [below[0], below.at(-1)]
    const x = first === undefined || last === undefined ? MARGIN + leaves++ * (BOX.width + GAP.x) : (first.x + last.x) / 2
    return {
      x,
      hang(parent) {
        const own = { id: node.id, x, y, parent }
        placed.push(own)
        for (const child of below) child.hang(own)
      },
    }
  }
  for (const root of roots) put(root, 0).hang(undefined)
  return placed
}

function line(parent: Placed, x: number, y: number): string {
  const [from, to] = [parent.x + BOX.width / 2, x + BOX.width / 2]
  const [top, middle] = [parent.y + BOX.height, y - GAP.y / 2]
  return path(`M${from} ${top}V${middle}H${to}V${y}`)
}
