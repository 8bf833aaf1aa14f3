/**
 * The state directory: made on the first start, 0700, everything in it for our eyes only. Holds `clouds.yaml` (how to
 * reach us, with the admin's password) and `url` (our base URL, there only while we are ready).
 */
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const DIRECTORIES = ['pools', 'staging', 'run', 'guests', 'keeper', 'services', 'keys']

/** Makes what is missing; what is there and open to others is closed. */
export async function prepareStateDir(stateDir: string, pools: readonly { readonly path: string }[]): Promise<void> {
  for (const path of [stateDir, ...DIRECTORIES.map((name) => join(stateDir, name)), ...pools.map((pool) => pool.path)]) {
    const existed = await mkdir(path, { recursive: true, mode: 0o700 }).then((made) => made === undefined)
    const isOurs = path === stateDir || path.startsWith(`${stateDir}/`)
    if (existed && isOurs && ((await stat(path)).mode & 0o077) !== 0) await chmod(path, 0o700)
  }
}

/** A service on a state directory, known beyond doubt as long as it lives. */
export interface Occupant {
  readonly pid: number
  readonly startTime: number
  /** Which database, however its URL is spelt. */
  readonly database: string
  readonly host: string
}

/**
 * Several services may share a state directory (an API, workers) if they are of one host and one database: then the tables
 * and their locks keep them apart. Two databases would each think the guests and files their own. Returns who is in the way.
 */
export async function occupy(stateDir: string, me: Occupant, isAlive: (one: Occupant) => Promise<boolean>): Promise<Occupant | undefined> {
  const directory = join(stateDir, 'services')
  // Said before it is asked: of two that start at once, at least one sees the other.
  await writeWhole(join(directory, `${me.pid}.json`), JSON.stringify(me))
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    const other = name.endsWith('.json') ? await readOccupant(path) : undefined
    if (other === undefined || other.pid === me.pid) continue
    if (!(await isAlive(other))) await rm(path, { force: true })
    else if (other.database !== me.database || other.host !== me.host) {
      await leave(stateDir, me.pid)
      return other
    }
  }
  return undefined
}

export const leave = async (stateDir: string, pid: number): Promise<void> =>
  await rm(join(stateDir, 'services', `${pid}.json`), { force: true })

async function readOccupant(path: string): Promise<Occupant | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Occupant
  } catch {
    // Gone since it was listed.
    return undefined
  }
}

export interface Cloud {
  readonly url: string
  readonly password: string
  readonly region: string
  /** PEM file clients must trust, when HTTPS is served with it. */
  readonly certificate?: string | undefined
}

export const cloudsFile = (stateDir: string): string => join(stateDir, 'clouds.yaml')

/** The password of an earlier start, or undefined. The file is ours and its form is fixed: a line says it. */
export async function keptPassword(stateDir: string): Promise<string | undefined> {
  const text = await readFile(cloudsFile(stateDir), 'utf8').catch(() => '')
  const quoted = /^\s+password: ("(?:[^"\\]|\\.)*")$/m.exec(text)?.[1]
  return quoted === undefined ? undefined : (JSON.parse(quoted) as string)
}

export const newPassword = (): string => randomBytes(18).toString('base64url')

export async function writeClouds(stateDir: string, cloud: Cloud): Promise<void> {
  const quote = JSON.stringify
  const text = `# Written by Strata at each start. Use: OS_CLIENT_CONFIG_FILE=${cloudsFile(stateDir)} openstack --os-cloud strata …
clouds:
  strata:
    auth:
      auth_url: ${quote(`${cloud.url}/identity/v3`)}
      username: "admin"
      password: ${quote(cloud.password)}
      project_name: "admin"
      user_domain_name: "Default"
      project_domain_name: "Default"
    region_name: ${quote(cloud.region)}
    identity_api_version: "3"
${cloud.certificate === undefined ? '' : `    cacert: ${quote(cloud.certificate)}\n`}`
  await writeWhole(cloudsFile(stateDir), text)
}

export const writeUrl = async (stateDir: string, url: string): Promise<void> => await writeWhole(join(stateDir, 'url'), `${url}\n`)
/** `own`: only if it is still this one; a service started since has written its own. */
export async function removeUrl(stateDir: string, own?: string): Promise<void> {
  const path = join(stateDir, 'url')
  if (own !== undefined && (await readFile(path, 'utf8').catch(() => '')).trim() !== own) return
  await rm(path, { force: true })
}

/** Readers see the old text or the new one, never half of it. */
async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}`
  await writeFile(draft, text, { mode: 0o600 })
  await rename(draft, path)
}
