/**
 * Changing a format node in place. A reopen repeats every option, also those that stay; and it flushes the
 * node with all the metadata QEMU holds in its own memory, which no command does by itself.
 */
import { refused } from '../domain/errors.js'
import { reopenable } from './block-graph.js'
import type { NamedNode, ReopenNode } from './qmp/block-types.js'
import type { QmpSession } from './qmp/session.js'

/** Makes format nodes writable, all or none. False: they all were. */
export async function makeWritable(session: QmpSession, names: readonly string[]): Promise<boolean> {
  const nodes = await reopenable(session, names)
  const missing = names.find((name) => !nodes.has(name))
  if (missing !== undefined) throw refused(`${missing} is not open`)
  const options = [...nodes].flatMap(([name, node]) => (node.ro ? [writable(name, node)] : []))
  if (options.length > 0) await session.execute('blockdev-reopen', { options })
  return options.length > 0
}

/** Of one that is not open, or read-only already, it succeeds. */
export async function makeReadOnly(session: QmpSession, name: string): Promise<void> {
  const node = (await reopenable(session, [name])).get(name)
  if (node === undefined || node.ro) return
  await session.execute('blockdev-reopen', { options: [{ ...writable(name, node), 'read-only': true }] })
}

/**
 * Brings to disk what was written through these format nodes. Never more than one's own: a reopen repeats the backing and
 * the mode it was told of, and where another job is just ending it would put back what that job took away.
 */
export async function flushNodes(session: QmpSession, names: readonly string[]): Promise<void> {
  for (const [name, node] of await reopenable(session, names))
    if (!node.ro) await session.execute('blockdev-reopen', { options: [writable(name, node)] })
}

function writable(name: string, node: NamedNode & { backing: string | null }): ReopenNode {
  const common = { 'node-name': name, file: `f-${name.slice(2)}`, discard: 'unmap', 'read-only': false } as const
  return node.drv === 'raw' ? { driver: 'raw', ...common } : { driver: 'qcow2', ...common, backing: node.backing }
}
