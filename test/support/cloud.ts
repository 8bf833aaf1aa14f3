/**
 * What a tenant does, in one line each, on a service that may be restarted underneath: everything asks `service()` anew.
 * Statuses are only waited for; what is true is read from the guest's serial log and from the disks.
 */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { guestFiles } from './guest.js'
import { acknowledged, type DiskLayer } from './guest-disk.js'
import { holdPlaceFor } from './guest-place.js'
import type { Service } from './service.js'
import { until } from './until.js'

const run = promisify(execFile)
export const PATIENCE_MS = 90_000

export interface Seen {
  readonly id: string
  readonly status: string
  readonly [field: string]: unknown
}
export interface Report {
  readonly consistency: {
    readonly requested: string
    readonly reached: string
    readonly degraded_reason: string | null
    readonly frozen_seconds: number | null
  } | null
  readonly layer: { readonly id: string; readonly depth: number } | null
}
export interface SeenJob {
  readonly id: string
  readonly operation: string
  readonly state: string
  readonly attempts: number
  readonly error: string | null
  readonly resource_id: string
}
export interface Audit {
  readonly settled: boolean
  readonly live: boolean
  readonly findings: readonly { readonly kind: string; readonly sentence: string }[]
  readonly disks: readonly {
    readonly volume_id: string | null
    readonly layers: readonly { readonly id: string; readonly file: string }[]
  }[]
}

const VOLUMES = '/volume/v3/volumes'
const SNAPSHOTS = '/volume/v3/snapshots'
const SERVERS = '/compute/v2.1/servers'
const IMAGES = '/image/v2/images'

export type Cloud = ReturnType<typeof createCloud>

export function createCloud(service: () => Service) {
  const call: Service['call'] = async (...request) => await service().call(...request)
  const pool = (): string => join(service().stateDir, 'pools', 'default')
  const server = async (id: string): Promise<Seen> => (await call<{ server: Seen }>('GET', `${SERVERS}/${id}`)).server
  const volume = async (id: string): Promise<Seen> => (await call<{ volume: Seen }>('GET', `${VOLUMES}/${id}`)).volume
  const snapshot = async (id: string): Promise<Seen> => (await call<{ snapshot: Seen }>('GET', `${SNAPSHOTS}/${id}`)).snapshot
  const image = async (id: string): Promise<Seen> => await call<Seen>('GET', `${IMAGES}/${id}`)

  /** Until it is no longer on its way; then it must be `wanted`. */
  async function becomes(look: () => Promise<Seen>, wanted: string, passing: readonly string[]): Promise<Seen> {
    const what = `${wanted} instead of ${passing.join(', ')}`
    const seen = await until(async () => await look().then((one) => !passing.includes(one.status) && one), {
      what,
      timeoutMs: PATIENCE_MS,
    })
    if (seen.status !== wanted) throw new Error(`${seen.id} is ${seen.status}, not ${wanted}: ${JSON.stringify(seen)}`)
    return seen
  }
  async function gone(path: string): Promise<void> {
    await until(async () => (await fetch(service().url + path, { headers: { 'x-auth-token': await service().token() } })).status === 404, {
      what: `${path} to be gone`,
      timeoutMs: PATIENCE_MS,
    })
  }

  const console = (serverId: string): string => {
    try {
      return readFileSync(join(service().stateDir, 'guests', `${serverId}.log`), 'utf8')
    } catch {
      return ''
    }
  }
  const lastAck = (serverId: string, disk: string): number => acknowledged(console(serverId), disk).at(-1) ?? 0
  const says = async (serverId: string, pattern: RegExp, from = 0): Promise<RegExpMatchArray> =>
    await until(() => console(serverId).slice(from).match(pattern) ?? undefined, {
      what: `${pattern} on the console`,
      timeoutMs: PATIENCE_MS,
    }).catch((error: Error) => {
      throw new Error(`${error.message}; the console ends: ${console(serverId).slice(-400)}`)
    })
  /** The guest has written so many records more than now. */
  const writesOn = async (serverId: string, disk: string, more: number): Promise<number> => {
    const from = lastAck(serverId, disk)
    return await until(() => (lastAck(serverId, disk) >= from + more ? lastAck(serverId, disk) : undefined), {
      what: `record ${from + more} on ${disk}`,
      timeoutMs: PATIENCE_MS,
    })
  }

  async function upload(name: string, disk: string, container: string, bytes: Buffer, properties: object = {}): Promise<string> {
    const made = await call<Seen>('POST', IMAGES, { name, disk_format: disk, container_format: container, ...properties })
    const headers = { 'x-auth-token': await service().token(), 'content-type': 'application/octet-stream' }
    const answer = await fetch(`${service().url}${IMAGES}/${made.id}/file`, { method: 'PUT', headers, body: new Uint8Array(bytes) })
    if (answer.status !== 204) throw new Error(`upload of ${name}: ${answer.status} ${await answer.text()}`)
    return made.id
  }

  return {
    call,
    pool,
    server,
    volume,
    snapshot,
    image,
    gone,
    console,
    lastAck,
    says,
    writesOn,
    upload,

    /** An image the tiny guest boots from: a blank root disk and the guest's kernel. */
    async guestImage(properties: object = {}): Promise<string> {
      const { kernel, initrd } = await guestFiles()
      const kernelId = await upload('kernel', 'aki', 'aki', readFileSync(kernel))
      const ramdiskId = await upload('ramdisk', 'ari', 'ari', readFileSync(initrd))
      const blank = join(service().stateDir, 'blank.qcow2')
      await run('qemu-img', ['create', '-q', '-f', 'qcow2', blank, '64M'])
      const boots = { kernel_id: kernelId, ramdisk_id: ramdiskId, os_command_line: 'console=ttyS0 quiet wr=1' }
      return await upload('guest', 'qcow2', 'bare', readFileSync(blank), { ...boots, ...properties })
    },

    /** ACTIVE, and the guest is up: one at a time of this service, two on the machine. */
    async boot(imageId: string | null, more: object = {}): Promise<string> {
      await holdPlaceFor(service().stateDir)
      const body = { name: 'vm', flavorRef: '1', networks: 'none', ...(imageId === null ? {} : { imageRef: imageId }), ...more }
      const made = (await call<{ server: Seen }>('POST', SERVERS, { server: body }, { 'openstack-api-version': 'compute 2.37' })).server
      await becomes(async () => await server(made.id), 'ACTIVE', ['BUILD'])
      await says(made.id, /^READY/m)
      return made.id
    },
    serverBecomes: async (id: string, status: string, passing: readonly string[]): Promise<Seen> =>
      await becomes(async () => await server(id), status, passing),
    act: async (id: string, action: object): Promise<void> => void (await call('POST', `${SERVERS}/${id}/action`, action)),
    async stopServer(id: string): Promise<void> {
      await call('POST', `${SERVERS}/${id}/action`, { 'os-stop': null })
      await becomes(async () => await server(id), 'SHUTOFF', ['ACTIVE', 'PAUSED'])
    },
    async deleteServer(id: string): Promise<void> {
      await call('DELETE', `${SERVERS}/${id}`)
      await gone(`${SERVERS}/${id}`)
    },

    async createVolume(body: object = { size: 1 }): Promise<string> {
      const made = (await call<{ volume: Seen }>('POST', VOLUMES, { volume: { size: 1, ...body } })).volume
      await becomes(async () => await volume(made.id), 'available', ['creating', 'downloading'])
      return made.id
    },
    /** Returns once the guest has mounted it: what it said, from `vdX` on. */
    async attach(serverId: string, volumeId: string): Promise<{ disk: string; last: number }> {
      const from = console(serverId).length
      await call('POST', `${SERVERS}/${serverId}/os-volume_attachments`, { volumeAttachment: { volumeId } })
      await becomes(async () => await volume(volumeId), 'in-use', ['available', 'reserved', 'attaching'])
      const [, disk = '', last] = await says(serverId, /^MOUNTED (vd\w) serial=\S* last=(\d*)\r?$/m, from)
      return { disk, last: Number(last ?? 0) }
    },
    async detach(serverId: string, volumeId: string): Promise<void> {
      await call('DELETE', `${SERVERS}/${serverId}/os-volume_attachments/${volumeId}`)
      await becomes(async () => await volume(volumeId), 'available', ['in-use', 'detaching'])
    },
    async requestSnapshot(volumeId: string): Promise<string> {
      return (await call<{ snapshot: Seen }>('POST', SNAPSHOTS, { snapshot: { volume_id: volumeId, force: true } })).snapshot.id
    },
    snapshotBecomes: async (id: string, status: string): Promise<Seen> =>
      await becomes(async () => await snapshot(id), status, ['creating']),
    async deleteSnapshot(id: string): Promise<void> {
      await call('DELETE', `${SNAPSHOTS}/${id}`)
      await gone(`${SNAPSHOTS}/${id}`)
    },
    imageBecomes: async (id: string, status: string): Promise<Seen> =>
      await becomes(async () => await image(id), status, ['queued', 'saving', 'importing']),
    async download(id: string): Promise<Buffer> {
      const answer = await fetch(`${service().url}${IMAGES}/${id}/file`, { headers: { 'x-auth-token': await service().token() } })
      if (answer.status !== 200) throw new Error(`download: ${answer.status}`)
      return Buffer.from(await answer.arrayBuffer())
    },

    report: async (snapshotId: string): Promise<Report> =>
      (await call<{ snapshot: Report }>('GET', `/strata/v1/snapshots/${snapshotId}`)).snapshot,
    audit: async (serverId: string): Promise<Audit> =>
      (await call<{ audit: Audit }>('GET', `/strata/v1/servers/${serverId}/storage-audit`)).audit,
    jobs: async (query = ''): Promise<SeenJob[]> =>
      (await call<{ jobs: SeenJob[] }>('GET', `/strata/v1/jobs?limit=1000&all_projects=true${query}`)).jobs,
    /** No job is queued, running or undoing; returns those that need a person. */
    async settled(timeoutMs = PATIENCE_MS): Promise<SeenJob[]> {
      const unfinished = async (): Promise<SeenJob[]> =>
        // One look: between one for each state a job could slip from that not yet asked for into one asked before.
        (await this.jobs()).filter((job) => ['queued', 'running', 'undoing'].includes(job.state))
      await until(async () => (await unfinished()).length === 0, { what: 'all jobs to end', timeoutMs }).catch(async (error: Error) => {
        throw new Error(`${error.message}: ${JSON.stringify(await unfinished())}`)
      })
      return await this.jobs('&state=needs_attention')
    },
    layerFiles: (): string[] => readdirSync(pool()).filter((name) => name !== 'lost+found'),
    /** The sealed layers of a snapshot, top first. */
    async snapshotChain(snapshotId: string): Promise<DiskLayer[]> {
      const { layer } = await this.report(snapshotId)
      if (layer === null) throw new Error(`snapshot ${snapshotId} has no layer`)
      return await chainOf(join(pool(), `${layer.id}.qcow2`))
    },
    /** Only of a disk nobody has open. */
    async diskChain(serverId: string, volumeId: string | null): Promise<DiskLayer[]> {
      const disk = (await this.audit(serverId)).disks.find((one) => one.volume_id === volumeId)
      return await chainOf(join(pool(), disk?.layers[0]?.file ?? 'no such disk'))
    },
  }
}

/** As the headers on disk say, top first. */
export async function chainOf(path: string): Promise<DiskLayer[]> {
  const { stdout } = await run('qemu-img', ['info', '-U', '--backing-chain', '--output=json', path])
  return (JSON.parse(stdout) as { filename: string; format: DiskLayer['format'] }[]).map(({ filename, format }) => ({
    path: filename,
    format,
  }))
}

/** What `qemu-img check` finds in the files of a pool nobody has open; leaked clusters are no damage after a kill. */
export async function damaged(directory: string, leaks: 'allowed' | 'refused'): Promise<string[]> {
  const found: string[] = []
  for (const name of readdirSync(directory).filter((one) => one.endsWith('.qcow2'))) {
    await run('qemu-img', ['check', '-f', 'qcow2', join(directory, name)]).catch((error: { code: number; stdout: string }) => {
      if (error.code !== 3 || leaks === 'refused') found.push(`${name}: ${error.stdout}`)
    })
  }
  return found
}
