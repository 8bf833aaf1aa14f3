/**
 * A worker as a process: named beyond doubt by its pid and the moment it started, so that ending a predecessor never
 * ends a stranger that got its number.
 */
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Worker } from '../domain/host.js'

type Identity = Pick<Worker, 'pid' | 'startTime'>

/** Clock ticks since boot at which a process started; undefined when there is none, or only its remains. */
export async function startTimeOf(pid: number): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  // The name in parentheses may itself hold spaces and parentheses.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields === undefined || fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19])
}

export const isAlive = async ({ pid, startTime }: Identity): Promise<boolean> => (await startTimeOf(pid)) === startTime

/** Ends the process, stopped ones too; resolves when it is gone, and so are the tools that die with it. */
export async function endProcess(worker: Identity): Promise<void> {
  for (let tries = 0; await isAlive(worker); tries++) {
    if (worker.pid === process.pid) throw new Error('a worker does not end itself')
    if (tries === 500) throw new Error(`worker process ${worker.pid} does not end`)
    try {
      process.kill(worker.pid, 'SIGKILL')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
    await sleep(10)
  }
}
