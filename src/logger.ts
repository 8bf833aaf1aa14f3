/**
 * Logs: one JSON line each, to standard output. Fields that could hold a secret are cut by name; values known to be
 * secret (the admin's password, the one in the database URL) are cut wherever they turn up, also inside an error's text.
 * Levels: error someone must act now, warn it healed itself, info a job or a request, debug the rest.
 */
import { pino } from 'pino'

export type Logger = ReturnType<typeof createLogger>

const SECRET_FIELDS = [
  'password',
  'adminPass',
  'admin_pass',
  'secret',
  'token',
  'authorization',
  'x-auth-token',
  'x-subject-token',
  'x-service-token',
  'cookie',
  'databaseUrl',
  'adminPassword',
  'passwordHash',
  'auth',
  'user_data',
]
const CUT = '[redacted]'

export interface LoggerOptions {
  readonly level: string
  readonly secrets?: readonly (string | undefined)[]
  /** Where lines go; standard output unless a test listens. */
  readonly write?: (line: string) => void
}

export function createLogger({ level, secrets = [], write = (line) => void process.stdout.write(line) }: LoggerOptions) {
  const known = knownSecrets(secrets)
  const paths = SECRET_FIELDS.flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`])
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths, censor: CUT },
      serializers: { err: describe, error: describe },
    },
    {
      write: (line: string) =>
        write(known.length === 0 ? scrub(line) : scrub(known.reduce((text, secret) => text.replaceAll(secret, CUT), line))),
    },
  )
}

/** As they look inside a JSON string. Very short ones would shred the log; a password like that hides nothing. */
function knownSecrets(secrets: readonly (string | undefined)[]): string[] {
  const all = secrets.flatMap((secret) => {
    if (secret === undefined || secret === '') return []
    const inUrl = URL.canParse(secret) ? new URL(secret).password : ''
    return inUrl === '' ? (URL.canParse(secret) ? [] : [secret]) : [inUrl, decodeURIComponent(inUrl)]
  })
  return [...new Set(all.filter((secret) => secret.length >= 4).map((secret) => JSON.stringify(secret).slice(1, -1)))].sort(
    (a, b) => b.length - a.length,
  )
}

/** Tokens of ours say what they are; so do credentials inside URLs. */
const scrub = (line: string): string =>
  line.replace(/gAAAA[A-Za-z0-9_-]{20,}/g, CUT).replace(/([a-z][a-z0-9+.-]*:\/\/[^/\s:@"]*):[^@/\s"]+@/gi, `$1:${CUT}@`)

interface Described {
  readonly type: string
  readonly message: string
  readonly stack?: string
  readonly code?: unknown
  readonly cause?: Described
}

function describe(error: unknown, depth = 0): Described {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) }
  const code = (error as { code?: unknown }).code
  return {
    type: error.name,
    message: error.message,
    ...(code === undefined ? {} : { code }),
    ...(error.stack === undefined || depth > 0 ? {} : { stack: error.stack }),
    ...(error.cause === undefined || depth > 4 ? {} : { cause: describe(error.cause, depth + 1) }),
  }
}
