/** One random run against a real service: what is asked, what the model makes of it, and who is killed meanwhile. */

import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { type Content, type Dice, GIB, UNIT, type Write, writeFile, writeLive, written } from './model.js'
import { holders, inspect, openTables, type Tables } from './model-check.js'
import { type Service, startService } from './service.js'
import { until } from './until.js'

/** A server on a volume has no image to say that it need not be asked: it is given its minute to shut down. */
const PATIENCE_MS = 100_000
const BLANK: Content = new Map()
const LIMITS = { volumes: 7, snapshots: 9, images: 4, servers: 2 }
const QUOTA = { volumes: -1, snapshots: -1, gigabytes: -1 }

export interface ModelRun {
  burst(how: { kills: boolean }): Promise<void>
  write(): Promise<void>
  check(how: { kills: boolean }): Promise<string[]>
  story(): string[]
  close(): Promise<void>
}
/** By id: of volumes, of snapshots, of images, and of servers their root disk. */
export type Model = Map<string, Content>

export async function createModelRun(chance: Dice, url: string): Promise<ModelRun> {
  // These guests have no system: nobody would let a device go or heed the power button.
  const env = { STRATA_UNPLUG_TIMEOUT_MS: '300', STRATA_DATABASE_URL: url }
  let service: Service = await startService({ env })
  const { stateDir } = service
  const tables: Tables = openTables(stateDir, url)
  const model: Model = new Map()
  const story: string[] = []
  const rows = (sql: string) => tables.rows(sql) as unknown as { id: string; status: string; size: number }[]
  const volumes = () => rows("SELECT id, status, size_gib AS size FROM volumes WHERE status <> 'deleting'")
  const snapshots = () => rows("SELECT id, status, size_gib AS size FROM snapshots WHERE status <> 'deleting'")
  const images = () => rows("SELECT id, status, COALESCE(virtual_size, 0) AS size FROM images WHERE layer_id IS NOT NULL AND id <> '' ")
  const servers = () => rows("SELECT id, vm_state AS status, 0 AS size FROM servers WHERE vm_state <> 'deleted'")
  const project = (): string => rows('SELECT project_id AS id FROM volumes LIMIT 1')[0]?.id ?? ''

  /** The answer's body, or undefined when refused; a 5xx is a finding. */
  async function ask(method: string, path: string, body?: unknown): Promise<Record<string, never> | undefined> {
    const headers: Record<string, string> = {
      'x-auth-token': await service.token(),
      'content-type': 'application/json',
      'openstack-api-version': path.startsWith('/volume') ? 'volume 3.59' : 'compute 2.37',
    }
    const said = body === undefined ? '' : ` ${JSON.stringify(body)}`
    let answer: Response
    try {
      answer = await fetch(service.url + path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    } catch (error) {
      story.push(`${method} ${path}${said} -> ${String(error)}`)
      return undefined
    }
    const text = await answer.text()
    story.push(`${method} ${path}${said} -> ${answer.status} ${answer.ok ? '' : text.slice(0, 200)}`)
    if (answer.status >= 500) throw new Error(story.slice(-20).join('\n'))
    return answer.ok ? (text === '' ? {} : JSON.parse(text)) : undefined
  }
  const create = async (path: string, kind: string, body: object, content: Content | undefined): Promise<void> => {
    const made = (await ask('POST', path, { [kind]: body })) as Record<string, { id: string }> | undefined
    const id = made?.[kind]?.id
    if (id !== undefined && content !== undefined) model.set(id, content)
  }
  const VOLUMES = '/volume/v3/volumes'
  const name = (): string => `m${chance.below(1e6)}`

  const volume = async (source: object, size: number, content: Content | undefined) =>
    volumes().length < LIMITS.volumes ? await create(VOLUMES, 'volume', { name: name(), size, ...source }, content) : undefined

  const moves: Record<string, () => Promise<unknown>> = {
    blank: () => volume({}, 1 + chance.below(2), BLANK),
    async fromSnapshot() {
      const from = chance.pick(snapshots())
      if (from) await volume({ snapshot_id: from.id }, from.size + chance.below(2), model.get(from.id))
    },
    async clone() {
      const from = chance.pick(volumes())
      if (from) await volume({ source_volid: from.id }, from.size + chance.below(2), model.get(from.id))
    },
    async fromImage() {
      const from = chance.pick(images())
      if (from) await volume({ imageRef: from.id }, Math.max(1, Math.ceil(from.size / GIB)) + chance.below(2), model.get(from.id))
    },
    async snapshot() {
      const from = chance.pick(volumes())
      if (from && snapshots().length < LIMITS.snapshots)
        await create('/volume/v3/snapshots', 'snapshot', { volume_id: from.id, force: true, name: name() }, model.get(from.id))
    },
    async deleteSnapshot() {
      const one = chance.pick(snapshots())
      const way = chance.pick(['share', 'each', 'plain'])
      if (one) await ask('DELETE', way === 'plain' ? `/volume/v3/snapshots/${one.id}` : `/strata/v1/snapshots/${one.id}?children=${way}`)
    },
    async deleteVolume() {
      const one = chance.pick(volumes())
      if (one) await ask('DELETE', `${VOLUMES}/${one.id}${chance.chance(0.5) ? '?cascade=true' : ''}`)
    },
    async extend() {
      const one = chance.pick(volumes())
      if (one && one.size < 4) await ask('POST', `${VOLUMES}/${one.id}/action`, { 'os-extend': { new_size: one.size + 1 } })
    },
    async attach() {
      const [one, to] = [chance.pick(volumes()), chance.pick(servers())]
      if (one && to) await ask('POST', `/compute/v2.1/servers/${to.id}/os-volume_attachments`, { volumeAttachment: { volumeId: one.id } })
    },
    async detach() {
      const one = chance.pick(rows('SELECT volume_id AS id, server_id AS status, 0 AS size FROM attachments'))
      if (one) await ask('DELETE', `/compute/v2.1/servers/${one.status}/os-volume_attachments/${one.id}`)
    },
    async power() {
      const one = chance.pick(servers())
      const action = chance.pick([{ 'os-stop': null }, { 'os-start': null }, { 'os-start': null }, { reboot: { type: 'HARD' } }])
      if (one && action) await ask('POST', `/compute/v2.1/servers/${one.id}/action`, action)
    },
    async boot() {
      if (servers().length >= LIMITS.servers) return
      const [image, root] = [chance.pick(images()), chance.pick(volumes())]
      const mapping = [{ boot_index: 0, uuid: root?.id, source_type: 'volume', destination_type: 'volume' }]
      const from = root && chance.chance(0.4) ? { block_device_mapping_v2: mapping } : { imageRef: image?.id }
      await create(
        '/compute/v2.1/servers',
        'server',
        { name: name(), flavorRef: '1', networks: 'none', ...from },
        image && 'imageRef' in from ? model.get(image.id) : undefined,
      )
    },
    async createImage() {
      const one = chance.pick(servers())
      if (!one || images().length >= LIMITS.images) return
      const before = new Set(images().map((image) => image.id))
      const content = model.get(one.id)
      await ask('POST', `/compute/v2.1/servers/${one.id}/action`, { createImage: { name: name() } })
      for (const image of rows('SELECT id, status, 0 AS size FROM images'))
        if (!before.has(image.id) && !model.has(image.id) && content) model.set(image.id, content)
    },
    async upload() {
      const one = chance.pick(volumes())
      if (!one || images().length >= LIMITS.images) return
      const body = { 'os-volume_upload_image': { image_name: name(), disk_format: 'qcow2', container_format: 'bare', force: true } }
      const made = (await ask('POST', `${VOLUMES}/${one.id}/action`, body)) as
        | { 'os-volume_upload_image'?: { image_id: string } }
        | undefined
      const id = made?.['os-volume_upload_image']?.image_id
      const content = model.get(one.id)
      if (id !== undefined && content) model.set(id, content)
    },
    async deleteImage() {
      const list = images()
      const one = chance.pick(list)
      if (one && list.length > 1) await ask('DELETE', `/image/v2/images/${one.id}`)
    },
    async deleteServer() {
      const one = chance.pick(servers())
      if (one) await ask('DELETE', `/compute/v2.1/servers/${one.id}`)
    },
  }
  const weights: Record<string, number> = {
    snapshot: 6,
    deleteSnapshot: 5,
    clone: 2,
    fromSnapshot: 3,
    attach: 4,
    blank: 2,
    extend: 3,
    boot: 3,
  }
  const urn = Object.keys(moves).flatMap((move) => Array.from({ length: weights[move] ?? 1 }, () => move))

  /** Processes of this state directory, by what is in their command line. */
  const victims = (): { pid: number; line: string }[] =>
    readdirSync('/proc')
      .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid)
      .map((entry) => {
        try {
          return { pid: Number(entry), line: readFileSync(`/proc/${entry}/cmdline`, 'utf8') }
        } catch {
          return { pid: 0, line: '' }
        }
      })
      .filter(({ pid, line }) => pid > 0 && line.includes(stateDir) && /qemu-system|qemu-storage-daemon|keeper/.test(line))

  async function kill(): Promise<void> {
    const list = victims()
    const victim = chance.pick(list)
    if (victim === undefined || chance.chance(0.6)) {
      story.push('kill -9 service')
      service.process.kill('SIGKILL')
      await until(() => service.process.signalCode !== null, { what: 'the service to be gone' })
      service = await startService({ env, stateDir })
      return
    }
    story.push(`kill -9 ${victim.pid} ${victim.line.split('\0')[0]}`)
    try {
      process.kill(victim.pid, 'SIGKILL')
    } catch {
      // It ended by itself.
    }
  }

  /** The reconciler may begin a merge at any moment: then the disk is taken for a while, and somewhere else afterwards. */
  async function put(diskId: string, write: Write): Promise<boolean> {
    for (let tries = 1; ; tries++) {
      const find = () => tables.disks().find((disk) => disk.id === diskId)
      const disk = find()
      if (disk?.path === undefined) return false
      story.push(`write ${disk.owner} ${JSON.stringify(write)} ${disk.server ?? ''}`)
      try {
        await (disk.server === undefined ? writeFile(disk.path, write) : writeLive(stateDir, disk.server, diskId, write))
      } catch (error) {
        if (tries === 5) throw new Error(`${(error as Error).message}\n${holders(stateDir).join('\n')}\n${story.join('\n')}`)
        await quiet()
        continue
      }
      const now = find()
      if (now?.path === disk.path && now.server === disk.server) return true
    }
  }

  async function quiet(): Promise<void> {
    const busy = () =>
      tables.rows("SELECT id, operation, state, attempts, resource_id, error FROM jobs WHERE state IN ('queued', 'running', 'undoing')")
    let calm = 0
    await until(
      () => {
        calm = busy().length === 0 ? calm + 1 : 0
        return calm > 3
      },
      { what: 'all jobs to end', timeoutMs: PATIENCE_MS },
    ).catch(() => {
      throw new Error(`jobs never ended: ${JSON.stringify(busy())}\n${story.slice(-30).join('\n')}\n${service.log().slice(-3000)}`)
    })
  }

  /** What the service itself finds when it lays its tables beside the running guests' graphs. */
  async function audits(): Promise<string[]> {
    const found: string[] = []
    for (const { id } of servers().filter((one) => one.status === 'active')) {
      type Answer = { audit: { settled: boolean; live: boolean; findings: { sentence: string }[] } }
      const answer = (await ask('GET', `/strata/v1/servers/${id}/storage-audit`)) as unknown as Answer | undefined
      if (answer?.audit.settled && answer.audit.live) found.push(...answer.audit.findings.map((one) => `audit: ${one.sentence}`))
    }
    return found
  }

  async function begin(): Promise<void> {
    await ask('POST', VOLUMES, { volume: { size: 1, name: 'first' } })
    for (const { id } of volumes()) model.set(id, BLANK)
    await ask('PUT', `/volume/v3/os-quota-sets/${project()}`, { quota_set: QUOTA })
    const blank = { name: 'blank', disk_format: 'raw', container_format: 'bare', os_shutdown_timeout: '0' }
    const image = (await ask('POST', '/image/v2/images', blank)) as { id: string } | undefined
    const body = new Uint8Array(randomBytes(UNIT)).fill(7)
    const headers = { 'x-auth-token': await service.token(), 'content-type': 'application/octet-stream' }
    const sent = await fetch(`${service.url}/image/v2/images/${image?.id}/file`, { method: 'PUT', headers, body })
    if (sent.status !== 204) throw new Error(await sent.text())
    model.set(image?.id ?? '', new Map([[0, 7]]))
  }
  await begin()
  await quiet()

  return {
    async burst({ kills }) {
      for (let left = 1 + chance.below(6); left > 0; left--) {
        await moves[chance.pick(urn) ?? 'blank']?.()
        if (kills && chance.chance(0.15)) await kill()
      }
      if (kills && chance.chance(0.3)) await kill()
    },
    async write() {
      for (const disk of tables.disks()) {
        const content = model.get(disk.owner)
        if (content === undefined || disk.path === undefined || chance.chance(0.3)) continue
        const last = disk.size / UNIT
        for (let left = 1 + chance.below(3); left > 0; left--) {
          const unit = chance.pick([0, 1, 15, 16, 17, 1000, 65535, last - 16, chance.below(last - 16)]) ?? 0
          const write: Write = {
            offset: unit * UNIT,
            length: UNIT * (1 + chance.below(16)),
            byte: chance.chance(0.2) ? 0 : 1 + chance.below(255),
          }
          if (write.offset + write.length > disk.size) continue
          if (!(await put(disk.id, write))) continue
          model.set(disk.owner, written(model.get(disk.owner) ?? BLANK, write))
        }
      }
    },
    async check({ kills }) {
      await quiet()
      return [...(await audits()), ...(await inspect({ tables, stateDir, model, kills, log: service.log() }))]
    },
    story: () => story,
    async close() {
      tables.close()
      await service.stop()
    },
  }
}
