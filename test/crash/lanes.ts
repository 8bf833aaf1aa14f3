/** Starts the processes that run cells, each in a mount namespace of its own, where a pool may be a small file system and be full. */
import { type ChildProcess, fork, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { OWN_MOUNTS } from './cell.js'

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
