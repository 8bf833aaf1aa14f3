/**
 * Guests as a user of their own: the files they open become that user's, and the directories on the way, which
 * are private, let its group through and show it nothing. What lies above the state directory is not ours to change.
 */
import { chmod, chown, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { refused } from '../domain/errors.js'

export interface GuestUser {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

/** Gives a file or directory to the guests' user. Without one, nothing is to be done. */
export function createGrant(stateDir: string, user: GuestUser | undefined): (path: string) => Promise<void> {
  return async (path) => {
    if (user === undefined) return
    try {
      for (let directory = dirname(path); ; directory = dirname(directory)) {
        await letThrough(directory, user.gid)
        if (!directory.startsWith(`${stateDir}/`)) break
      }
      await chown(path, user.uid, user.gid)
    } catch (cause) {
      throw refused('a file of the guest cannot be given to the user it runs as', { cause })
    }
  }
}

/** Where everybody may pass, nothing is changed. */
async function letThrough(directory: string, gid: number): Promise<void> {
  const { mode, gid: group } = await stat(directory)
  if ((mode & 0o001) !== 0 || (group === gid && (mode & 0o010) !== 0)) return
  await chown(directory, -1, gid)
  await chmod(directory, 0o710)
}

/** What a command is started through to run as that user; it stays the same process. */
export const asUser = (user: GuestUser): string[] => ['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--init-groups', '--']
