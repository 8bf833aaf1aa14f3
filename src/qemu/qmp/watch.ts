/**
 * Waiting for the world to move. An event is only a hint and may be lost with a connection, so the pattern is
 * always: watch, look, wait, look again. What happens between the look and the wait is kept.
 */
import type { QmpEvent } from './commands.js'
import type { QmpSession } from './session.js'

export interface Watch {
  /** Resolves at once if something happened since the last wait; else at the next event, the session's end, the time-out or the abort. */
  wait(timeoutMs: number, signal?: AbortSignal): Promise<void>
  stop(): void
}

export function watch(session: QmpSession, wanted: (event: QmpEvent) => boolean): Watch {
  let happened = false
  let wake: (() => void) | undefined
  const notice = (): void => {
    happened = true
    wake?.()
  }
  const offEvent = session.onEvent((event) => wanted(event) && notice())
  const offState = session.onState(notice)
  return {
    async wait(timeoutMs, signal) {
      if (!happened && signal?.aborted !== true) {
        await new Promise<void>((resolve) => {
          const end = (): void => {
            clearTimeout(timer)
            signal?.removeEventListener('abort', end)
            wake = undefined
            resolve()
          }
          const timer = setTimeout(end, timeoutMs)
          signal?.addEventListener('abort', end)
          wake = end
        })
      }
      happened = false
    },
    stop() {
      offEvent()
      offState()
    },
  }
}
