/**
 * Servers for tests of Nova's side: the application of test/support/api.ts, and builders that do to the rows what a
 * worker would, so that tests see each state a caller can meet.
 */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll } from 'vitest'
import type { Caller } from '../../../src/domain/caller.js'
import type { Image } from '../../../src/domain/image.js'
import type { Job } from '../../../src/domain/job.js'
import type { Server, ServerTask, VmState } from '../../../src/domain/server.js'
import type { Volume } from '../../../src/domain/volume.js'
import { ANY, type Database } from '../../../src/ports/stores.js'
import { HOST_ID, openApi, type Role, type TestApi } from '../../support/api.js'

export const GIB = 2 ** 30

interface Answer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: bodies are what the tests look into
  readonly body: any
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

export interface Rig {
  /** For what is not Nova's. */
  readonly api: TestApi
  readonly db: Database
  /** Hosts whose doorbell was rung. */
  readonly rung: string[]
  /** What the next console reads give. */
  readonly consoleText: { value: string }
  caller(role: Role): Caller
  projectId(role: Role): string
  readonly poolId: string
  call(who: Role, method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, options?: { body?: unknown; version?: string }): Promise<Answer>
  act(who: Role, serverId: string, body: unknown, version?: string): Promise<Answer>
}

export function useRig(): Rig {
  let api: TestApi
  const consoleText = { value: '' }
  beforeAll(async () => {
    api = await openApi({ services: { console: { console: async () => consoleText.value } } })
    const all = { instances: -1, cores: -1, ram: -1, volumes: -1, gigabytes: -1, snapshots: -1, images: -1 }
    await api.db.transaction(async (stores) => {
      for (const role of ['member', 'foreign', 'admin'] as const) await stores.quotas.setLimits(api.projectId(role), all)
    })
  })
  afterAll(() => api.close())
  const call: Rig['call'] = async (who, method, path, { body, version } = {}) => {
    const agent = api.as(who, version === undefined ? {} : { 'OpenStack-API-Version': `compute ${version}` })
    const verb = method.toLowerCase() as 'get' | 'post' | 'put' | 'delete'
    const sent = agent[verb](`/compute/v2.1${path}`)
    const answer = body === undefined ? await sent : await sent.send(body as object)
    return { status: answer.status, body: answer.body, headers: answer.headers, text: answer.text }
  }
  return {
    get api() {
      return api
    },
    get db() {
      return api.db
    },
    get rung() {
      return api.rung
    },
    get poolId() {
      return api.poolId
    },
    consoleText,
    caller: (role) => api.caller(role),
    projectId: (role) => api.projectId(role),
    call,
    act: (who, id, body, version) => call(who, 'POST', `/servers/${id}/action`, { body, ...(version === undefined ? {} : { version }) }),
  }
}

/** A sealed layer of an image, or the top of a disk. */
async function aLayer(
  rig: Rig,
  patch: { origin?: 'disk' | 'image'; state?: 'top' | 'sealed'; virtualSize?: number } = {},
): Promise<string> {
  const id = randomUUID()
  await rig.db.transaction((stores) =>
    stores.layers.insert({
      id,
      poolId: rig.poolId,
      projectId: rig.projectId('member'),
      parentId: null,
      fileName: `${id}.qcow2`,
      format: 'qcow2',
      virtualSize: patch.virtualSize ?? GIB,
      state: patch.state ?? 'sealed',
      origin: patch.origin ?? 'disk',
      createdAt: Date.now() * 1000,
    }),
  )
  return id
}

export async function anImage(rig: Rig, patch: Partial<Image> = {}): Promise<Omit<Image, 'seq'>> {
  const now = Date.now() * 1000
  const image: Omit<Image, 'seq'> = {
    id: randomUUID(),
    projectId: rig.projectId('member'),
    name: 'tiny',
    status: 'active',
    visibility: 'private',
    protected: false,
    hidden: false,
    diskFormat: 'qcow2',
    containerFormat: 'bare',
    minDisk: 0,
    minRam: 0,
    size: 1000,
    virtualSize: GIB,
    checksum: 'c',
    hashAlgo: 'sha512',
    hashValue: 'h',
    properties: {},
    tags: [],
    layerId: patch.status === undefined || patch.status === 'active' ? await aLayer(rig, { origin: 'image' }) : null,
    sourceLayerId: null,
    createdAt: now,
    updatedAt: now,
    ...patch,
  }
  await rig.db.transaction((stores) => stores.images.insert(image))
  return image
}

export async function aVolume(rig: Rig, patch: Partial<Volume> = {}): Promise<Omit<Volume, 'seq'>> {
  const now = Date.now() * 1000
  const topLayerId = await aLayer(rig, { state: 'top' })
  const diskId = randomUUID()
  const projectId = patch.projectId ?? rig.projectId('member')
  const [type] = await rig.db.read.volumeTypes.list(ANY, { limit: 1 })
  const volume: Omit<Volume, 'seq'> = {
    id: randomUUID(),
    projectId,
    userId: 'u',
    diskId,
    name: 'v',
    description: 'about v',
    status: 'available',
    previousStatus: null,
    sizeGib: 1,
    bootable: false,
    readonly: false,
    metadata: {},
    imageMetadata: null,
    volumeTypeId: type?.id ?? '',
    availabilityZone: 'nova',
    snapshotId: null,
    sourceVolumeId: null,
    imageId: null,
    createdAt: now,
    updatedAt: null,
    ...patch,
  }
  await rig.db.transaction(async (stores) => {
    await stores.disks.insert({
      id: diskId,
      hostId: HOST_ID,
      poolId: rig.poolId,
      projectId,
      kind: 'volume',
      serverId: null,
      topLayerId,
      virtualSize: GIB,
      createdAt: now,
    })
    await stores.volumes.insert(volume)
  })
  return volume
}

/** A server through the API, with its rows moved to where the worker would have them. */
export async function aServer(
  rig: Rig,
  options: {
    who?: Role
    vmState?: VmState
    taskState?: ServerTask | null
    body?: Record<string, unknown>
    patch?: Partial<Server>
    image?: Partial<Image>
  } = {},
): Promise<string> {
  const who = options.who ?? 'member'
  const imageRef =
    options.body?.['block_device_mapping_v2'] === undefined
      ? (await anImage(rig, { projectId: rig.projectId(who), ...options.image })).id
      : ''
  const body = { server: { name: 'one', imageRef, flavorRef: '1', networks: 'none', ...options.body } }
  const created = await rig.call(who, 'POST', '/servers', { body, version: '2.60' })
  if (created.status !== 202) throw new Error(`no server: ${created.text}`)
  await settle(rig.db, created.body.server.id, options)
  return created.body.server.id
}

/** What create-server's job leaves when it is done. */
export async function settle(
  db: Database,
  serverId: string,
  { vmState = 'active', taskState = null, patch = {} }: { vmState?: VmState; taskState?: ServerTask | null; patch?: Partial<Server> } = {},
): Promise<void> {
  await db.transaction(async (stores) => {
    const job = (await stores.jobs.unfinished('server', serverId)).find((one) => one.operation === 'create-server')
    for (const layer of (job?.input as { layers?: { layerId: string; diskId: string }[] })?.layers ?? []) {
      await stores.layers.update(layer.layerId, { state: 'top' })
      await stores.disks.update(layer.diskId, { topLayerId: layer.layerId })
    }
    for (const attachment of await stores.attachments.list(ANY, { where: { serverId: { is: serverId } } })) {
      await stores.attachments.update(attachment.id, { status: 'attached', attachedAt: 1 })
      await stores.volumes.update(attachment.volumeId, { status: 'in-use' })
      await stores.disks.update(attachment.diskId, { serverId })
    }
    const powerState = vmState === 'active' ? 1 : vmState === 'paused' ? 3 : 4
    await stores.servers.update(serverId, { vmState, taskState, powerState, launchedAt: 1, ...patch })
  })
}

async function jobsOf(db: Database, operation: string): Promise<Job[]> {
  return db.read.jobs.list(ANY, { where: { operation: { is: operation } } })
}

/** The newest job of an operation about a resource, as its input. */
// biome-ignore lint/suspicious/noExplicitAny: inputs are what the tests look into
export async function inputOf(db: Database, operation: string, resourceId: string): Promise<any> {
  const jobs = (await jobsOf(db, operation)).filter(
    (job) => job.resourceId === resourceId || JSON.stringify(job.input).includes(resourceId),
  )
  if (jobs.length !== 1) throw new Error(`${jobs.length} jobs ${operation} about ${resourceId}`)
  return jobs[0]?.input
}
