/**
 * Every setting, in one table: its name (and so its flag, its variable and its key in the YAML file), its default, what
 * it means, and how its text is read. `--help` and the table in the README are made from this.
 */
import { hostname } from 'node:os'
import { isAbsolute } from 'node:path'
import * as z from 'zod'

export interface Setting<T> {
  readonly schema: z.ZodType<T, string>
  /** Text as the user would write it; undefined: unset, and the value is undefined. */
  readonly fallback: string | undefined
  /** Shown instead of `fallback`. */
  readonly shown?: string
  readonly meaning: string
  /** What its value looks like, for `--help`. */
  readonly example: string
  readonly secret?: true
  /** The flag stands alone: to give it is to say `true`. */
  readonly isSwitch?: true
}

const text = z.string().min(1, 'must not be empty')
const path = text.refine(isAbsolute, 'must be an absolute path')
const word = (pattern: RegExp, expected: string) => z.string().regex(pattern, expected)
const choice = <const V extends readonly [string, ...string[]]>(values: V) => z.enum(values, `must be one of: ${values.join(', ')}`)
const whole = (least: number, most: number) =>
  word(/^\d+$/, 'must be a whole number')
    .transform(Number)
    .refine((n) => n >= least && n <= most, `must be between ${least} and ${most}`)

const truth = choice(['true', 'false']).transform((said) => said === 'true')

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 }
const bytes = word(/^\d+[kmgt]?$/i, 'must be a number of bytes, with k, m, g or t for its multiples of 1024').transform(
  (size) => Number.parseInt(size, 10) * (UNITS[size.replace(/\d/g, '').toLowerCase()] ?? 1),
)

const listen = word(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'must be host:port, for example 127.0.0.1:8780, or [::1]:0')
  .transform((at) => {
    const colon = at.lastIndexOf(':')
    return { host: at.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(at.slice(colon + 1)) }
  })
  .refine(({ port }) => port <= 65_535, 'has a port above 65535')

const baseUrl = text
  .refine((url) => URL.canParse(url) && /^https?:$/.test(new URL(url).protocol), 'must be an http:// or https:// URL')
  .transform((url) => url.replace(/\/+$/, ''))

const database = word(/^(sqlite:.+|mysql:\/\/.+)$/, 'must be sqlite:/path or mysql://user:password@host:port/database')

const pools = text.transform((list, context) => {
  const found: { name: string; path: string }[] = []
  for (const part of list.split(',')) {
    const [, name = '', directory = ''] = /^\s*([A-Za-z0-9_-]{1,64})=(\/.*?)\s*$/.exec(part) ?? []
    if (name === '') context.addIssue('must be name=/absolute/directory, several separated by commas')
    else if (found.some((pool) => pool.name === name)) context.addIssue(`names the pool ${name} twice`)
    else found.push({ name, path: directory.length > 1 ? directory.replace(/\/+$/, '') : directory })
  }
  return found
})

const setting = <T>(s: Setting<T>): Setting<T> => s

export const SETTINGS = {
  role: setting({
    schema: choice(['all', 'api', 'worker']),
    fallback: 'all',
    example: 'all|api|worker',
    meaning: 'What this process does: serve HTTP, run jobs, or both.',
  }),
  listen: setting({
    schema: listen,
    fallback: '127.0.0.1:8780',
    example: 'host:port',
    meaning: 'Where HTTP is served. Port 0 takes a free one.',
  }),
  publicUrl: setting<string | undefined>({
    schema: baseUrl,
    fallback: undefined,
    shown: 'where it listens',
    example: 'url',
    meaning: 'Base URL clients reach it by: in the catalog and in links.',
  }),
  tlsCertificate: setting<string | undefined>({
    schema: path,
    fallback: undefined,
    example: 'file',
    meaning: 'PEM certificate (chain): serves HTTPS. Needs the key.',
  }),
  tlsKey: setting<string | undefined>({ schema: path, fallback: undefined, example: 'file', meaning: 'PEM key of the certificate.' }),
  trustedProxy: setting<string | undefined>({
    schema: text,
    fallback: undefined,
    example: 'addresses',
    meaning: 'Addresses or networks whose X-Forwarded-* headers are believed, separated by commas.',
  }),
  stateDir: setting({
    schema: path,
    fallback: undefined as unknown as string,
    shown: '$XDG_STATE_HOME/strata or ~/.local/state/strata',
    example: 'directory',
    meaning: 'Database, clouds.yaml, url, default pool, sockets and logs of guests.',
  }),
  databaseUrl: setting<string | undefined>({
    schema: database,
    fallback: undefined,
    shown: 'sqlite:<state-dir>/strata.sqlite',
    example: 'url',
    secret: true,
    meaning: 'sqlite:/path, or mysql://user:password@host:port/database for several processes and hosts.',
  }),
  adminPassword: setting<string | undefined>({
    schema: text.max(128, 'must be at most 128 characters long'),
    fallback: undefined,
    shown: 'random, kept in clouds.yaml',
    example: 'password',
    secret: true,
    meaning: 'Password of the user admin. Set at each start when given.',
  }),
  host: setting({
    schema: word(/^[A-Za-z0-9._-]{1,255}$/, 'must be letters, digits, dots, dashes and underscores'),
    fallback: hostname(),
    shown: "the machine's name",
    example: 'name',
    meaning: 'Name of this host. Its disks and jobs are found by it: do not change it later.',
  }),
  pools: setting<{ name: string; path: string }[] | undefined>({
    schema: pools,
    fallback: undefined,
    shown: 'default=<state-dir>/pools/default',
    example: 'name=/dir,…',
    meaning: 'Directories for disks. The first is where new ones go.',
  }),
  guestUser: setting<string | undefined>({
    schema: word(/^[a-z_][a-z0-9_-]{0,31}$/, 'must be the name of a user'),
    fallback: undefined,
    shown: 'the user it runs as',
    example: 'user',
    meaning: 'User guests run as. Needs root.',
  }),
  accelerator: setting({
    schema: choice(['auto', 'kvm', 'tcg']),
    fallback: 'auto',
    example: 'auto|kvm|tcg',
    meaning: 'How guests run. auto: kvm where /dev/kvm can be opened and a trial works, else tcg.',
  }),
  freezeBudgetMs: setting({
    schema: whole(100, 60_000),
    fallback: '5000',
    example: 'ms',
    meaning: "Longest time a guest's file systems are held frozen.",
  }),
  pollIntervalMs: setting({
    schema: whole(10, 60_000),
    fallback: '1000',
    example: 'ms',
    meaning: 'How often a worker looks for jobs when nothing rings.',
  }),
  leaseMs: setting({
    schema: whole(1_000, 600_000),
    fallback: '15000',
    example: 'ms',
    meaning: 'How long a silent worker keeps its jobs before another takes over.',
  }),
  concurrency: setting({ schema: whole(1, 256), fallback: '8', example: 'n', meaning: 'Jobs a worker runs at once.' }),
  unplugTimeoutMs: setting({
    schema: whole(100, 600_000),
    fallback: '20000',
    example: 'ms',
    meaning: 'How long a guest may take to give up a device.',
  }),
  drainMs: setting({
    schema: whole(0, 600_000),
    fallback: '10000',
    example: 'ms',
    meaning: 'How long running jobs may take to reach their end or a safe place on SIGTERM.',
  }),
  saveGuests: setting({
    schema: truth,
    fallback: 'false',
    example: 'true|false',
    meaning: 'Saves the memory of all guests when the service is asked to stop, and restores them at its next start.',
    isSwitch: true,
  }),
  maxBody: setting({ schema: bytes, fallback: '1m', example: 'size', meaning: 'Largest JSON body.' }),
  maxImageSize: setting({ schema: bytes, fallback: '1t', example: 'size', meaning: 'Largest upload of an image.' }),
  maxVirtualSize: setting({ schema: bytes, fallback: '64t', example: 'size', meaning: 'Largest virtual size of a disk.' }),
  tokenLifetime: setting({ schema: whole(60, 31_536_000), fallback: '3600', example: 's', meaning: 'How long a token is valid.' }),
  loginAttempts: setting({
    schema: whole(1, 1_000_000),
    fallback: '10',
    example: 'n',
    meaning: 'Wrong passwords allowed per user and address within a minute.',
  }),
  region: setting({ schema: text, fallback: 'RegionOne', example: 'name', meaning: 'Region named in the catalog.' }),
  availabilityZone: setting({ schema: text, fallback: 'nova', example: 'name', meaning: 'Availability zone of servers and volumes.' }),
  doorbellSecret: setting<string | undefined>({
    schema: text.min(16, 'must be at least 16 characters long'),
    fallback: undefined,
    shown: 'none: other processes wait for the next poll',
    example: 'secret',
    secret: true,
    meaning: 'Shared by all processes of one database: lets one tell another at once that there is work.',
  }),
  logLevel: setting({
    schema: choice(['error', 'warn', 'info', 'debug', 'silent']),
    fallback: 'info',
    example: 'error|warn|info|debug',
    meaning: 'Least urgent lines that are logged, as JSON, to standard output.',
  }),
} as const

export type SettingName = keyof typeof SETTINGS
export const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[]

const words = (name: string): string[] => name.split(/(?=[A-Z])/).map((part) => part.toLowerCase())
export const flagOf = (name: string): string => words(name).join('-')
export const variableOf = (name: string): string => `STRATA_${words(name).join('_').toUpperCase()}`
export const fileKeyOf = (name: string): string => words(name).join('_')

const shownDefault = (s: Setting<unknown>): string => s.shown ?? s.fallback ?? ''

export function helpText(): string {
  const lines = SETTING_NAMES.map((name) => {
    const s: Setting<unknown> = SETTINGS[name]
    const fallback = shownDefault(s)
    return `  --${flagOf(name)}${s.isSwitch ? '' : ` <${s.example}>`}\n      ${s.meaning}${fallback === '' ? '' : ` Default: ${fallback}.`} (${variableOf(name)})`
  })
  return `strata: OpenStack-compatible snapshots, images and backups of virtual machines on plain QEMU

  --config <file>
      YAML file with these settings, each under its flag's name with underscores. (STRATA_CONFIG)
${lines.join('\n')}
  --help, --version
  db backup <file>, db check [file]
      Instead of starting: copies the embedded database while the service runs, or says whether it (or a copy) is sound.
  key rotate, key list
      Instead of starting: makes a new key for sealing saved memory, beside a running service or without one, or lists all.

A flag wins over the environment, the environment over the file.
`
}

/** For the README. */
export function settingsTable(): string {
  const rows = SETTING_NAMES.map((name) => {
    const s: Setting<unknown> = SETTINGS[name]
    const fallback = shownDefault(s)
    return `| \`${variableOf(name)}\` | \`--${flagOf(name)}\` | ${fallback === '' ? '' : s.shown === undefined ? `\`${fallback}\`` : fallback.replaceAll('|', '\\|')} | ${s.meaning} |`
  })
  return ['| Environment | Flag | Default | Meaning |', '|---|---|---|---|', ...rows].join('\n')
}
