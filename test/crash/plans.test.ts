/**
 * Plans held against what then happens: random trees of real files, a server snapshot of each planned and deleted, and the
 * bytes the worker copied counted in the files themselves (what a layer came to hold that it did not hold before), for a
 * commit by QEMU's own count of what is no zeroes. Now and then the world is changed in between: the plan must be refused then.
 */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Caller } from '../../src/domain/caller.js'
import { layerFileName } from '../../src/domain/names.js'
import { operationKey, registry } from '../../src/operations/registry.js'
import type { HostAuditor } from '../../src/ports/auditor.js'
import { ANY } from '../../src/ports/stores.js'
import { createPlanService, type ServerPlan } from '../../src/services/strata/plans.js'
import { createServerSnapshotService } from '../../src/services/strata/server-snapshots.js'
import { runJob } from '../../src/worker/runner.js'
import { diskSnapshotRow, serverSnapshotRow } from '../support/rows.js'
import { killGuests } from './engine.js'
import { type Incarnation, incarnate, makeClock } from './ports.js'
import { chosenSeed, random } from './random.js'
import { boot } from './stage.js'
import { DISK_MIB, makeWorld, type World } from './world.js'

const run = promisify(execFile)
const TREES = 50
/** A guest is started for each: slower. */
const LIVE = 5
const CLUSTER = 65536
const CLUSTERS = (DISK_MIB * 1024 * 1024) / CLUSTER
const seed = chosenSeed()
const next = random(seed)
const below = (limit: number): number => Math.floor(next() * limit)

let world: World
let life: Incarnation
beforeAll(async () => {
  world = await makeWorld(makeClock())
  life = await incarnate(world, 'honest')
})
afterAll(async () => {
  await life.die()
  await killGuests(world.dir)
  await world.destroy()
})

const caller = (): Caller => {
  const { projectId, userId, requestId } = world.origin()
  return { projectId, userId, requestId, userName: 'tenant', projectName: 'tenant', roles: ['member'], isAdmin: false }
}
const doorbell = { ring: () => {} }
const auditor: HostAuditor = {
  observe: () => Promise.reject(new Error('not asked for')),
  measure: (_, request) => life.ports.auditor.measure(request),
}
const plans = () => createPlanService({ db: world.db, auditor })
const snapshots = () => createServerSnapshotService({ db: world.db, clock: world.clock, doorbell, auditor })

interface Tree {
  readonly serverId: string
  readonly diskId: string
  readonly snapshotIds: readonly string[]
}

/** A server whose disk has a few layers, each pinned by a server snapshot, with branches that are snapshots or other volumes. */
async function grow(isLive: boolean): Promise<Tree> {
  const serverId = await world.server(isLive ? 'active' : 'stopped')
  const trunk = await world.volume(Array.from({ length: 2 + below(4) }, () => new Map()))
  await world.attach(serverId, trunk)
  const pins: { layerId: string; parent: number | null }[] = []
  const node = (layerId: string, parent: number | null): number => pins.push({ layerId, parent }) - 1
  let parent: number | null = null
  const trunkNodes: number[] = []
  for (const layerId of trunk.layerIds.slice(0, -1)) {
    parent = node(layerId, parent)
    trunkNodes.push(parent)
  }
  const files = [...trunk.layerIds]
  for (let branches = below(3); branches > 0; branches--) {
    const at = trunkNodes[below(trunkNodes.length)] ?? 0
    const branch = await world.volume([new Map()], {}, pins[at]?.layerId ?? null)
    files.push(...branch.layerIds)
    if (below(2) === 0) continue
    // Left behind by a revert: nobody's disk any more, but a snapshot's.
    const [layerId = ''] = branch.layerIds
    await world.db.transaction(async (stores) => {
      await stores.layers.transition(layerId, ['top'], { state: 'sealed' })
      await stores.disks.update(branch.diskId, { topLayerId: null })
    })
    node(layerId, at)
  }
  for (const layerId of files) await scatter(layerId)
  const ids = pins.map(() => randomUUID())
  const { projectId, userId } = world.origin()
  await world.db.transaction(async (stores) => {
    for (const [index, pin] of pins.entries()) {
      const id = ids[index] ?? ''
      const about = { projectId, userId, serverId, name: id, status: 'available' as const, createdAt: world.clock.now() }
      await stores.serverSnapshots.insert(
        serverSnapshotRow({ id, ...about, parentId: pin.parent === null ? null : (ids[pin.parent] ?? null) }),
      )
      await stores.diskSnapshots.insert(diskSnapshotRow({ projectId, serverSnapshotId: id, diskId: trunk.diskId, layerId: pin.layerId }))
    }
    await stores.servers.update(serverId, { currentSnapshotId: ids[trunkNodes.length - 1] ?? null })
  })
  if (isLive) await boot(world, serverId, [trunk.diskId])
  return { serverId, diskId: trunk.diskId, snapshotIds: ids }
}

/** Data in some places and zeroes in others, as a guest leaves them. */
async function scatter(layerId: string): Promise<void> {
  const writes = Array.from({ length: 1 + below(8) }, () => {
    const [at, length] = [below(CLUSTERS), 1 + below(24)]
    const bytes = Math.min(length, CLUSTERS - at) * CLUSTER
    return ['-c', `write -q ${below(5) === 0 ? '-z' : `-P ${1 + below(250)}`} ${at * CLUSTER} ${bytes}`]
  })
  await run('qemu-io', ['-f', 'qcow2', ...writes.flat(), fileOf(layerId)])
}

const fileOf = (layerId: string): string => join(world.pool, layerFileName(layerId, 'qcow2'))

interface Size {
  readonly data: number
  readonly zeroes: number
}

/** Bytes in the file itself, by qemu-img's own account. */
async function sizeOf(layerId: string): Promise<Size> {
  const { stdout } = await run('qemu-img', ['map', '-U', '--output=json', '-f', 'qcow2', fileOf(layerId)])
  const extents = (JSON.parse(stdout) as { length: number; depth: number; present: boolean; data: boolean }[]).filter(
    ({ depth, present }) => depth === 0 && present,
  )
  const sum = (isData: boolean): number => extents.reduce((bytes, one) => (one.data === isData ? bytes + one.length : bytes), 0)
  return { data: sum(true), zeroes: sum(false) }
}

/** Runs what there is to do; returns the bytes that were copied by merges. */
async function work(): Promise<number> {
  let copied = 0
  for (;;) {
    const claim = await world.db.transaction((stores) =>
      stores.jobs.claim({ hostId: world.hostId, workerId: 'w', now: world.clock.now(), leaseFor: 600_000_000, except: [] }),
    )
    if (claim === undefined) return copied
    const { job } = claim
    const operation = registry.get(operationKey(job.operation, job.version))
    if (operation === undefined) throw new Error(`no operation ${job.operation}`)
    const above = job.operation === 'merge-layer' ? (await world.db.read.layers.children(job.resourceId)).map(({ id }) => id) : []
    const before = await sizes(above)
    const never = new AbortController().signal
    let counted = 0
    const signals = {
      stop: never,
      cancel: never,
      makeWay: never,
      report: ({ bytesTotal }: { bytesTotal: number }) => {
        counted = bytesTotal
      },
    }
    expect(await runJob({ claim, operation, ports: life.ports, signals }), job.operation).toBe('done')
    const moved = (await world.db.read.jobs.steps(job.id)).find((step) => step.name === 'move-data')
    const way = moved?.facts['way']
    // QEMU counts what says zeroes as done, but copies nothing there.
    if (way === 'commit') copied += counted - (before.get(String(moved?.facts['top']))?.zeroes ?? 0)
    if (way !== 'pull') continue
    const after = await sizes(above)
    for (const id of above) copied += (after.get(id)?.data ?? 0) - (before.get(id)?.data ?? 0)
  }
}
const sizes = async (ids: readonly string[]) => new Map(await Promise.all(ids.map(async (id) => [id, await sizeOf(id)] as const)))

async function outdate(tree: Tree): Promise<void> {
  const [first = ''] = tree.snapshotIds
  if (below(2) === 0) await world.db.transaction((stores) => stores.serverSnapshots.update(first, { protected: true }))
  else {
    const [part] = await world.db.read.diskSnapshots.list(ANY, { where: { serverSnapshotId: { is: first } } })
    await world.volume([new Map()], {}, part?.layerId ?? null)
  }
}

it(`tells within a tenth what is then copied, on ${TREES} random trees (STRATA_CRASH_SEED=${seed})`, { timeout: 300_000 }, async () => {
  const seen: Record<string, number> = { commit: 0, pull: 0, discard: 0, keep: 0, stale: 0, bytes: 0 }
  for (let index = 0; index < TREES; index++) {
    const tree = await grow(index < LIVE)
    const id = tree.snapshotIds[below(tree.snapshotIds.length)] ?? ''
    const mode = (['merge', 'merge_force', 'discard_force'] as const)[below(3)] ?? 'merge'
    const children = below(2) === 0 ? 'share' : 'each'
    const plan = (): Promise<ServerPlan> => plans().planDelete(caller(), id, { mode, children })
    const remove = (hash: string): Promise<void> => snapshots().remove(caller(), id, { mode, children, plan: hash }, () => undefined)
    let told = await plan()
    if (below(3) === 0) {
      await outdate(tree)
      await expect(remove(told.hash)).rejects.toMatchObject({ kind: 'preconditionFailed' })
      await world.db.transaction(async (stores) => {
        for (const one of tree.snapshotIds) await stores.serverSnapshots.update(one, { protected: false })
      })
      told = await plan()
      seen['stale'] = (seen['stale'] ?? 0) + 1
    }
    await remove(told.hash)
    const copied = await work()
    const foretold = told.plan.bytesToCopy
    const said = told.plan.disks.flatMap((disk) => disk.steps.map(({ kind, bytes }) => `${kind} ${bytes / CLUSTER}`)).join(', ')
    expect(
      Math.abs(foretold - copied),
      `tree ${index}, ${mode}, ${children}: told ${foretold / CLUSTER}, copied ${copied / CLUSTER} clusters (${said})`,
    ).toBeLessThanOrEqual(copied / 10)
    for (const disk of told.plan.disks) for (const { kind } of disk.steps) seen[kind] = (seen[kind] ?? 0) + 1
    seen['bytes'] = (seen['bytes'] ?? 0) + copied
    // What the plan says is left is what is left.
    const left = await world.db.read.diskSnapshots.count(ANY, { diskId: { is: tree.diskId } })
    expect(left).toBe(tree.snapshotIds.length - told.outline.going.length)
  }
  // All of it was met, not only the easy half.
  for (const kind of ['commit', 'pull', 'discard', 'keep', 'stale', 'bytes']) expect(seen[kind], kind).toBeGreaterThan(0)
})
