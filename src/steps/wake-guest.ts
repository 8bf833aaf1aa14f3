/**
 * A guest that stands still while its disk moves from one layer to another: made to stand just before the block job is
 * completed, and going on once the tables name its top. Between the two both layers hold the same, so whichever the
 * tables name is right; a guest that wrote meanwhile would make one of them stale, and the files cannot tell which.
 */
import type { Guest } from '../ports/hypervisor.js'
import { ANY } from '../ports/stores.js'
import type { ForwardBrick, Tools } from './tools.js'

/** What they say of the guest's standing still: since when, and for how long. */
type PauseFacts = { readonly pausedAt?: number; readonly guestPausedMs?: number }

/** Makes it stand for what follows; should that come to nothing, `rouse` lets it go on. */
export function holdStill(tools: Tools, guest: Guest | undefined) {
  let pausedAt: number | undefined
  return {
    async begin(): Promise<void> {
      pausedAt = tools.clock.now()
      if (guest !== undefined) tools.learn({ pausedAt } satisfies PauseFacts)
      await guest?.pause()
    },
    /** Of one that was not begun: nothing. Its answer may have been lost, so whether it stands is looked at. */
    async rouse(): Promise<void> {
      if (pausedAt === undefined || guest === undefined || !(await wake(tools, guest.serverId))) return
      tools.learn({ guestPausedMs: millisSince(tools, pausedAt) } satisfies PauseFacts)
    },
  }
}

/** Forward: the guest goes on once the tables name its top, if the tables say it should be running. */
export const wakeGuests = (diskIds: readonly string[], movedBy: string): ForwardBrick => ({
  kind: 'forward',
  name: 'wake-guest',
  probe: async () => 'absent',
  async apply(_, tools) {
    const disks = await tools.db.read.disks.list(ANY, { where: { id: { in: [...diskIds] } } })
    for (const serverId of new Set(disks.map((disk) => disk.serverId))) {
      if (serverId === null || !(await wake(tools, serverId))) continue
      const moved = (await tools.db.read.jobs.steps(tools.jobId)).find((step) => step.name === movedBy)
      // A run before this one that died paused it: when, nobody knows any more.
      const { pausedAt } = (moved?.facts ?? {}) as PauseFacts
      if (pausedAt !== undefined) tools.learn({ guestPausedMs: millisSince(tools, pausedAt) } satisfies PauseFacts)
    }
  },
})

const millisSince = (tools: Tools, micros: number): number => Math.max(0, (tools.clock.now() - micros) / 1000)

/** True: it stood, and runs again. */
export async function wake(tools: Tools, serverId: string): Promise<boolean> {
  const server = await tools.db.read.servers.find(ANY, serverId)
  const guest = server?.vmState === 'active' ? await tools.hypervisor.find(serverId) : undefined
  if (guest === undefined || (await guest.runState()) !== 'paused') return false
  await guest.resume()
  return true
}
