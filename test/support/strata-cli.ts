/** The built `strata` command as a user of one service types it. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import type { Service } from './service.js'

const MAIN = join(import.meta.dirname, '../../dist/src/cli/main.js')

export interface Said {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export const runStrata = async (env: Readonly<Record<string, string>>, args: readonly string[]): Promise<Said> =>
  await new Promise((resolve) => {
    const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('OS_')))
    const child = execFile(process.execPath, [MAIN, ...args], { env: { ...own, ...env } }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout: stdout.trimEnd(), stderr: stderr.trimEnd() }),
    )
  })

/** As the admin, by the token tests share: a password takes its time to check. `ok` and `json` throw unless it exits with 0. */
export function strataOf(service: Service) {
  const run = async (...args: string[]): Promise<Said> =>
    await runStrata({ OS_AUTH_URL: `${service.url}/identity`, OS_TOKEN: await service.token(), OS_PROJECT_NAME: 'admin' }, args)
  const ok = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(...args)
    if (code !== 0) throw new Error(`strata ${args.join(' ')}: ${code} ${stderr}`)
    return stdout
  }
  return { run, ok, json: async <T>(...args: string[]): Promise<T> => JSON.parse(await ok(...args, '--format', 'json')) as T }
}
