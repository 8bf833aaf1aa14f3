/** Starts the processes that run cells, each in a mount namespace of its own, where a pool may be a small file system and be full. */
import { type ChildProcess, fork, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { OWN_MOUNTS } from './cell.js'
import type { Task, Told } from './sweep-lane.js'

/** Without root, one is root in a namespace of users first. */
const UNSHARE = ['--mount', ...(process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'])]

export function forkLane(): ChildProcess {
  const program = fileURLToPath(new URL('./sweep-lane.ts', import.meta.url))
  const node = ['--import', 'tsx']
  if (!canUnshare()) return fork(program, { execArgv: node })
  // `unshare` becomes the program: the pid and the channel stay what they are.
  return fork(program, {
    execPath: 'unshare',
    execArgv: [...UNSHARE, process.execPath, ...node],
    env: { ...process.env, [OWN_MOUNTS]: '1' },
  })
}

const canUnshare = (): boolean => spawnSync('unshare', [...UNSHARE, 'true']).status === 0

/** One scenario's cells in a process of their own. */
export async function runInLane(task: Task): Promise<Told[]> {
  const child = forkLane()
  const told: Told[] = []
  let given = false
  await new Promise<void>((resolve, reject) => {
    child.on('message', (message: Told | 'next') => {
      if (message !== 'next') return void told.push(message)
      if (given) return resolve()
      given = true
      child.send(task)
    })
    child.on('exit', (code, signal) => reject(new Error(`the process ended with ${signal ?? code}`)))
  })
  child.kill()
  return told
}
