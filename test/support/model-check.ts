/** Looks at everything a quiet service left in its tables and on its disk, and says what is not as it must be. */

import { execFile, execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import { shortId } from '../../src/domain/names.js'
import { difference } from './model.js'
import type { Model } from './model-run.js'

const run = promisify(execFile)

interface Disk {
  readonly id: string
  /** The volume, or the server whose root it is. */
  readonly owner: string
  readonly path: string | undefined
  readonly size: number
  /** The running server that has it open. */
  readonly server: string | undefined
}
export interface Tables {
  rows(sql: string): Record<string, string>[]
  disks(): Disk[]
  close(): void
}

/** Read at the moment of asking, by the engine's own means and not the program's. */
export function openTables(stateDir: string, url: string): Tables {
  const db = url.startsWith('sqlite:') ? new Database(url.slice('sqlite:'.length), { readonly: true }) : undefined
  const rows = (sql: string): Record<string, string>[] =>
    db === undefined ? mariaDbRows(url, sql) : (db.prepare(sql).all() as Record<string, string>[])
  const live = (serverId: string | null | undefined): boolean =>
    serverId != null && existsSync(join(stateDir, 'run', shortId(serverId), 'people.sock'))
  return {
    rows,
    close: () => void db?.close(),
    disks: () =>
      rows(`SELECT d.id, COALESCE(v.id, d.server_id) AS owner, d.server_id, l.file_name, l.virtual_size, s.vm_state, p.path
        FROM disks d JOIN layers l ON l.id = d.top_layer_id JOIN pools p ON p.id = l.pool_id
        LEFT JOIN volumes v ON v.disk_id = d.id LEFT JOIN servers s ON s.id = d.server_id`).map((row) => ({
        id: row['id'] ?? '',
        owner: row['owner'] ?? '',
        path: join(row['path'] ?? '', row['file_name'] ?? ''),
        size: Number(row['virtual_size']),
        server: live(row['server_id']) && row['vm_state'] === 'active' ? row['server_id'] : undefined,
      })),
  }
}

/** The command-line client's table: a line of names, then values with tabs between them. */
function mariaDbRows(url: string, sql: string): Record<string, string>[] {
  const { pathname, searchParams } = new URL(url)
  const args = ['--no-defaults', '-uroot', `--socket=${searchParams.get('socketPath')}`, '-B', pathname.slice(1), '-e', sql]
  const [head = '', ...lines] = execFileSync('mariadb', args, { encoding: 'utf8', maxBuffer: 2 ** 26 })
    .trimEnd()
    .split('\n')
  const names = head.split('\t')
  const value = (text: string) => (text === 'NULL' ? null : /^-?\d+$/.test(text) ? Number(text) : text)
  return lines.map((line) => Object.fromEntries(line.split('\t').map((text, at) => [names[at], value(text)])))
}

interface Looked {
  readonly tables: Tables
  readonly stateDir: string
  readonly model: Model
  readonly kills: boolean
  readonly log: string
}

export async function inspect(looked: Looked): Promise<string[]> {
  return [...(await contents(looked)), ...statuses(looked), ...(await files(looked)), ...quotas(looked), ...logged(looked)]
}

async function contents({ tables, stateDir, model }: Looked): Promise<string[]> {
  const found: string[] = []
  const layers = tables.rows(`SELECT 'volume' AS kind, v.id, l.file_name, l.format, l.virtual_size, v.size_gib FROM volumes v
      JOIN disks d ON d.id = v.disk_id JOIN layers l ON l.id = d.top_layer_id WHERE v.status IN ('available', 'in-use', 'error_extending')
    UNION ALL SELECT 'root', d.server_id, l.file_name, l.format, l.virtual_size, 0 FROM disks d
      JOIN layers l ON l.id = d.top_layer_id JOIN servers s ON s.id = d.server_id WHERE d.kind = 'root' AND s.vm_state IN ('active', 'stopped')
    UNION ALL SELECT 'snapshot', s.id, l.file_name, l.format, l.virtual_size, s.size_gib FROM snapshots s
      JOIN layers l ON l.id = s.layer_id WHERE s.status = 'available'
    UNION ALL SELECT 'image', i.id, l.file_name, l.format, l.virtual_size, 0 FROM images i JOIN layers l ON l.id = i.layer_id WHERE i.status = 'active'`)
  for (const layer of layers) {
    const { kind, id = '', file_name = '', format = '' } = layer
    const [size, gib] = [Number(layer['virtual_size']), Number(layer['size_gib'])]
    const content = model.get(id)
    if (content === undefined) continue
    if (gib > 0 && size !== gib * 2 ** 30) found.push(`${kind} ${id} has ${gib} GiB and its layer ${size} bytes`)
    const wrong = await difference(content, join(stateDir, 'pools/default', file_name), format, size, join(stateDir, 'model.raw'))
    if (wrong !== undefined) found.push(`${kind} ${id} (${file_name}): ${wrong}`)
  }
  return found
}

function statuses({ tables, kills }: Looked): string[] {
  const odd = (sql: string): string[] => tables.rows(sql).map((row) => JSON.stringify(row))
  const settled = kills ? "'available', 'in-use', 'error', 'error_extending', 'error_deleting'" : "'available', 'in-use'"
  return [
    ...odd(`SELECT 'volume', id, status FROM volumes WHERE status NOT IN (${settled})`),
    ...odd(`SELECT 'snapshot', id, status FROM snapshots WHERE status NOT IN (${settled})`),
    ...odd(`SELECT 'server', id, vm_state, task_state, fault FROM servers WHERE task_state IS NOT NULL OR vm_state = 'building'`),
    ...(kills ? [] : odd("SELECT 'server', id, vm_state, fault FROM servers WHERE vm_state = 'error'")),
    ...odd("SELECT 'image', id, status FROM images WHERE status NOT IN ('active', 'killed', 'deleted')"),
    ...odd(
      `SELECT 'job', id, operation, state, error FROM jobs WHERE state = 'needs_attention' ${
        // A guest without a system never lets a device go.
        kills ? '' : "OR (state = 'failed' AND operation <> 'detach-volume')"
      }`,
    ),
    ...odd('SELECT * FROM job_locks'),
    ...odd(`SELECT 'attachment', id, status FROM attachments WHERE status NOT IN ('attached')`),
    ...odd("SELECT 'layer', id, state FROM layers WHERE state NOT IN ('top', 'sealed')"),
    ...odd(`SELECT 'nobody needs', l.id, l.origin, l.state FROM layers l WHERE NOT EXISTS (SELECT 1 FROM layers c WHERE c.parent_id = l.id)
      AND NOT EXISTS (SELECT 1 FROM disks WHERE top_layer_id = l.id) AND NOT EXISTS (SELECT 1 FROM snapshots WHERE layer_id = l.id)
      AND NOT EXISTS (SELECT 1 FROM images WHERE l.id IN (layer_id, source_layer_id))
      AND NOT EXISTS (SELECT 1 FROM servers WHERE l.id IN (kernel_layer_id, ramdisk_layer_id) AND vm_state <> 'deleted')`),
    ...odd(`SELECT 'unmerged', l.id, l.origin, l.format FROM layers l WHERE l.state = 'sealed' AND l.origin <> 'image' AND l.format = 'qcow2'
      AND (SELECT COUNT(*) FROM layers c WHERE c.parent_id = l.id) = 1 AND NOT EXISTS (SELECT 1 FROM snapshots WHERE layer_id = l.id)
      AND NOT EXISTS (SELECT 1 FROM images WHERE l.id IN (layer_id, source_layer_id))`),
    ...odd(`SELECT 'disk of nobody', d.id FROM disks d WHERE NOT EXISTS (SELECT 1 FROM volumes WHERE disk_id = d.id)
      AND NOT EXISTS (SELECT 1 FROM servers WHERE id = d.server_id AND vm_state <> 'deleted')`),
  ]
}

async function files({ tables, stateDir, kills }: Looked): Promise<string[]> {
  const pool = join(stateDir, 'pools/default')
  const known = tables.rows('SELECT file_name FROM layers').map((row) => row['file_name'] ?? '')
  const there = readdirSync(pool)
  const found = [
    ...there.filter((file) => !known.includes(file)).map((file) => `no table knows ${file}`),
    ...known.filter((file) => !there.includes(file)).map((file) => `${file} is missing`),
    ...readdirSync(join(stateDir, 'staging')).map((file) => `left in staging: ${file}`),
    ...tables
      .rows("SELECT * FROM artefacts WHERE NOT (owner_type = 'layer' AND owner_id IN (SELECT id FROM layers))")
      .map((row) => `artefact ${JSON.stringify(row)}`),
  ]
  const isOpen = tables.disks().some((disk) => disk.server !== undefined)
  for (const file of isOpen ? [] : there.filter((one) => one.endsWith('.qcow2')))
    await run('qemu-img', ['check', '-f', 'qcow2', join(pool, file)]).catch((error: { code: number; stdout: string }) => {
      // A killed process may leave clusters counted that nobody uses: no data is lost by them.
      if (error.code !== 3 || !kills) found.push(`${file}: ${error.stdout}`)
    })
  return found
}

function quotas({ tables }: Looked): string[] {
  const recount = (resource: string, sql: string): string[] => {
    const counted = Number(tables.rows(sql)[0]?.['n'] ?? 0)
    const used = Number(tables.rows(`SELECT SUM(used) AS n FROM quota_usages WHERE resource = '${resource}'`)[0]?.['n'] ?? 0)
    return counted === used ? [] : [`quota of ${resource}: ${used} taken, ${counted} there`]
  }
  return [
    ...recount('volumes', 'SELECT COUNT(*) AS n FROM volumes'),
    ...recount('snapshots', 'SELECT COUNT(*) AS n FROM snapshots'),
    ...recount('images', "SELECT COUNT(*) AS n FROM images WHERE status <> 'deleted'"),
    ...recount('instances', "SELECT COUNT(*) AS n FROM servers WHERE vm_state <> 'deleted'"),
    ...recount(
      'gigabytes',
      'SELECT (SELECT COALESCE(SUM(size_gib), 0) FROM volumes) + (SELECT COALESCE(SUM(size_gib), 0) FROM snapshots) AS n',
    ),
  ]
}

const logged = ({ log }: Looked): string[] =>
  log
    .split('\n')
    .filter((line) => /"level":(50|60)|"level":"(error|fatal)"|tests-only|unhandled/i.test(line))
    .map((line) => `logged: ${line}`)

/** Who has which layer open, and for writing or not. */
export function holders(stateDir: string): string[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0]
        return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
          const path = readlinkSync(`/proc/${pid}/fd/${fd}`)
          const flags = path.startsWith(join(stateDir, 'pools'))
            ? /flags:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))
            : null
          return flags === null ? [] : [`${pid} ${line} has ${path} open, flags ${flags[1]}`]
        })
      } catch {
        return []
      }
    })
}
