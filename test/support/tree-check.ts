/** Looks at what a random day of server snapshots left in a quiet service: contents against plain copies, and accounts that must agree. */
import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Content, difference } from './model.js'
import type { Tables } from './model-check.js'

const run = promisify(execFile)

/** By disk: what it holds, or held. */
export type Parts = ReadonlyMap<string, Content>

interface Looked {
  readonly tables: Tables
  readonly stateDir: string
  readonly present: Parts
  /** By server snapshot. */
  readonly kept: ReadonlyMap<string, Parts>
  readonly log: string
}

export async function inspectTrees(looked: Looked): Promise<string[]> {
  return [...(await contents(looked)), ...accounts(looked), ...logged(looked)]
}

async function contents({ tables, stateDir, present, kept }: Looked): Promise<string[]> {
  const scratch = join(stateDir, 'trees.raw')
  const { rows } = tables
  const found: string[] = []
  for (const disk of tables.disks()) {
    const content = present.get(disk.id)
    if (content === undefined || disk.path === undefined) continue
    const wrong = await difference(content, disk.path, 'qcow2', disk.size, scratch)
    if (wrong !== undefined) found.push(`disk ${disk.id}: ${wrong}`)
  }
  const held =
    rows(`SELECT d.server_snapshot_id AS id, d.disk_id, d.tag, d.virtual_size, l.file_name, l.format, p.path FROM disk_snapshots d
    JOIN server_snapshots s ON s.id = d.server_snapshot_id JOIN layers l ON l.id = d.layer_id JOIN pools p ON p.id = l.pool_id WHERE s.status = 'available'`)
  for (const part of held) {
    const content = kept.get(part['id'] ?? '')?.get(part['disk_id'] ?? '')
    const size = Number(part['virtual_size'])
    const path = join(part['path'] ?? '', part['file_name'] ?? '')
    const name = `snapshot ${part['id']} of disk ${part['disk_id']} (${part['tag'] ?? 'layer'} in ${path})`
    if (content === undefined) found.push(`${name}: nobody remembers it`)
    else {
      const view =
        part['tag'] == null ? { path, format: part['format'] ?? '' } : { path: await tagView(stateDir, path, part['tag']), format: 'raw' }
      const wrong = await difference(content, view.path, view.format, size, scratch)
      if (wrong !== undefined) found.push(`${name}: ${wrong}`)
    }
  }
  for (const id of kept.keys()) if (!held.some((part) => part['id'] === id)) found.push(`snapshot ${id} is gone, and nobody deleted it`)
  return found
}

async function tagView(stateDir: string, path: string, tag: string): Promise<string> {
  const view = join(stateDir, 'tag.raw')
  await rm(view, { force: true })
  await run('qemu-img', ['convert', '-U', '-f', 'qcow2', '-l', `snapshot.name=${tag}`, '-O', 'raw', path, view])
  return view
}

function accounts({ tables }: Looked): string[] {
  const odd = (sql: string): string[] => tables.rows(sql).map((row) => JSON.stringify(row))
  return [
    ...odd("SELECT 'snapshot', id, status FROM server_snapshots WHERE status <> 'available'"),
    ...odd(
      "SELECT 'server', id, vm_state, task_state, fault FROM servers WHERE task_state IS NOT NULL OR vm_state NOT IN ('active', 'paused', 'stopped')",
    ),
    // A merge of the background that was accepted before may have moved the very layer a commit names.
    ...odd(`SELECT 'job', id, operation, state, error FROM jobs WHERE state IN ('needs_attention', 'failed')
      AND NOT (operation = 'commit-chain' AND state = 'failed' AND error LIKE '%is not below the top layer%')`),
    ...odd('SELECT * FROM job_locks'),
    // One whose merge made way for an internal snapshot of the layer above it waits until that is deleted.
    ...odd(`SELECT 'layer', id, state FROM layers l WHERE state NOT IN ('top', 'sealed') AND NOT (state = 'merging' AND EXISTS
      (SELECT 1 FROM layers c JOIN disk_snapshots d ON d.layer_id = c.id AND d.tag IS NOT NULL WHERE c.parent_id = l.id))`),
    ...odd(`SELECT 'nobody needs', l.id FROM layers l WHERE NOT EXISTS (SELECT 1 FROM layers c WHERE c.parent_id = l.id)
      AND NOT EXISTS (SELECT 1 FROM disks WHERE top_layer_id = l.id) AND NOT EXISTS (SELECT 1 FROM disk_snapshots WHERE layer_id = l.id)
      AND NOT EXISTS (SELECT 1 FROM images WHERE l.id IN (layer_id, source_layer_id))`),
    ...odd(`SELECT 'parent is gone', id FROM server_snapshots s WHERE parent_id IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM server_snapshots p WHERE p.id = s.parent_id AND p.server_id = s.server_id)`),
    ...odd(`SELECT 'memory of nobody', m.id FROM memory_states m WHERE m.server_snapshot_id IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM server_snapshots s WHERE s.id = m.server_snapshot_id AND s.with_memory = 1)`),
  ]
}

const logged = ({ log }: Looked): string[] =>
  log
    .split('\n')
    .filter((line) => /"level":(50|60)|"level":"(error|fatal)"|unhandled/i.test(line))
    .map((line) => `logged: ${line}`)
