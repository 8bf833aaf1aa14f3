/**
 * A small world to break things in: a pool with real qcow2 files whose every byte is known, rows that say so, and guests
 * without an operating system. It also keeps the reference: what each disk and each promise must read as.
 */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { openDatabase } from '../../db/connection.js'
import type { Layer } from '../../src/domain/disk.js'
import { layerFileName } from '../../src/domain/names.js'
import type { Descriptor } from '../../src/domain/operation.js'
import type { Server, ServerTask, VmState } from '../../src/domain/server.js'
import type { Volume } from '../../src/domain/volume.js'
import { ANY, type Database } from '../../src/ports/stores.js'
import { type Content, makeImage, scratch } from './images.js'
import type { FakeClock } from './ports.js'
import { GIB_SIZE, imageRow, serverRow, snapshotRow, volumeRow } from './rows.js'

export const MIB = 1024 * 1024
export const DISK_MIB = 8
const POOL_SIZE = '96m'
const run = promisify(execFile)

let migrated: Promise<string> | undefined
/** An empty database with the schema in it, made once a process. */
const template = async (): Promise<string> => {
  migrated ??= (async () => {
    const path = join(await scratch(), 'template.sqlite')
    await (await openDatabase({ url: `sqlite:${path}` })).close()
    return path
  })()
  return await migrated
}

export interface Volumed {
  readonly volumeId: string
  readonly diskId: string
  readonly layerIds: readonly string[]
}

export interface World {
  readonly dir: string
  readonly pool: string
  readonly url: string
  readonly db: Database
  readonly clock: FakeClock
  readonly hostId: string
  readonly poolId: string
  readonly projectId: string
  /** By disk, snapshot, disk snapshot or image id: what it must read as. */
  readonly expected: Map<string, Content>
  /** Disks that are to go back, by id: what they must read as once the job that does it has passed its pivot. */
  readonly reverted: Map<string, Content>
  /** Tags that nobody could take out of their layers: dead bytes there. */
  readonly deadTags: Set<string>
  origin(): { projectId: string; userId: string; requestId: string }
  /** A volume of layers given base first: MiB → byte; a branch where it stands `on` a layer there is. */
  volume(layers: readonly Content[], patch?: Partial<Volume>, on?: string | null): Promise<Volumed>
  rootOf(serverId: string, layers: readonly Content[]): Promise<{ diskId: string; layerIds: string[] }>
  server(vmState: VmState, taskState?: ServerTask | null, patch?: Partial<Server>): Promise<string>
  attach(serverId: string, volume: Volumed, status?: 'attached' | 'attaching' | 'detaching'): Promise<string>
  planned(patch?: Partial<Layer>): Promise<string>
  snapshot(
    volume: Volumed,
    layerId: string | null,
    status: 'creating' | 'available' | 'deleting' | 'restoring',
    serverId?: string | null,
  ): Promise<string>
  image(status: 'queued' | 'saving', patch?: object): Promise<string>
  enqueue<I extends object>(descriptor: Descriptor<I>, input: I): Promise<string>
  /** Of a world with a small pool: leaves so many bytes, and gives the room back. */
  fill(left: number): Promise<void>
  makeRoom(): Promise<void>
  destroy(): Promise<void>
}

export interface WorldOptions {
  /** Of a database that is there; its own SQLite where it is not said. */
  readonly url?: string
  /** The pool is a file system of its own, which can be filled. Only in a mount namespace of the process's own. */
  readonly smallPool?: boolean
}

export async function makeWorld(clock: FakeClock, { url, smallPool = false }: WorldOptions = {}): Promise<World> {
  const dir = await mkdtemp('/tmp/sc-')
  const pool = join(dir, 'pools/default')
  await mkdir(pool, { recursive: true })
  if (smallPool) await run('mount', ['-t', 'tmpfs', '-o', `size=${POOL_SIZE},mode=700`, 'pool', pool])
  const ballast = join(pool, 'ballast')
  await mkdir(join(dir, 'staging'))
  const dbUrl = url ?? `sqlite:${join(dir, 'strata.sqlite')}`
  if (url === undefined) await copyFile(await template(), join(dir, 'strata.sqlite'))
  const db = await openDatabase({ url: dbUrl, now: () => clock.now() })
  const [hostId, poolId, projectId, userId, typeId] = [randomUUID(), randomUUID(), randomUUID(), randomUUID(), randomUUID()] as const
  const now = clock.now()
  const expected = new Map<string, Content>()
  const reverted = new Map<string, Content>()
  const reads = new Map<string, Content>()
  await db.transaction(async (s) => {
    await s.hosts.insert({ id: hostId, state: 'up', address: '', bootId: 'boot', capabilities: {}, heartbeatAt: now, createdAt: now })
    await s.pools.insert({ id: poolId, hostId, name: `p-${poolId}`, path: pool, isDefault: true, createdAt: now })
    await s.volumeTypes.insert({ id: typeId, name: `t-${typeId}`, description: null, isPublic: true, extraSpecs: {}, createdAt: now })
  })
  const origin = () => ({ projectId, userId, requestId: `req-${randomUUID()}` })
  const layer = (patch: Partial<Layer> = {}): Omit<Layer, 'seq'> => {
    const id = patch.id ?? randomUUID()
    const format = patch.format ?? 'qcow2'
    return {
      id,
      poolId,
      projectId,
      parentId: null,
      fileName: layerFileName(id, format),
      format,
      virtualSize: DISK_MIB * MIB,
      state: 'planned',
      origin: 'disk',
      createdAt: now,
      ...patch,
    }
  }
  const chain = async (layers: readonly Content[], diskId: string, on: string | null): Promise<string[]> => {
    const ids: string[] = []
    let below = on
    const merged = new Map(on === null ? [] : reads.get(on))
    for (const [index, content] of layers.entries()) {
      const row = layer({ parentId: below, state: index === layers.length - 1 ? 'top' : 'sealed' })
      await makeImage(join(pool, row.fileName), DISK_MIB, below === null ? null : layerFileName(below, 'qcow2'), content)
      await db.transaction((s) => s.layers.insert(row))
      ids.push(row.id)
      for (const [block, byte] of content) merged.set(block, byte)
      below = row.id
      reads.set(row.id, new Map(merged))
    }
    expected.set(diskId, merged)
    return ids
  }
  const disk = async (kind: 'root' | 'volume', serverId: string | null, layers: readonly Content[], on: string | null = null) => {
    const diskId = randomUUID()
    const layerIds = await chain(layers, diskId, on)
    await db.transaction((s) =>
      s.disks.insert({
        id: diskId,
        hostId,
        poolId,
        projectId,
        kind,
        serverId,
        topLayerId: layerIds.at(-1) ?? null,
        virtualSize: DISK_MIB * MIB,
        createdAt: now,
      }),
    )
    return { diskId, layerIds }
  }

  return {
    dir,
    pool,
    url: dbUrl,
    db,
    clock,
    hostId,
    poolId,
    projectId,
    expected,
    reverted,
    deadTags: new Set(),
    origin,
    async volume(layers, patch = {}, on = null) {
      const volumeId = randomUUID()
      const { diskId, layerIds } = await disk('volume', null, layers, on)
      await db.transaction(async (s) => {
        await s.volumes.insert(
          volumeRow({ id: volumeId, projectId, userId, diskId, volumeTypeId: typeId, createdAt: now }, layers.length > 0, patch),
        )
        await s.quotas.take(projectId, volumeId, { volumes: 1, gigabytes: GIB_SIZE })
      })
      return { volumeId, diskId, layerIds }
    },
    rootOf: async (serverId, layers) => await disk('root', serverId, layers),
    async server(vmState, taskState = null, patch = {}) {
      const id = randomUUID()
      await db.transaction(async (s) => {
        await s.servers.insert(serverRow({ id, projectId, userId, hostId, createdAt: now, vmState, taskState }, patch))
        await s.quotas.take(projectId, id, { instances: 1, cores: 1, ram: 32 })
      })
      return id
    },
    async attach(serverId, volume, status = 'attached') {
      const id = randomUUID()
      await db.transaction(async (s) => {
        const device = `/dev/vd${'bcdef'[await s.attachments.count(ANY, { serverId: { is: serverId } })]}`
        const row = { id, projectId, volumeId: volume.volumeId, diskId: volume.diskId, serverId, device, status }
        await s.attachments.insert({ ...row, bootIndex: null, deleteOnTermination: false, tag: null, attachedAt: null, createdAt: now })
        if (status !== 'attaching') await s.disks.update(volume.diskId, { serverId })
        await s.volumes.update(volume.volumeId, { status: status === 'attached' ? 'in-use' : status })
      })
      return id
    },
    async planned(patch = {}) {
      const row = layer(patch)
      await db.transaction((s) => s.layers.insert(row))
      return row.id
    },
    async snapshot(volume, layerId, status, serverId = null) {
      const id = randomUUID()
      await db.transaction(async (s) => {
        const { volumeId, diskId } = volume
        await s.snapshots.insert(snapshotRow({ id, projectId, userId, volumeId, diskId, serverId, layerId, status, createdAt: now }))
        await s.quotas.take(projectId, id, { snapshots: 1, gigabytes: GIB_SIZE })
      })
      return id
    },
    async image(status, patch = {}) {
      const id = randomUUID()
      await db.transaction(async (s) => {
        await s.images.insert(imageRow({ id, projectId, status, createdAt: now, updatedAt: now }, patch))
        await s.quotas.take(projectId, id, { images: 1 })
      })
      return id
    },
    enqueue: async (descriptor, input) => await db.transaction((s) => s.jobs.enqueue(descriptor, input, { hostId, origin: origin() })),
    async fill(left) {
      if (!smallPool) throw new Error('a pool without an end cannot be full')
      const { bavail, bsize } = await statfs(pool)
      await writeFile(ballast, Buffer.alloc(Math.max(0, bavail * bsize - left)))
    },
    makeRoom: async () => await rm(ballast, { force: true }),
    async destroy() {
      await db.close()
      if (smallPool) await run('umount', ['-l', pool])
      await rm(dir, { recursive: true, force: true })
    },
  }
}
