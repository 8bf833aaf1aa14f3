/** Which strategy takes a snapshot: the highest bid; if there is none, every refusal is named. */
import { DomainError, NeedsAttention } from '../domain/errors.js'
import type { SnapshotKind } from '../domain/server-snapshot.js'
import { qemuExternal } from './qemu-external.js'
import { qemuInternal } from './qemu-internal.js'
import type { Strategy, Target } from './strategy.js'

const STRATEGIES: readonly Strategy[] = [qemuExternal, qemuInternal]

export function selectStrategy(target: Target, strategies: readonly Strategy[] = STRATEGIES): Strategy {
  const bids = strategies.map((strategy) => ({ strategy, bid: strategy.bid(target) }))
  const offers = bids.flatMap(({ strategy, bid }) => ('rank' in bid ? [{ strategy, rank: bid.rank }] : []))
  const best = offers.toSorted((a, b) => b.rank - a.rank)[0]
  if (best !== undefined) return best.strategy
  const refusals = bids.flatMap(({ strategy, bid }) => ('refuses' in bid ? [`${strategy.name}: ${bid.refuses}`] : []))
  throw new DomainError('invalid', `No way to take this snapshot: ${refusals.join('; ')}.`)
}

/** The one a job was accepted with; jobs from before it was said seal layers. */
export function strategyNamed(name: string = qemuExternal.name): Strategy {
  const strategy = STRATEGIES.find((one) => one.name === name)
  if (strategy === undefined) throw new NeedsAttention(`There is no snapshot strategy "${name}".`)
  return strategy
}

/** The one that takes server snapshots of a kind: what else its bid asks for was looked at when the job was accepted. */
export function strategyOf(kind: SnapshotKind, withMemory: boolean): Strategy {
  const target: Target = { kind, withMemory, formats: [], vmState: null, disks: 1 }
  const strategy = STRATEGIES.find((one) => 'rank' in one.bid(target))
  if (strategy === undefined) throw new NeedsAttention(`There is no way to take ${kind} snapshots${withMemory ? ' with memory' : ''}.`)
  return strategy
}
