/** The built `strata` command against the running service: what a user types, what is printed, what it exits with. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Service, startService } from '../support/service.js'
import { runStrata, strataOf } from '../support/strata-cli.js'

interface SeenJob {
  readonly id: string
  readonly operation: string
  readonly state: string
}

let service: Service
let strata: ReturnType<typeof strataOf>

beforeAll(async () => {
  service = await startService()
  strata = strataOf(service)
})
afterAll(async () => await service?.stop())

async function volume(name: string): Promise<string> {
  const made = await service.call<{ volume: { id: string } }>('POST', '/volume/v3/volumes', { volume: { size: 1, name } })
  return made.volume.id
}

describe('strata', () => {
  it('takes the OS_* variables alone or the clouds.yaml of the service, and finds its way by the catalog', async () => {
    const env = {
      OS_AUTH_URL: `${service.url}/identity`,
      OS_USERNAME: 'admin',
      OS_PASSWORD: service.password,
      OS_PROJECT_NAME: 'admin',
      OS_USER_DOMAIN_NAME: 'Default',
      OS_PROJECT_DOMAIN_NAME: 'Default',
    }
    expect(await runStrata(env, ['job', 'list', '--state', 'failed', '-f', 'json'])).toEqual({ code: 0, stdout: '[]', stderr: '' })
    const file = { OS_CLIENT_CONFIG_FILE: join(service.stateDir, 'clouds.yaml') }
    expect(await runStrata(file, ['--os-cloud', 'strata', 'job', 'list', '--state', 'failed'])).toMatchObject({ code: 0, stderr: '' })
  })

  it('exits with 2 on words it does not understand, having asked nothing', async () => {
    const wrong = [
      ['job', 'lst'],
      ['job', 'list', '--state', 'odd'],
      ['job', 'show'],
      ['job', 'list', '--limit', 'x'],
      ['db', 'check'],
    ]
    const said = await Promise.all([...wrong.map((words) => strata.run(...words)), runStrata({ HOME: '/nowhere' }, ['job', 'list'])])
    expect(said.map(({ code }) => code)).toEqual([2, 2, 2, 2, 2, 2])
    expect(said.map(({ stderr }) => stderr)).toEqual([
      expect.stringContaining('Did you mean list?'),
      expect.stringContaining('Allowed choices are queued,'),
      expect.stringContaining("missing required argument 'job'"),
      expect.stringContaining('It must be a whole number.'),
      expect.stringContaining('npm start -- db'),
      expect.stringContaining('no cloud: set OS_CLOUD'),
    ])
  })

  it("prints the service's sentence and the request id of a refusal, and exits with 1", async () => {
    const missing = await strata.run('job', 'show', 'nope')
    expect(missing).toMatchObject({ code: 1, stdout: '' })
    expect(missing.stderr).toMatch(/^strata: Job nope could not be found\.\nrequest id: req-[0-9a-f-]{36}$/)
    const env = { OS_AUTH_URL: service.url, OS_USERNAME: 'admin', OS_PASSWORD: 'wrong', OS_PROJECT_NAME: 'admin' }
    const [astray, stranger, nobody] = await Promise.all([
      runStrata(env, ['job', 'list']),
      runStrata({ ...env, OS_AUTH_URL: `${service.url}/identity` }, ['job', 'list']),
      runStrata({ ...env, OS_AUTH_URL: 'http://127.0.0.1:1' }, ['job', 'list']),
    ])
    expect(astray).toMatchObject({ code: 1, stderr: expect.stringContaining('The resource could not be found.') })
    expect(stranger).toMatchObject({ code: 1, stderr: expect.stringContaining('The request you have made requires authentication.') })
    expect(nobody).toMatchObject({ code: 1, stderr: 'strata: http://127.0.0.1:1 cannot be reached: nobody listens there' })
  })
})

describe('strata job', () => {
  it('lists, shows and watches to the end what the service does', async () => {
    const id = await volume('data')
    const [job] = await strata.json<SeenJob[]>('job', 'list', '--resource', id)
    expect(job).toMatchObject({ operation: 'create-volume' })
    const watched = await strata.run('job', 'watch', job?.id ?? '')
    expect(watched).toMatchObject({
      code: 0,
      stdout: `job ${job?.id} is done`,
      stderr: expect.stringMatching(/^(.*\n)*create-volume {2}done$/),
    })
    const [heads, line] = (await strata.ok('job', 'list', '--resource', id)).split('\n')
    expect(heads).toMatch(/^id +operation +state +of +created +took$/)
    expect(line).toContain(`${job?.id}  create-volume  done   volume ${id}`)
    const shown = await strata.ok('job', 'show', job?.id ?? '')
    expect(shown).toContain('The job did all it was asked to do.')
    expect(shown).toMatch(/^step +state +took$/m)
  })

  it('tells by its exit code and in words that a job did not end well', async () => {
    const id = await volume('spoilt')
    const [made] = await strata.json<SeenJob[]>('job', 'list', '--resource', id)
    await strata.ok('job', 'watch', made?.id ?? '')
    const pool = join(service.stateDir, 'pools', 'default')
    for (const file of await readdir(pool)) await rm(join(pool, file))
    await service.call('POST', `/volume/v3/volumes/${id}/action`, { 'os-extend': { new_size: 2 } })
    const [job] = await strata.json<SeenJob[]>('job', 'list', '--operation', 'extend-volume')
    const watched = await strata.run('job', 'watch', job?.id ?? '')
    expect(watched).toMatchObject({ code: 1, stdout: '' })
    expect(watched.stderr).toContain(`job ${job?.id} (extend-volume) is failed: The job failed`)
    expect(await strata.run('job', 'cancel', job?.id ?? '')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('there is nothing to cancel'),
    })
  })
})
