/**
 * What is open in a QEMU and how it hangs together. Sizes come from the flat node list (the other form grows
 * with the square of the depth); who backs whom from the graph, for file names above a protocol node turn into
 * ever longer `json:` descriptions. Filters of running block jobs (`#block…`) are looked through.
 */
import { AdapterError } from '../domain/errors.js'
import { deviceName } from '../domain/names.js'
import type { BlockNode } from '../ports/block.js'
import type { BlockGraph, NamedNode } from './qmp/block-types.js'
import type { QmpSession } from './qmp/session.js'

export async function listNodes(session: QmpSession): Promise<BlockNode[]> {
  const [named, graph] = await Promise.all([
    session.execute('query-named-block-nodes', { flat: true }),
    session.execute('x-debug-query-block-graph'),
  ])
  const backings = backingsOf(graph)
  const files = new Map(named.map((node) => [node['node-name'], node.file]))
  return named.flatMap((node) => {
    const name = node['node-name']
    if (name === undefined) return []
    return [
      {
        node: name,
        driver: node.drv,
        file: files.get(`f-${name.slice(2)}`) ?? node.file,
        backing: backings.get(name),
        virtualSize: node.image['virtual-size'],
        allocated: node.image['actual-size'] ?? 0,
        tags: (node.image.snapshots ?? []).map((snapshot) => snapshot.name),
      },
    ]
  })
}

export async function findNode(session: QmpSession, name: string): Promise<NamedNode | undefined> {
  const nodes = await session.execute('query-named-block-nodes', { flat: true })
  return nodes.find((node) => node['node-name'] === name)
}

/** The format node below a guest device, whatever block job sits in between. */
export async function topNodeOf(session: QmpSession, diskId: string): Promise<string | undefined> {
  const path = `/machine/peripheral/${deviceName(diskId)}`
  try {
    const drive = await session.execute('qom-get', { path, property: 'drive' })
    if (typeof drive !== 'string' || drive === '') return undefined
    if (!isFilter(drive)) return drive
  } catch (error) {
    if (error instanceof AdapterError && error.code === 'DeviceNotFound') return undefined
    throw error
  }
  // A filter came and may be gone again: the list of devices skips filters by itself.
  const device = (await session.execute('query-block')).find((entry) => entry.qdev === `${path}/virtio-backend`)
  return device?.inserted?.['node-name']
}

/** Our format nodes a block job works on, found through its filters. */
export async function nodesOfJob(session: QmpSession, id: string): Promise<string[]> {
  const graph = await session.execute('x-debug-query-block-graph')
  const below = new Map<number, number[]>()
  for (const { parent, child } of graph.edges) below.set(parent, [...(below.get(parent) ?? []), child])
  const names = new Map(graph.nodes.map((node) => [node.id, node.name]))
  const job = graph.nodes.find((node) => node.type === 'block-job' && node.name === id)
  const found = new Set<string>()
  const visit = (node: number): void => {
    const name = names.get(node) ?? ''
    if (isFilter(name)) for (const child of below.get(node) ?? []) visit(child)
    else if (name.startsWith('q-')) found.add(name)
  }
  for (const child of below.get(job?.id ?? -1) ?? []) visit(child)
  return [...found]
}

/** The named format nodes with what a reopen must repeat. */
export async function reopenable(
  session: QmpSession,
  names: readonly string[],
): Promise<Map<string, NamedNode & { backing: string | null }>> {
  const [named, graph] = await Promise.all([
    session.execute('query-named-block-nodes', { flat: true }),
    session.execute('x-debug-query-block-graph'),
  ])
  const backings = backingsOf(graph)
  const found = new Map<string, NamedNode & { backing: string | null }>()
  for (const node of named) {
    const name = node['node-name']
    if (name === undefined || !names.includes(name)) continue
    found.set(name, { ...node, backing: backings.get(name) ?? null })
  }
  return found
}

/** The format node whose backing is `name`: the layer a merge of `name` rewrites. */
export const overlayOf = (nodes: readonly BlockNode[], name: string): BlockNode | undefined => nodes.find((node) => node.backing === name)

const isFilter = (name: string): boolean => name.startsWith('#')

function backingsOf(graph: BlockGraph): Map<string, string> {
  const names = new Map(graph.nodes.filter((node) => node.type === 'block-driver').map((node) => [node.id, node.name]))
  const below = new Map<string, string>()
  for (const edge of graph.edges) {
    const parent = names.get(edge.parent)
    const child = names.get(edge.child)
    if (parent === undefined || child === undefined) continue
    if (edge.name === 'backing' || (isFilter(parent) && edge.name === 'file')) below.set(parent, child)
  }
  const backings = new Map<string, string>()
  for (const [parent, child] of below) {
    let real: string | undefined = child
    while (real !== undefined && isFilter(real)) real = below.get(real)
    if (real !== undefined && !isFilter(parent)) backings.set(parent, real)
  }
  return backings
}
