/**
 * Which cloud, and who asks: the OS_* variables and `clouds.yaml`, found where the `openstack` command finds them and with
 * its precedence (a flag, then the environment, then the file). `secure.yaml` beside it may hold what is secret.
 */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { UsageError } from './errors.js'

export interface Cloud {
  /** Ends in /v3. */
  readonly authUrl: string
  /** Keystone's `auth`, as it is sent. */
  readonly auth: { readonly identity: object; readonly scope?: object }
  /** Undefined: the first the catalog has. */
  readonly region: string | undefined
  readonly interface: string
  /** PEM file of who signs the service's certificate. */
  readonly cacert: string | undefined
  readonly verify: boolean
}

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
}

type Entry = Readonly<Record<string, unknown>>

export async function resolveCloud(named: string | undefined, around: Surroundings): Promise<Cloud> {
  const { env } = around
  const set = (name: string): string | undefined => env[name] || undefined
  const name = named ?? set('OS_CLOUD')
  const file = name === undefined && set('OS_AUTH_URL') !== undefined ? {} : await fileEntry(name, around)
  const text = lookUp(set, file)

  const authUrl = text(['OS_AUTH_URL'], 'auth_url')
  if (authUrl === undefined) throw new UsageError('no auth_url: set OS_AUTH_URL, or name a cloud of clouds.yaml')
  if (!URL.canParse(authUrl)) throw new UsageError(`auth_url is no URL: ${authUrl}`)
  const either = (thing: string): { id: string } | { name: string } | undefined => idOrName(set, text, thing)
  const domain = (of: string): object => either(`${of}_domain`) ?? either('domain') ?? { id: 'default' }
  const project = either('project') ?? (set('OS_TENANT_NAME') === undefined ? undefined : { name: set('OS_TENANT_NAME') ?? '' })
  const scope = project && { project: 'id' in project ? project : { ...project, domain: domain('project') } }
  return {
    authUrl: /\/v3\/?$/.test(authUrl) ? authUrl.replace(/\/$/, '') : `${authUrl.replace(/\/$/, '')}/v3`,
    auth: { identity: identity(text, domain('user')), ...(scope === undefined ? {} : { scope }) },
    region: text(['OS_REGION_NAME'], 'region_name'),
    interface: (text(['OS_INTERFACE', 'OS_ENDPOINT_TYPE'], 'interface') ?? 'public').replace(/URL$/, ''),
    cacert: text(['OS_CACERT'], 'cacert')?.replace(/^~(?=\/)/, homeOf(around)),
    verify: set('OS_INSECURE') === undefined ? file['verify'] !== false : !/^(1|true|yes|on)$/i.test(set('OS_INSECURE') ?? ''),
  }
}

type Set = (variable: string) => string | undefined
type Text = (variables: readonly string[], key: string) => string | undefined

/** The first variable that is set, else what the file says, in `auth` or beside it. */
function lookUp(set: Set, file: Entry): Text {
  const auth = entryOf(file['auth'])
  return (variables, key) => {
    const value = variables.map(set).find((one) => one !== undefined) ?? auth[key] ?? file[key]
    return value === undefined || value === null || value === '' ? undefined : String(value)
  }
}

/** A variable beats the file even where one says the id and the other the name. */
function idOrName(set: Set, text: Text, thing: string): { id: string } | { name: string } | undefined {
  const variable = `OS_${thing.toUpperCase()}`
  const chosen = [set(`${variable}_ID`), set(`${variable}_NAME`)]
  const [id, name] = chosen.some((one) => one !== undefined) ? chosen : [text([], `${thing}_id`), text([], `${thing}_name`)]
  return id !== undefined ? { id } : name !== undefined ? { name } : undefined
}

function identity(text: Text, domain: object): object {
  const kind = text(['OS_AUTH_TYPE'], 'auth_type') ?? 'password'
  if (!/^(v3)?(password|token)$/.test(kind)) throw new UsageError(`auth_type ${kind} is not spoken here: password and token are`)
  const token = text(['OS_TOKEN'], 'token')
  if (token !== undefined) return { methods: ['token'], token: { id: token } }
  const id = text(['OS_USER_ID'], 'user_id')
  const name = text(['OS_USERNAME'], 'username')
  const password = text(['OS_PASSWORD'], 'password')
  if (id === undefined && name === undefined) throw new UsageError('no user: set OS_USERNAME, or username in clouds.yaml')
  if (password === undefined) throw new UsageError('no password: set OS_PASSWORD or OS_TOKEN, or password in clouds.yaml')
  return { methods: ['password'], password: { user: id === undefined ? { name, domain, password } : { id, password } } }
}

/** What the file says of one cloud; without a name, of the only one there is. */
async function fileEntry(name: string | undefined, around: Surroundings): Promise<Entry> {
  const file = await readFirst('clouds', around.env['OS_CLIENT_CONFIG_FILE'], around)
  if (file === undefined)
    throw new UsageError(
      name === undefined
        ? 'no cloud: set OS_CLOUD to one of clouds.yaml, or OS_AUTH_URL and the other OS_* variables'
        : `no clouds.yaml to look for ${name} in: neither here, in ~/.config/openstack nor in /etc/openstack; OS_CLIENT_CONFIG_FILE names another`,
    )
  const clouds = entryOf(file.content['clouds'])
  const names = Object.keys(clouds)
  const chosen = name ?? (names.length === 1 ? names[0] : undefined)
  if (chosen === undefined || !Object.hasOwn(clouds, chosen))
    throw new UsageError(
      `${file.path} ${names.length === 0 ? 'names no cloud' : `names ${names.join(', ')}`}${name === undefined ? '; choose with --os-cloud or OS_CLOUD' : `, and no ${name}`}`,
    )
  const secure = await readFirst('secure', around.env['OS_CLIENT_SECURE_FILE'], around)
  const secret = entryOf(entryOf(secure?.content['clouds'])[chosen])
  const open = entryOf(clouds[chosen])
  return { ...open, ...secret, auth: { ...entryOf(open['auth']), ...entryOf(secret['auth']) } }
}

const homeOf = ({ env }: Surroundings): string => env['HOME'] || homedir()

async function readFirst(
  base: 'clouds' | 'secure',
  override: string | undefined,
  around: Surroundings,
): Promise<{ path: string; content: Entry } | undefined> {
  const { env, cwd } = around
  const home = homeOf(around)
  const folders = [
    cwd,
    join(env['XDG_CONFIG_HOME'] || join(home, '.config'), 'openstack'),
    join(home, '.config', 'openstack'),
    '/etc/openstack',
  ]
  const usual = folders.flatMap((folder) => ['yaml', 'yml', 'json'].map((ending) => join(folder, `${base}.${ending}`)))
  for (const path of override ? [resolve(cwd, override), ...usual] : usual) {
    const text = readText(path)
    if (text === undefined) continue
    const { parse } = await import('yaml')
    try {
      return { path, content: entryOf(parse(text)) }
    } catch (error) {
      throw new UsageError(`${path} is not YAML: ${(error as Error).message.split('\n')[0]}`)
    }
  }
  return undefined
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new UsageError(`${path} cannot be read: ${code ?? String(error)}`)
  }
}

const entryOf = (value: unknown): Entry => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Entry) : {})
