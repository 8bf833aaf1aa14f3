/**
 * Our monitors of a guest. Each serves one client, and a client that keeps it, stopped or not, keeps everyone else out. So
 * there are several, and whoever comes takes the first that answers: two workers of one host reach every guest, and so does
 * an API that audits. All of them see the same events, jobs and nodes; which job may do what is the locks' affair.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { AdapterError } from '../domain/errors.js'
import { QmpSession } from './qmp/session.js'

/** In this order. The first alone is in guests of before there were several. */
export const MONITORS = ['qmp.sock', 'qmp-2.sock', 'qmp-3.sock'] as const

/** A free monitor answers well within this; only then is the next one tried. */
const HEAD_START_MS = 100
const AGAIN_MS = 20

export async function firstToAnswer(paths: readonly string[], timeoutMs = 5_000): Promise<QmpSession> {
  const deadline = Date.now() + timeoutMs
  const decided = new AbortController()
  const won = (session: QmpSession): QmpSession => {
    decided.abort()
    return session
  }
  const attempts = paths.map(async (path, index) => {
    await sleep(index * HEAD_START_MS, undefined, { signal: decided.signal })
    for (;;) {
      const session = new QmpSession({ path, connectTimeoutMs: Math.max(1, deadline - Date.now()) })
      const giveUp = (): void => session.close()
      decided.signal.addEventListener('abort', giveUp)
      try {
        await session.connect().finally(() => decided.signal.removeEventListener('abort', giveUp))
        if (!decided.signal.aborted) return won(session)
        session.close()
        throw decided.signal.reason
      } catch (error) {
        // Its queue is full of those who waited in vain: emptied the moment its client goes.
        if (decided.signal.aborted || !isCrowded(error) || Date.now() >= deadline) throw error
      }
      await sleep(AGAIN_MS, undefined, { signal: decided.signal })
    }
  })
  try {
    return await Promise.any(attempts)
  } catch (error) {
    // What the first said: the others may not be there at all.
    throw error instanceof AggregateError ? error.errors[0] : error
  }
}

const isCrowded = (error: unknown): boolean =>
  error instanceof AdapterError && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'EAGAIN'
