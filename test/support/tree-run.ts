/**
 * A random day of server snapshots against a model that holds plain copies: snapshots of every kind, writes, reverts,
 * deletes in every mode, and chains pulled, committed and copied, on servers that run, stand still and are off. Merges go
 * on in the background meanwhile. A move is believed to have happened when its job says so, and then the disks are read.
 */
import { type Content, type Dice, UNIT, type Write, writeFile, writeLive, written } from './model.js'
import { openTables, type Tables } from './model-check.js'
import { type Service, startService } from './service.js'
import { inspectTrees, type Parts } from './tree-check.js'
import { until } from './until.js'

const SNAPSHOTS = 7
const DISK_GIB = 1
/** Jobs of the background: nobody waits for them but a check. */
const PATIENCE_MS = 120_000

interface Server {
  readonly id: string
  power: 'active' | 'paused' | 'stopped'
}
interface Answer {
  readonly status: number
  readonly body: { readonly job_id?: string; readonly [key: string]: unknown }
}

export interface TreeRun {
  readonly moves: number
  readonly refused: number
  move(): Promise<void>
  check(): Promise<string[]>
  story(): string[]
  close(): Promise<void>
}

export async function createTreeRun(chance: Dice, url: string): Promise<TreeRun> {
  const env = { STRATA_UNPLUG_TIMEOUT_MS: '300', STRATA_DATABASE_URL: url }
  const service: Service = await startService({ env })
  const { stateDir } = service
  const tables: Tables = openTables(stateDir, url)
  const servers: Server[] = []
  /** By disk, and by server snapshot and disk. */
  const present = new Map<string, Content>()
  const kept = new Map<string, Parts>()
  const story: string[] = []
  const counts = { moves: 0, refused: 0 }

  async function ask(method: string, path: string, body?: object): Promise<Answer | undefined> {
    const headers = {
      'x-auth-token': await service.token(),
      'content-type': 'application/json',
      'openstack-api-version': path.startsWith('/volume') ? 'volume 3.59' : 'compute 2.37',
    }
    const answer = await fetch(service.url + path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    const text = await answer.text()
    story.push(`${method} ${path} ${body === undefined ? '' : JSON.stringify(body)} -> ${answer.status} ${text.slice(0, 240)}`)
    if (answer.status >= 500) throw new Error(story.slice(-20).join('\n'))
    if (answer.ok) return { status: answer.status, body: text === '' ? {} : JSON.parse(text) }
    counts.refused++
    return undefined
  }

  const rows = (sql: string) => tables.rows(sql)
  const disksOf = (server: Server): string[] => rows(`SELECT id FROM disks WHERE server_id = '${server.id}'`).map((row) => row['id'] ?? '')
  const partsOf = (server: Server): Map<string, Content> => new Map(disksOf(server).map((id) => [id, present.get(id) ?? new Map()]))
  const snapshotsOf = (server: Server) =>
    rows(`SELECT id, parent_id, kind, with_memory, status FROM server_snapshots WHERE server_id = '${server.id}'`)
  const BACKGROUND = "('merge-layer', 'drop-layer', 'pull-chain')"
  const busy = (which: string) =>
    rows(`SELECT id, operation, state, error FROM jobs WHERE state IN ('queued', 'running', 'undoing') ${which}`)

  async function rest(which: string): Promise<void> {
    await until(() => busy(which).length === 0, { what: 'jobs to end', everyMs: 4, timeoutMs: PATIENCE_MS }).catch(() => {
      throw new Error(`jobs never ended: ${JSON.stringify(busy(which))}\n${story.slice(-30).join('\n')}\n${service.log().slice(-3000)}`)
    })
  }
  /** What was asked for is done or not; merges may go on. */
  const foreground = (): Promise<void> => rest(`AND operation NOT IN ${BACKGROUND}`)
  async function quiet(): Promise<void> {
    for (let calm = 0; calm < 3; ) {
      await rest('')
      await new Promise((resolve) => setTimeout(resolve, 10))
      calm = busy('').length === 0 ? calm + 1 : 0
    }
  }
  const endOf = (answer: Answer): string =>
    answer.body.job_id === undefined ? 'done' : (rows(`SELECT state FROM jobs WHERE id = '${answer.body.job_id}'`)[0]?.['state'] ?? 'gone')

  /** Every snapshot there is beyond those we know holds what the disks held before the move. */
  function learn(server: Server, before: Parts): void {
    for (const { id = '', status } of snapshotsOf(server)) {
      if (kept.has(id) || status !== 'available') continue
      const disks = rows(`SELECT disk_id FROM disk_snapshots WHERE server_snapshot_id = '${id}'`).map((row) => row['disk_id'] ?? '')
      kept.set(id, new Map(disks.map((disk) => [disk, before.get(disk) ?? new Map()])))
    }
  }

  async function act(server: Server, action: object, power: Server['power']): Promise<void> {
    if ((await ask('POST', `/compute/v2.1/servers/${server.id}/action`, action)) === undefined) return
    await foreground()
    server.power = power
  }

  const some = <T>(list: readonly T[]): T[] => list.filter(() => chance.chance(0.6))

  const moves: Record<string, (server: Server) => Promise<unknown>> = {
    async snapshot(server) {
      if (snapshotsOf(server).length >= SNAPSHOTS) return await moves['remove']?.(server)
      const kind = chance.pick(['external', 'internal'])
      const memory = server.power !== 'stopped' && chance.chance(0.25)
      const devices = some(rows(`SELECT device FROM attachments WHERE server_id = '${server.id}'`)).map((row) => ({
        name: (row['device'] ?? '').replace('/dev/', ''),
        snapshot: 'no',
      }))
      const body = { kind, memory, ...(memory || chance.chance(0.7) ? {} : { disks: devices }) }
      const before = partsOf(server)
      const answer = await ask('POST', `/strata/v1/servers/${server.id}/snapshots`, chance.chance(0.1) ? {} : body)
      await foreground()
      if (answer !== undefined) learn(server, before)
    },
    async revert(server) {
      const one = chance.pick(snapshotsOf(server))
      if (one === undefined) return
      const power_state = chance.pick(['running', 'stopped', 'paused'])
      const memory = Number(one['with_memory']) === 1 && chance.chance(0.7)
      const keep_current = chance.chance(0.3) && snapshotsOf(server).length < SNAPSHOTS
      const before = partsOf(server)
      const answer = await ask('POST', `/strata/v1/server-snapshots/${one['id']}/revert`, {
        ...(memory ? { memory } : { power_state }),
        keep_current,
      })
      await foreground()
      learn(server, before)
      const state = rows(`SELECT vm_state FROM servers WHERE id = '${server.id}'`)[0]?.['vm_state']
      server.power = state as Server['power']
      if (answer === undefined || endOf(answer) !== 'done') return
      for (const [disk, content] of kept.get(one['id'] ?? '') ?? []) present.set(disk, content)
    },
    async remove(server) {
      const list = snapshotsOf(server)
      const one = chance.pick(list)
      if (one === undefined) return
      const id = one['id'] ?? ''
      const mode = chance.pick(['merge', 'merge', 'merge_force', 'discard', 'discard_force']) ?? 'merge'
      const children = chance.pick(['share', 'each'])
      const below = (of: string): string[] =>
        list.filter((row) => row['parent_id'] === of).flatMap((row) => [row['id'] ?? '', ...below(row['id'] ?? '')])
      const victims = mode === 'discard_force' ? [id, ...below(id)] : [id]
      const answer = await ask('DELETE', `/strata/v1/server-snapshots/${id}?mode=${mode}&children=${children}`)
      await foreground()
      if (answer === undefined) return
      if (mode === 'discard' && below(id).length > 0) throw new Error(`discard took children with it\n${story.slice(-5).join('\n')}`)
      for (const victim of victims) kept.delete(victim)
    },
    write: async (server) => await write(server),
    async power(server) {
      if (server.power === 'stopped') return await act(server, { 'os-start': null }, 'active')
      if (server.power === 'paused') return await act(server, { unpause: null }, 'active')
      await (chance.chance(0.4) ? act(server, { pause: null }, 'paused') : act(server, { 'os-stop': null }, 'stopped'))
    },
    async pull(server) {
      const disk = chance.pick(disksOf(server))
      const layers = chain(disk ?? '')
      const base = chance.pick([null, ...layers.slice(1)])
      await ask('POST', `/strata/v1/volumes/${nameOf(disk ?? '')}/chain/pull`, base === null || base === undefined ? {} : { base })
      await rest("AND operation <> 'merge-layer' AND operation <> 'drop-layer'")
    },
    async commit(server) {
      const disk = chance.pick(disksOf(server))
      const layers = chain(disk ?? '')
      const top = chance.below(Math.max(1, layers.length - 1))
      await ask('POST', `/strata/v1/volumes/${nameOf(disk ?? '')}/chain/commit`, {
        top: layers[top],
        base: layers[top + 1] ?? layers.at(-1),
      })
      await foreground()
    },
    async copy(server) {
      const disk = chance.pick(disksOf(server))
      await ask('POST', `/strata/v1/volumes/${nameOf(disk ?? '')}/chain/copy`, { format: 'qcow2' })
      await foreground()
    },
  }
  const weights: Record<string, number> = { snapshot: 8, revert: 4, remove: 6, write: 8, power: 3, pull: 1, commit: 1, copy: 1 }
  const urn = Object.keys(moves).flatMap((move) => Array.from({ length: weights[move] ?? 1 }, () => move))

  const chain = (disk: string): string[] => {
    const ids: string[] = []
    for (let at = rows(`SELECT top_layer_id AS id FROM disks WHERE id = '${disk}'`)[0]?.['id']; at != null; ) {
      ids.push(at)
      at = rows(`SELECT parent_id AS id FROM layers WHERE id = '${at}'`)[0]?.['id']
    }
    return ids
  }
  const nameOf = (disk: string): string => rows(`SELECT id FROM volumes WHERE disk_id = '${disk}'`)[0]?.['id'] ?? disk

  async function write(server: Server): Promise<void> {
    if (server.power === 'paused') return
    // A file that nobody has open may be worked on by a merge; a device may be written to at any time.
    if (server.power === 'stopped') await quiet()
    for (const disk of tables.disks().filter((one) => present.has(one.id) && disksOf(server).includes(one.id))) {
      for (let left = 1 + chance.below(2); left > 0; left--) {
        const last = disk.size / UNIT
        const unit = chance.pick([0, 1, 15, 16, 17, 1000, last - 16, chance.below(last - 16)]) ?? 0
        const one: Write = {
          offset: unit * UNIT,
          length: UNIT * (1 + chance.below(16)),
          byte: chance.chance(0.2) ? 0 : 1 + chance.below(255),
        }
        if (one.offset + one.length > disk.size) continue
        await (disk.server === undefined ? writeFile(disk.path ?? '', one) : writeLive(stateDir, disk.server, disk.id, one))
        story.push(`write ${disk.id} ${JSON.stringify(one)}`)
        present.set(disk.id, written(present.get(disk.id) ?? new Map(), one))
      }
    }
  }

  async function begin(): Promise<void> {
    const image = (
      await ask('POST', '/image/v2/images', { name: 'blank', disk_format: 'raw', container_format: 'bare', os_shutdown_timeout: '0' })
    )?.body
    const headers = { 'x-auth-token': await service.token(), 'content-type': 'application/octet-stream' }
    const sent = await fetch(`${service.url}/image/v2/images/${image?.['id']}/file`, {
      method: 'PUT',
      headers,
      body: new Uint8Array(UNIT).fill(7),
    })
    if (sent.status !== 204) throw new Error(await sent.text())
    for (const name of ['one', 'two']) {
      const made = await ask('POST', '/compute/v2.1/servers', {
        server: { name, flavorRef: '1', networks: 'none', imageRef: image?.['id'] },
      })
      if (made === undefined) throw new Error(story.join('\n'))
      const { id } = made.body['server'] as { id: string }
      const volume = (await ask('POST', '/volume/v3/volumes', { volume: { size: DISK_GIB, name } }))?.body['volume'] as { id: string }
      await quiet()
      await ask('POST', `/compute/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: volume.id } })
      await quiet()
      servers.push({ id, power: 'active' })
    }
    for (const disk of tables.disks())
      present.set(disk.id, disk.owner === disk.id || servers.some((one) => one.id === disk.owner) ? new Map([[0, 7]]) : new Map())
    await ask('PUT', `/volume/v3/os-quota-sets/${rows('SELECT project_id AS id FROM volumes LIMIT 1')[0]?.['id']}`, {
      quota_set: { snapshots: -1, gigabytes: -1, volumes: -1 },
    })
  }
  await begin()

  return {
    get moves() {
      return counts.moves
    },
    get refused() {
      return counts.refused
    },
    async move() {
      counts.moves++
      const server = chance.pick(servers)
      if (server !== undefined) await moves[chance.pick(urn) ?? 'write']?.(server)
    },
    async check() {
      await quiet()
      return await inspectTrees({ tables, stateDir, present, kept, log: service.log() })
    },
    story: () => story,
    async close() {
      tables.close()
      await service.stop()
    },
  }
}
