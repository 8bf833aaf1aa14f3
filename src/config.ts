/**
 * Settings from flags, environment and an optional YAML file, in this order of precedence. All that is wrong is said at
 * once, each in a sentence that names the place it came from, and the service does not start.
 */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type * as z from 'zod'
import { fileKeyOf, flagOf, helpText, SETTING_NAMES, SETTINGS, type SettingName, variableOf } from './settings.js'
import { version } from './version.js'

type Values = { readonly [K in SettingName]: z.output<(typeof SETTINGS)[K]['schema']> }

export interface Config extends Omit<Values, 'databaseUrl' | 'pools'> {
  readonly databaseUrl: string
  readonly pools: readonly { readonly name: string; readonly path: string }[]
  /** Said at the start, but no reason to refuse. */
  readonly warnings: readonly string[]
}

export class BadConfig extends Error {
  constructor(readonly complaints: readonly string[]) {
    super(complaints.join('\n'))
    this.name = 'BadConfig'
  }
}
/** Not settings but a question: print and leave. */
export class JustPrint extends Error {}

type Found = { readonly value: string; readonly source: string }

export async function loadConfig(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<Config> {
  const flags = readFlags(argv)
  if (flags.has('help')) throw new JustPrint(helpText())
  if (flags.has('version')) throw new JustPrint(version())
  const complaints: string[] = []
  const file = await readFile(flags.get('config') ?? env['STRATA_CONFIG'], complaints)
  const values: Record<string, unknown> = {}
  for (const name of SETTING_NAMES) {
    const found = locate(name, flags, env, file)
    if (found === undefined) continue
    const read = SETTINGS[name].schema.safeParse(found.value)
    if (read.success) values[name] = read.data
    else {
      const shown = 'secret' in SETTINGS[name] ? '' : ` (it is ${JSON.stringify(found.value)})`
      for (const issue of read.error.issues) complaints.push(`${found.source} ${issue.message}${shown}`)
    }
  }
  const config = complete(values as Partial<Values>, env, unknownVariables(env))
  if (complaints.length === 0) complaints.push(...contradictions(config))
  if (complaints.length > 0) throw new BadConfig(complaints)
  return config
}

function readFlags(argv: readonly string[]): Map<string, string> {
  const options: Record<string, { type: 'string' | 'boolean' }> = {
    config: { type: 'string' },
    help: { type: 'boolean' },
    version: { type: 'boolean' },
  }
  for (const name of SETTING_NAMES) options[flagOf(name)] = { type: 'isSwitch' in SETTINGS[name] ? 'boolean' : 'string' }
  try {
    return new Map(Object.entries(parseArgs({ args: [...argv], options, strict: true }).values).map(([key, value]) => [key, String(value)]))
  } catch (error) {
    throw new BadConfig([`${(error as Error).message.split('. ')[0]}; --help lists the flags`])
  }
}

function locate(
  name: SettingName,
  flags: ReadonlyMap<string, string>,
  env: NodeJS.ProcessEnv,
  file: ReadonlyMap<string, string>,
): Found | undefined {
  const flag = flags.get(flagOf(name))
  if (flag !== undefined) return { value: flag, source: `--${flagOf(name)}` }
  const variable = env[variableOf(name)]
  // An empty variable is how a unit file or a compose file says "unset".
  if (variable !== undefined && variable !== '') return { value: variable, source: variableOf(name) }
  const key = fileKeyOf(name)
  const entry = file.get(key)
  if (entry !== undefined) return { value: entry, source: `${key} in the configuration file` }
  const { fallback } = SETTINGS[name]
  return fallback === undefined ? undefined : { value: fallback, source: `the default of ${variableOf(name)}` }
}

async function readFile(path: string | undefined, complaints: string[]): Promise<Map<string, string>> {
  const entries = new Map<string, string>()
  if (path === undefined || path === '') return entries
  const known = new Set(SETTING_NAMES.map(fileKeyOf))
  try {
    const { parse } = await import('yaml')
    const content: unknown = parse(readFileSync(path, 'utf8')) ?? {}
    if (typeof content !== 'object' || Array.isArray(content)) throw new Error('it must hold settings, one per line: name: value')
    for (const [key, value] of Object.entries(content as object)) {
      if (!known.has(key)) complaints.push(`${path}: there is no setting ${key}`)
      else if (key === 'pools' && isMap(value))
        entries.set(
          key,
          Object.entries(value)
            .map(([name, directory]) => `${name}=${directory}`)
            .join(','),
        )
      else if (['string', 'number', 'boolean'].includes(typeof value)) entries.set(key, String(value))
      else if (value !== null) complaints.push(`${path}: ${key} must be a single value`)
    }
  } catch (error) {
    complaints.push(`the configuration file ${path} cannot be read: ${(error as Error).message.split('\n')[0]}`)
  }
  return entries
}

const isMap = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

function complete(values: Partial<Values>, env: NodeJS.ProcessEnv, warnings: readonly string[]): Config {
  const stateDir = resolve(values.stateDir ?? join(env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'strata'))
  return {
    ...(values as Values),
    stateDir,
    databaseUrl: values.databaseUrl ?? `sqlite:${join(stateDir, 'strata.sqlite')}`,
    pools: values.pools ?? [{ name: 'default', path: join(stateDir, 'pools', 'default') }],
    warnings,
  }
}

function contradictions(config: Config): string[] {
  const found: string[] = []
  if ((config.tlsCertificate === undefined) !== (config.tlsKey === undefined))
    found.push('STRATA_TLS_CERTIFICATE and STRATA_TLS_KEY are needed together')
  if (config.guestUser !== undefined && process.getuid?.() !== 0) found.push('STRATA_GUEST_USER needs the service to run as root')
  if (config.role !== 'all' && config.databaseUrl.startsWith('mysql:') === false && config.databaseUrl.includes(':memory:'))
    found.push(`--role ${config.role} needs a database that other processes can open`)
  const longest = join(config.stateDir, 'run', 'x'.repeat(26), 'people.sock')
  if (Buffer.byteLength(longest) >= 100)
    found.push(
      `STRATA_STATE_DIR is too long: sockets below it would have paths of ${Buffer.byteLength(longest)} bytes, and 99 is the most a socket can have; choose a directory with at most ${99 - (Buffer.byteLength(longest) - Buffer.byteLength(config.stateDir))} bytes`,
    )
  return found
}

/** A misspelt variable would silently do nothing. */
function unknownVariables(env: NodeJS.ProcessEnv): string[] {
  const known = new Set(['STRATA_CONFIG', ...SETTING_NAMES.map(variableOf)])
  return Object.keys(env)
    .filter((name) => name.startsWith('STRATA_') && !known.has(name))
    .map((name) => `the environment variable ${name} is not a setting of Strata and does nothing`)
}
