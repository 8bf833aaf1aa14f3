/** What a guest without an operating system has in its memory: the firmware's tick counter, which goes on as long as it runs. */
import { join } from 'node:path'
import { shortId } from '../../src/domain/names.js'
import { openMonitor } from '../crash/monitor.js'
import { until } from './until.js'

const TICKS = 0x46c

/** Read through the monitor for people: 18 a second since power-on. */
export async function ticks(stateDir: string, serverId: string): Promise<number> {
  const monitor = await openMonitor(join(stateDir, 'run', shortId(serverId), 'people.sock'))
  try {
    const said = await monitor.ask<string>('human-monitor-command', { 'command-line': `xp /1wx ${TICKS}` })
    const word = /: (0x[0-9a-f]+)/.exec(said)?.[1]
    if (word === undefined) throw new Error(`no word of memory: ${said}`)
    return Number(word)
  } finally {
    monitor.close()
  }
}

/** Resolves with the counter once it is beyond `past`. */
export const ticksBeyond = async (stateDir: string, serverId: string, past: number): Promise<number> =>
  await until(
    async () => {
      const now = await ticks(stateDir, serverId)
      return now > past ? now : undefined
    },
    { what: `the counter beyond ${past}` },
  )
