import { describe, expect, it } from 'vitest'
import { createLogger } from '../../src/logger.js'

const CANARY = 'canary-7f3a"9'
const TOKEN = `gAAAA${'Zx9_-'.repeat(12)}`

function logged(log: (logger: ReturnType<typeof createLogger>) => void): string {
  let text = ''
  const write = (line: string): void => {
    text += line
  }
  log(createLogger({ level: 'debug', secrets: [CANARY, 'mysql://u:db-canary@h/d', undefined], write }))
  return text
}

describe('the log', () => {
  it('is one JSON line an entry, with time, level and fields', () => {
    const line = JSON.parse(logged((log) => log.info({ requestId: 'req-1', jobId: 'j' }, 'done')))
    expect(line).toMatchObject({ level: 'info', requestId: 'req-1', jobId: 'j', msg: 'done' })
    expect(Date.parse(line.time)).not.toBeNaN()
  })

  it('cuts secret fields at any usual depth', () => {
    const text = logged((log) => {
      log.info({ password: 'canary-a', user: { password: 'canary-b' }, request: { headers: { 'x-auth-token': 'canary-c' } } }, 'x')
      log.info({ auth: { identity: { password: { user: { password: 'canary-d' } } } } }, 'x')
    })
    expect(text).not.toContain('canary')
  })

  it('cuts known secrets, tokens and credentials in URLs out of any text, errors and causes included', () => {
    const text = logged((log) => {
      log.error({ err: new Error(`bad ${CANARY}`, { cause: new Error(`token ${TOKEN} at https://me:hidden-1@host/`) }) }, `said ${CANARY}`)
      log.warn({ at: ['mysql://root:db-canary@db/strata'] }, 'db-canary')
      log.info({ deep: { a: { b: { c: CANARY } } } }, TOKEN)
    })
    expect(text).not.toContain('canary')
    expect(text).not.toContain(TOKEN)
    expect(text).not.toContain('hidden-1')
    expect(
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toHaveLength(3)
  })

  it('keeps the chain of causes and error codes', () => {
    const cause = Object.assign(new Error('no space'), { code: 'ENOSPC' })
    const line = JSON.parse(logged((log) => log.error({ err: new Error('failed', { cause }) }, 'x')))
    expect(line.err).toMatchObject({ message: 'failed', cause: { message: 'no space', code: 'ENOSPC' } })
  })
})
