/** `npm start -- db backup <file>` and `… db check [file]`: instead of starting, beside a running service or without one. */
import { resolve } from 'node:path'
import { BackupRefused, backupDatabase, type Checked, checkDatabase } from '../db/backup.js'
import { BadConfig, loadConfig } from './config.js'

const USAGE = 'db backup <file>, or db check [file]; flags come last, and --help lists them'

export async function runDb(words: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const firstFlag = words.findIndex((word) => word.startsWith('-'))
  const [verb, file, ...more] = firstFlag === -1 ? words : words.slice(0, firstFlag)
  const { databaseUrl } = await loadConfig(firstFlag === -1 ? [] : words.slice(firstFlag), env)
  if (more.length > 0) throw new BadConfig([USAGE])
  // npm starts us in the project's directory and says where it was called.
  const at = file === undefined ? undefined : resolve(env['INIT_CWD'] ?? '.', file)
  try {
    if (verb === 'backup' && at !== undefined) return `${at}\n${describe(await backupDatabase(databaseUrl, at))}`
    if (verb === 'check') return describe(await checkDatabase(at === undefined ? databaseUrl : `sqlite:${at}`))
  } catch (error) {
    throw error instanceof BackupRefused ? new BadConfig([error.message]) : error
  }
  throw new BadConfig([USAGE])
}

const describe = ({ bytes, tables, rows, schema }: Checked): string =>
  `sound: ${bytes} bytes, ${rows} rows in ${tables} tables, schema ${schema}\n`
