/**
 * Freezing guests without ever leaving one frozen. A hold begins when the freeze is sent and ends when the agent has
 * said `thawed` or QEMU is gone; nothing else ends it. It is thawed when its holder asks, when its budget is nearly
 * spent, when its owner's connection closes, or when the freeze was not answered: then it may still be executed.
 * Holds are written to the ledger before the guest is touched, so that a new keeper thaws what an old one left.
 */
import { type AgentChannel, AgentFailure, openAgentChannel } from './agent-channel.js'
import type { Ledger } from './ledger.js'
import type { Answers, Target } from './protocol.js'

export type Log = (event: string, fields: Readonly<Record<string, unknown>>) => void
/** Who asked: a connection. */
export type Owner = object

interface Hold extends Target {
  readonly holder: string
  readonly owner: Owner | undefined
  begun: number
  state: 'freezing' | 'frozen' | 'thawing'
  expired: boolean
  channel: AgentChannel | undefined
  timer: NodeJS.Timeout | undefined
  /** Set once thawing began: file systems thawed, resolved when the hold has ended. */
  ending: Promise<number> | undefined
  /** Resolves when another may freeze this guest. */
  readonly over: Promise<void>
  readonly finish: () => void
}

const SYNC_MS = 3000
const THAW_MS = 5000
/** How long whoever asks for a thaw waits for a guest that does not answer; thawing goes on all the same. */
const PATIENCE_MS = 5000
/** How long a freeze waits for another one of the same guest. */
const QUEUE_MS = 5000
const BACK_OFF_MS = [50, 100, 200, 500, 1000, 2000, 5000]
/** A guest that takes no notice of its shutdown says nothing; one that refuses says so at once. */
const SHUTDOWN_ERROR_MS = 1000

export type Freezer = ReturnType<typeof createFreezer>

export function createFreezer({ ledger, log }: { ledger: Ledger; log: Log }) {
  const holds = new Map<string, Hold>()
  /** Holds that ended before their holder asked, by server. */
  const expired = new Map<string, { holder: string; heldMs: number }>()
  const gone = new WeakSet<Owner>()

  async function freeze(target: Target, holder: string, budgetMs: number, owner: Owner | undefined): Promise<Answers['freeze']> {
    const patience = performance.now() + Math.min(QUEUE_MS, budgetMs)
    for (let other = holds.get(target.server); other !== undefined; other = holds.get(target.server)) {
      if (performance.now() >= patience) throw new AgentFailure('error', 'the guest is frozen already, or being thawed')
      await within(patience - performance.now(), other.over)
    }
    if (owner !== undefined && gone.has(owner)) throw new AgentFailure('silent', 'the caller is gone')
    const hold = newHold(target, holder, owner)
    holds.set(target.server, hold)
    expired.delete(target.server)
    try {
      hold.channel = await openAgentChannel(target.socketPath, Math.min(SYNC_MS, budgetMs))
      if (hold.expired) throw new AgentFailure('silent', 'the caller is gone')
      ledger.write(entries())
    } catch (error) {
      // Nothing was sent: nothing to thaw.
      hold.channel?.close()
      holds.delete(target.server)
      hold.finish()
      throw error
    }
    hold.begun = performance.now()
    // Thawing takes time too, and is to be over when the budget is.
    hold.timer = setTimeout(() => expire(hold, 'budget'), budgetMs * 0.9)
    try {
      const frozen = await hold.channel.execute({ execute: 'guest-fsfreeze-freeze' }, budgetMs)
      if (hold.expired) throw new AgentFailure('silent', 'the freeze came too late')
      if (!isCount(frozen) || frozen === 0) throw new AgentFailure('error', 'the agent froze nothing')
      hold.state = 'frozen'
      log('frozen', { server: target.server, holder, frozen })
      return { frozen }
    } catch (error) {
      expire(hold, 'freeze failed')
      throw error
    }
  }

  async function thaw(target: Target, holder: string): Promise<Answers['thaw']> {
    const hold = holds.get(target.server)
    if (hold === undefined) return await thawUnknown(target, holder)
    // Somebody else's, who is alive and has a budget: not for us to end.
    if (hold.holder !== holder) return { thawed: 0, heldMs: 0, expired: true }
    const early = hold.expired
    const thawed = await within(PATIENCE_MS, end(hold))
    const heldMs = performance.now() - hold.begun
    if (!early && thawed !== undefined) return { thawed, heldMs, expired: false }
    hold.expired = true
    expired.delete(target.server)
    return { thawed: 0, heldMs, expired: true }
  }

  /** Thawed before, or frozen by nobody we know of: the guest is told all the same, if it listens. */
  async function thawUnknown(target: Target, holder: string): Promise<Answers['thaw']> {
    const before = expired.get(target.server)
    expired.delete(target.server)
    if (before?.holder === holder) return { thawed: 0, heldMs: before.heldMs, expired: true }
    const channel = await openAgentChannel(target.socketPath, SYNC_MS).catch(() => undefined)
    try {
      await channel?.execute({ execute: 'guest-fsfreeze-thaw' }, THAW_MS).catch(() => undefined)
    } finally {
      channel?.close()
    }
    return { thawed: 0, heldMs: 0, expired: true }
  }

  function expire(hold: Hold, why: string): void {
    if (hold.expired || hold.state === 'thawing') return
    hold.expired = true
    log('expired', { server: hold.server, holder: hold.holder, why, heldMs: performance.now() - hold.begun })
    // While connecting nothing was sent yet: freeze() sees the mark and gives up.
    if (hold.channel !== undefined) void end(hold)
  }

  function end(hold: Hold): Promise<number> {
    hold.ending ??= endOnce(hold)
    return hold.ending
  }

  async function endOnce(hold: Hold): Promise<number> {
    clearTimeout(hold.timer)
    const answered = hold.state === 'frozen'
    hold.state = 'thawing'
    if (!answered) {
      // The reply to the freeze may still come on this connection: start afresh.
      hold.channel?.close()
      hold.channel = undefined
    }
    const thawed = await thawUntilThawed(hold)
    const heldMs = performance.now() - hold.begun
    holds.delete(hold.server)
    ledger.write(entries())
    if (hold.expired) expired.set(hold.server, { holder: hold.holder, heldMs })
    hold.finish()
    log('thawed', { server: hold.server, holder: hold.holder, thawed, heldMs, expired: hold.expired })
    return thawed
  }

  async function thawUntilThawed(hold: Hold): Promise<number> {
    let thawed = 0
    for (let attempt = 0; ; attempt++) {
      try {
        hold.channel ??= await openAgentChannel(hold.socketPath, SYNC_MS)
        const count = await hold.channel.execute({ execute: 'guest-fsfreeze-thaw' }, THAW_MS).catch(unlessError)
        if (isCount(count)) thawed += count
        // An agent that answers, but does not know this command, has frozen nothing.
        const status = await hold.channel.execute({ execute: 'guest-fsfreeze-status' }, SYNC_MS).catch(unlessError)
        if (status === 'thawed' || status === undefined) {
          hold.channel.close()
          return thawed
        }
      } catch (error) {
        const failure = error instanceof AgentFailure ? error : new AgentFailure('silent', String(error))
        hold.channel?.close()
        hold.channel = undefined
        if (failure.reason === 'gone') return thawed
        if (attempt < BACK_OFF_MS.length || attempt % 100 === 0)
          log('thaw failed', { server: hold.server, holder: hold.holder, attempt, reason: failure.reason, message: failure.message })
      }
      await delay(BACK_OFF_MS[Math.min(attempt, BACK_OFF_MS.length - 1)] ?? 0)
    }
  }

  async function present(target: Target, timeoutMs: number): Promise<Answers['present']> {
    const hold = holds.get(target.server)
    if (hold !== undefined) return { present: hold.state === 'frozen' }
    try {
      ;(await openAgentChannel(target.socketPath, timeoutMs)).close()
      return { present: true }
    } catch {
      return { present: false }
    }
  }

  async function shutdown(target: Target, mode: 'powerdown' | 'reboot'): Promise<Answers['shutdown']> {
    if (holds.has(target.server)) return { taken: false }
    let channel: AgentChannel
    try {
      channel = await openAgentChannel(target.socketPath, SYNC_MS)
    } catch {
      return { taken: false }
    }
    try {
      await channel.execute({ execute: 'guest-shutdown', arguments: { mode } }, SHUTDOWN_ERROR_MS)
      return { taken: true }
    } catch (error) {
      return { taken: error instanceof AgentFailure && error.reason === 'silent' }
    } finally {
      channel.close()
    }
  }

  function entries(): (Target & { holder: string })[] {
    return [...holds.values()].map(({ server, socketPath, holder }) => ({ server, socketPath, holder }))
  }

  return {
    freeze,
    thaw,
    present,
    shutdown,
    /** The owner's connection is gone: so are its holds. */
    disown(owner: Owner): void {
      gone.add(owner)
      for (const hold of holds.values()) if (hold.owner === owner) expire(hold, 'caller gone')
    },
    /** Thaws what a keeper before us had frozen, or may have. */
    recover(): void {
      for (const entry of ledger.read()) {
        const hold = newHold(entry, entry.holder, undefined)
        hold.expired = true
        holds.set(entry.server, hold)
        log('recovering', { server: entry.server, holder: entry.holder })
        void end(hold)
      }
    },
    /** Thaws everything; false if some guest did not answer for now (the ledger keeps it). */
    async thawAll(): Promise<boolean> {
      for (const hold of holds.values()) expire(hold, 'keeper ends')
      const all = Promise.all([...holds.values()].map((hold) => hold.ending))
      return (await within(PATIENCE_MS, all)) !== undefined
    },
    holds: (): Answers['status']['holds'] =>
      [...holds.values()].map(({ server, holder, state, begun }) => ({ server, holder, state, heldMs: performance.now() - begun })),
  }
}

function newHold(target: Target, holder: string, owner: Owner | undefined): Hold {
  let finish = (): void => {}
  const over = new Promise<void>((resolve) => {
    finish = resolve
  })
  return {
    server: target.server,
    socketPath: target.socketPath,
    holder,
    owner,
    begun: performance.now(),
    state: 'freezing',
    expired: false,
    channel: undefined,
    timer: undefined,
    ending: undefined,
    over,
    finish,
  }
}

/** The agent's "no" becomes undefined. */
function unlessError(error: unknown): undefined {
  if (error instanceof AgentFailure && error.reason === 'error') return undefined
  throw error
}

const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 10_000

const delay = (millis: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, millis))

async function within<T>(millis: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), millis)
  })
  try {
    return await Promise.race([promise, limit])
  } finally {
    clearTimeout(timer)
  }
}
