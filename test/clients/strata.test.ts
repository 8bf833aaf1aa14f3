/** The built `strata` command against the running service: what a user types, what is printed, what it exits with. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCloud } from '../support/cloud.js'
import { type Service, startService } from '../support/service.js'
import { runStrata, strataOf } from '../support/strata-cli.js'
import { until } from '../support/until.js'

interface SeenJob {
  readonly id: string
  readonly operation: string
  readonly state: string
}

let service: Service
let server: string
let strata: ReturnType<typeof strataOf>

beforeAll(async () => {
  service = await startService()
  strata = strataOf(service)
})
afterAll(async () => await service?.stop())

/** Off, with a root disk of nothing and a volume: its snapshots need no guest. */
async function stoppedServer(name: string): Promise<string> {
  const cloud = createCloud(() => service)
  const image = await cloud.upload('blank', 'raw', 'bare', Buffer.alloc(1024 * 1024), { os_shutdown_timeout: '0' })
  const body = { server: { name, imageRef: image, flavorRef: '42' } }
  const { id } = (await service.call<{ server: { id: string } }>('POST', '/compute/v2.1/servers', body)).server
  await cloud.serverBecomes(id, 'ACTIVE', ['BUILD'])
  await cloud.stopServer(id)
  const data = await cloud.createVolume({ name: `${name}-data` })
  await cloud.call('POST', `/compute/v2.1/servers/${id}/os-volume_attachments`, { volumeAttachment: { volumeId: data } })
  await until(async () => (await cloud.volume(data)).status === 'in-use', { what: 'the volume to be attached' })
  return id
}

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

describe('strata server-snapshot', () => {
  interface Snapshot {
    readonly id: string
    readonly name: string
    readonly parent_id: string | null
    readonly is_current: boolean
    readonly disks: readonly { readonly device: string }[]
  }
  beforeAll(async () => {
    server = await stoppedServer('vm')
  })
  const snapshot = async (...words: string[]): Promise<void> => void (await strata.ok('server-snapshot', ...words, '--wait'))

  it('takes them by the name or id of the server, goes back, and draws the tree that grows', async () => {
    await snapshot('create', 'vm', 'base')
    await snapshot('create', server, 'left', '--disk', 'vm-data,snapshot=no')
    expect(await strata.ok('server-snapshot', 'revert', 'vm', 'base', '--keep-current', '--wait')).toMatch(/^went back to +base$/m)
    const right = await strata.json<Snapshot>('server-snapshot', 'create', 'vm', 'right', '--protect', '--wait')
    expect(right).toMatchObject({ name: 'right', is_current: true, protected: true, status: 'available', job_id: expect.any(String) })

    const all = await strata.json<Snapshot[]>('server-snapshot', 'list', 'vm')
    const kept = all[2]?.name ?? ''
    expect(all.map(({ name }) => name)).toEqual(['base', 'left', kept, 'right'])
    expect(all[1]?.disks.map(({ device }) => device)).toEqual(['vda'])
    const tree = await strata.ok('server-snapshot', 'tree', 'vm')
    expect(tree.replaceAll(/ {2}external {2}\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, '').split('\n')).toEqual([
      'base',
      '├── left',
      `│   └── ${kept}`,
      '└── right  [current, protected]',
      '    └── (the present)  vda on 4 layers, vdb on 3 layers',
    ])
    expect(await strata.ok('server-snapshot', 'tree', 'vm', '--svg')).toMatch(/^<svg [\s\S]*right/)
    const shown = await strata.ok('server-snapshot', 'show', 'vm', all[1]?.id ?? '')
    expect(shown).toMatch(/^parent +base$/m)
    expect(shown).toMatch(/^consistency +offline \(asked: none\)$/m)
    const grown = await strata.json<Snapshot[]>('server-snapshot', 'list', 'vm', '--descendants-of', 'base', '--view', 'leaves')
    expect(grown.map(({ name }) => name)).toEqual([kept, 'right'])
  })

  it('finds exactly one of a name, or says why not', async () => {
    await volume('twice')
    const second = await stoppedServer('twin')
    await service.call('PUT', `/compute/v2.1/servers/${second}`, { server: { name: 'vm' } })
    const said = await Promise.all([
      strata.run('server-snapshot', 'list', 'v'),
      strata.run('server-snapshot', 'list', 'vm'),
      strata.run('server-snapshot', 'show', server, 'nope'),
      strata.run('server-snapshot', 'create', server, 'base'),
      strata.run('server-snapshot', 'create', server, '--disk', 'vda,snapshot'),
    ])
    expect(said.map(({ code }) => code)).toEqual([1, 1, 1, 1, 2])
    const [none, several, missing, taken] = said.map(({ stderr }) => stderr)
    expect(none).toBe('strata: no server has the name or id v')
    expect(several).toMatch(new RegExp(`^strata: 2 servers are called vm; name one by its id: .*${server}`))
    expect(missing).toBe('strata: no snapshot of the server has the name or id nope')
    expect(taken).toMatch(/base.*\nrequest id: req-/s)
  })

  it('plans before anything is done', async () => {
    const gone = await strata.ok('server-snapshot', 'plan', 'delete', server, 'base', '--mode', 'discard')
    expect(gone).toMatch(/^possible +no$/m)
    expect(gone).toMatch(/^takes along .*left/m)
    expect(gone).toMatch(/^plan +[0-9a-f]{64}$/m)
    const back = await strata.json<{ deletes: unknown[] }>('server-snapshot', 'plan', 'revert', server, 'left')
    expect(back).toMatchObject({ kind: 'revert', possible: true, disks: expect.anything() })
    expect(await strata.ok('server-snapshot', 'plan', 'consolidate', server)).toMatch(/^possible +yes$/m)
  })

  it('deletes one, several or all, and says for whose sake it does not', async () => {
    const refused = await strata.run('server-snapshot', 'delete', server, 'base', '--mode', 'discard')
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/"left".*\nrequest id: req-/s) })
    const { hash } = await strata.json<{ hash: string }>('server-snapshot', 'plan', 'delete', server, 'left')
    const stale = await strata.run('server-snapshot', 'delete', server, 'left', '--plan', hash, '--mode', 'discard_force')
    expect(stale).toMatchObject({ code: 1, stderr: expect.stringContaining('request id: req-') })
    await snapshot('delete', server, 'left', '--plan', hash)
    const rest = await strata.run('server-snapshot', 'delete', server, '--all', '--wait')
    expect(rest).toMatchObject({ code: 1, stderr: expect.stringContaining('1 of 3 snapshots are not deleted') })
    expect(rest.stdout).toMatch(/right +refused +.*[Pp]rotected/)
    expect(await strata.run('server-snapshot', 'delete', server, '--all')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/ {2}right: .*[Pp]rotected/),
    })
    await strata.ok('server-snapshot', 'set', server, 'right', '--no-protect')
    await snapshot('delete', server, 'right')
    expect(await strata.ok('server-snapshot', 'tree', server)).toMatch(/^\(the present\)/)
    expect((await strata.run('server-snapshot', 'delete', server)).code).toBe(2)
  })
})

describe('strata chain', () => {
  it("shows a volume's or a root disk's layers, and moves data between them", async () => {
    await strata.ok('server-snapshot', 'create', server, 'low', '--wait')
    const root = await strata.ok('chain', 'show', `${server}:vda`)
    expect(root).toMatch(/^volume +-$/m)
    expect(root).toMatch(/^depth +\d \(shortened beyond \d+, refused at \d+: rule of the default\)$/m)
    expect(root).toMatch(/ sealed +qcow2 +default .*server_snapshot low$/m)
    expect(await strata.ok('chain', 'show', `${server}:vda`, '--svg')).toMatch(/^<svg /)
    expect(await strata.ok('chain', 'pull', 'vm-data', '--speed', '64m', '--wait')).toMatch(/^job +\S+$/)
    const kept = await strata.json<{ volume_id: string }>('chain', 'copy', 'vm-data', '--keep', '--name', 'vm-copy', '--wait')
    expect(await strata.json('chain', 'show', 'vm-copy')).toMatchObject({ volume_id: kept.volume_id, depth: 1 })
    const refused = await strata.run('chain', 'commit', 'vm-copy')
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/\nrequest id: req-/) })
    expect(await strata.run('chain', 'show', `${server}:vdz`)).toMatchObject({ code: 1, stderr: expect.stringContaining('vda, vdb') })
    expect(await strata.run('chain', 'pull', 'vm-data', '--speed', 'fast')).toMatchObject({ code: 2 })
  })
})

describe('strata managed-save', () => {
  it("saves a guest's memory, shows what its start goes on from, and gives it up", async () => {
    await service.call('POST', `/compute/v2.1/servers/${server}/action`, { 'os-start': null })
    await createCloud(() => service).serverBecomes(server, 'ACTIVE', ['SHUTOFF'])
    expect(await strata.ok('managed-save', 'save', server, '--wait')).toMatch(/^status +saved$/m)
    expect(await strata.json('managed-save', 'show', server)).toMatchObject({ server_id: server, was: 'running', status: 'saved' })
    await strata.ok('managed-save', 'discard', server, '--wait')
    expect(await strata.run('managed-save', 'show', server)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('has no saved state'),
    })
    expect(await strata.ok('managed-save', 'autostart', server, 'off')).toBe('autostart  off')
    expect((await strata.run('managed-save', 'autostart', server, 'perhaps')).code).toBe(2)
  })
})

describe('strata capabilities', () => {
  it('sets the kinds side by side and says what the host can do', async () => {
    const text = await strata.ok('capabilities')
    expect(text).toMatch(/^external_disk +running, paused, stopped +/m)
    expect(text).toMatch(/^delete modes +merge, merge_force, discard, discard_force$/m)
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
