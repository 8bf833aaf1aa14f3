/** How long chains may get, as a project or the owner of a server sets it. Without a rule of its own the next wider one holds. */
import type { Caller } from '../../domain/caller.js'
import { type ChainLimits, type EffectivePolicy, effectivePolicy, policyIds } from '../../domain/chain-policy.js'
import { DomainError } from '../../domain/errors.js'
import { ANY, type Stores } from '../../ports/stores.js'
import type { ServiceDeps } from '../deps.js'
import { allowMember } from '../volume/access.js'
import { requireServer } from './server-snapshots-common.js'

export type PolicyOwner = { readonly kind: 'server' | 'project'; readonly id: string }

export interface ChainPolicyService {
  show(caller: Caller, owner: PolicyOwner): Promise<EffectivePolicy>
  /** What is not named stays as it holds now. */
  set<R>(caller: Caller, owner: PolicyOwner, limits: Partial<ChainLimits>, reply: (policy: EffectivePolicy) => R): Promise<R>
  /** Of none succeeds. */
  clear(caller: Caller, owner: PolicyOwner): Promise<void>
}

export function createChainPolicyService({ db, clock }: Pick<ServiceDeps, 'db' | 'clock'>): ChainPolicyService {
  return {
    show: async (caller, owner) => await policyOf(db.read, await whose(db.read, caller, owner)),

    set: (caller, owner, limits, reply) =>
      db.transaction(async (stores) => {
        const of = await whose(stores, caller, owner)
        allowMember(caller, 'chain_policy:set')
        const { from: _, ...now } = await policyOf(stores, of)
        const wanted = { ...now, ...limits }
        if (wanted.softDepth > wanted.hardDepth)
          throw new DomainError('invalid', `soft_depth (${wanted.softDepth}) must not be more than hard_depth (${wanted.hardDepth}).`)
        if ((await stores.chainPolicies.find(ANY, owner.id)) !== undefined) await stores.chainPolicies.update(owner.id, wanted)
        else await stores.chainPolicies.insert({ id: owner.id, projectId: of.projectId, ...wanted, createdAt: clock.now() })
        return reply(await policyOf(stores, of))
      }),

    clear: (caller, owner) =>
      db.transaction(async (stores) => {
        await whose(stores, caller, owner)
        allowMember(caller, 'chain_policy:clear')
        await stores.chainPolicies.remove(owner.id)
      }),
  }
}

interface Of {
  readonly serverId: string | null
  readonly projectId: string
}

async function whose(stores: Stores, caller: Caller, { kind, id }: PolicyOwner): Promise<Of> {
  if (kind === 'server') return { serverId: id, projectId: (await requireServer(stores, caller, id)).projectId }
  const isOwn = caller.isAdmin || caller.projectId === id
  if (!isOwn || (await stores.projects.find(ANY, id)) === undefined) throw new DomainError('notFound', `Project ${id} could not be found.`)
  return { serverId: null, projectId: id }
}

async function policyOf(stores: Stores, of: Of): Promise<EffectivePolicy> {
  return effectivePolicy(await stores.chainPolicies.list(ANY, { where: { id: { in: policyIds(of) } } }), of)
}
