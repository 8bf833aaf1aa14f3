/**
 * Plans for callers: the scene is read, the worker of its host measures the layers in question, and what the domain makes
 * of both is the answer. Nothing is changed and no lock is taken: what may change meanwhile is what the hash is for.
 */
import type { Caller } from '../../domain/caller.js'
import { AdapterError, DomainError } from '../../domain/errors.js'
import type { Job } from '../../domain/job.js'
import type { Lock } from '../../domain/operation.js'
import { fill, type MeasuredScene, type Plan, toMeasure } from '../../domain/plan-bytes.js'
import type { Scene } from '../../domain/plan-scene.js'
import type { Server } from '../../domain/server.js'
import type { CapturedPower } from '../../domain/server-snapshot.js'
import type { DeleteMode } from '../../domain/snapshot-deletion.js'
import { type Children, type Outline, outline, type PlanRequest } from '../../domain/snapshot-plan.js'
import type { HostAuditor } from '../../ports/auditor.js'
import { ANY, type Database, type Stores } from '../../ports/stores.js'
import { originOf } from '../volume/access.js'
import { hashOf, readScene } from './plan-scene.js'
import { serverDisks } from './server-disks.js'
import { requireServer, requireServerSnapshot } from './server-snapshots-common.js'

export interface ServerPlan {
  readonly request: PlanRequest
  readonly serverId: string
  readonly hash: string
  readonly outline: Outline
  readonly plan: Plan
  /** Device and volume of each of the server's disks, by disk. */
  readonly devices: ReadonlyMap<string, { readonly device: string; readonly volumeId: string | null }>
  /** Who has what it wants now, by lock. */
  readonly holders: readonly { readonly lock: Lock; readonly job: Job }[]
  /** False: of a very scattered disk the smallest parts were not counted. */
  readonly exact: boolean
}

export type PlanService = ReturnType<typeof createPlanService>

export function createPlanService({ db, auditor }: { db: Database; auditor: HostAuditor }) {
  return {
    planDelete: (caller: Caller, id: string, asked: { mode: DeleteMode; children: Children }): Promise<ServerPlan> =>
      ofSnapshot(caller, id, { kind: 'delete', id, ...asked }),

    planRevert: (
      caller: Caller,
      id: string,
      asked: { powerState: CapturedPower | null; memory: boolean | null; keepCurrent: boolean },
    ): Promise<ServerPlan> => ofSnapshot(caller, id, { kind: 'revert', id, ...asked }),

    async planConsolidate(caller: Caller, serverId: string, children: Children): Promise<ServerPlan> {
      return await plan(caller, { kind: 'consolidate', children }, (stores) => requireServer(stores, caller, serverId))
    },
  }

  async function ofSnapshot(caller: Caller, id: string, request: PlanRequest): Promise<ServerPlan> {
    return await plan(caller, request, async (stores) =>
      requireServer(stores, caller, (await requireServerSnapshot(stores, caller, id)).serverId),
    )
  }

  async function plan(caller: Caller, request: PlanRequest, find: (stores: Stores) => Promise<Server>): Promise<ServerPlan> {
    const { scene, devices } = await db.transaction(async (stores) => {
      const server = await find(stores)
      const [read, disks] = [await readScene(stores, server), await serverDisks(stores, server)]
      const names = disks.map(({ disk, device, volume }) => [disk.id, { device, volumeId: volume?.id ?? null }] as const)
      return { scene: read, devices: new Map(names) }
    })
    const given = outline(scene, request)
    const { exact, ...measured } = await measure(caller, scene, given)
    const made = fill(given, request, measured)
    const locks = made.locks.filter((lock) => caller.isAdmin || !others(scene, caller).has(lock))
    return {
      request,
      serverId: scene.server.id,
      hash: hashOf(scene, request),
      outline: given,
      plan: { ...made, locks },
      devices,
      holders: (await holders(locks)).filter(({ job }) => caller.isAdmin || job.projectId === caller.projectId),
      exact,
    }
  }

  async function measure(caller: Caller, { server, layers }: Scene, given: Outline): Promise<MeasuredScene & { exact: boolean }> {
    const pools = await db.read.pools.list(ANY, { where: { hostId: { is: server.hostId } } })
    const wanted = [...toMeasure(given)]
    const trees = wanted.map(([, ids]) =>
      layers
        .filter((layer) => ids.has(layer.id))
        .map(({ id, poolId, fileName, format, virtualSize }) => ({
          layerId: id,
          path: `${pools.find((pool) => pool.id === poolId)?.path ?? ''}/${fileName}`,
          format,
          virtualSize,
        })),
    )
    const request = { serverId: server.id, trees, pools: pools.map((pool) => pool.path) }
    const seen = await auditor.measure(server.hostId, request, originOf(caller)).catch((cause: unknown) => {
      if (!(cause instanceof AdapterError)) throw cause
      throw new DomainError('unavailable', `Host ${server.hostId} did not tell what its layers hold. Please try again later.`, { cause })
    })
    return {
      measures: new Map(wanted.flatMap(([tree], index) => (seen.trees[index] ? [[tree, seen.trees[index]] as const] : []))),
      free: new Map(pools.flatMap(({ id, path }) => (seen.free[path] === undefined ? [] : [[id, seen.free[path]] as const]))),
      exact: seen.trees.every((tree) => tree.exact),
    }
  }

  async function holders(locks: readonly Lock[]): Promise<ServerPlan['holders']> {
    const found = await Promise.all(locks.map(async (lock) => ({ lock, job: await db.read.jobs.holder(lock) })))
    return found.flatMap(({ lock, job }) => (job === undefined ? [] : [{ lock, job }]))
  }
}

/** A chain may go through layers that disks of other projects stand on: none of the caller's business. */
const others = ({ disks }: Scene, caller: Caller): Set<Lock> =>
  new Set(disks.filter((disk) => disk.projectId !== caller.projectId).map((disk): Lock => `chain:${disk.id}`))
