/**
 * How long a guest may stand whose memory is copied while it runs. QEMU ends its passes over the memory when it expects to copy
 * the rest within a limit, and each pass leaves what was written during it. So a low limit costs passes, and with a guest that
 * writes as fast as it is copied there is no end of them: then the limit rises, and at last the guest is simply stopped.
 */
import type { QmpSession } from './qmp/session.js'

export const PAUSE_MS = { usual: 300, least: 20 } as const
/** Until the first number of passes a guest may settle down by itself; from then on each doubles the limit. After the last it is stopped. */
const PASSES = { patient: 4, last: 16 } as const

/** Called with the number of passes so far, as often as one likes. */
export function pressOn(session: Pick<QmpSession, 'execute'>): (passes: number) => Promise<void> {
  let granted: number = PAUSE_MS.least
  let isStopped = false
  return async (passes) => {
    const wanted = Math.min(PAUSE_MS.usual, PAUSE_MS.least * 2 ** Math.max(0, passes - PASSES.patient))
    if (wanted > granted) await session.execute('migrate-set-parameters', { 'downtime-limit': wanted })
    granted = Math.max(granted, wanted)
    if (passes <= PASSES.last || isStopped) return
    isStopped = true
    await session.execute('stop')
  }
}
