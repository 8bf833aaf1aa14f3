import { describe, expect, it } from 'vitest'
import { ANY } from '../../../src/ports/stores.js'
import { covers } from '../../support/api.js'
import { memoryStateRow } from '../../support/rows.js'
import { aServer, inputOf, useRig } from './rig.js'

const rig = useRig()

const VERBS = [
  {
    name: 'os-start',
    body: { 'os-start': null },
    word: 'start',
    from: 'stopped',
    wrong: 'active',
    task: 'powering-on',
    job: 'start-server',
    extra: {},
  },
  {
    name: 'os-stop',
    body: { 'os-stop': null },
    word: 'stop',
    from: 'active',
    wrong: 'stopped',
    task: 'powering-off',
    job: 'stop-server',
    extra: { graceMs: 60_000 },
  },
  { name: 'pause', body: { pause: null }, word: 'pause', from: 'active', wrong: 'paused', task: 'pausing', job: 'pause-server', extra: {} },
  {
    name: 'unpause',
    body: { unpause: null },
    word: 'unpause',
    from: 'paused',
    wrong: 'active',
    task: 'unpausing',
    job: 'unpause-server',
    extra: {},
  },
  {
    name: 'suspend',
    body: { suspend: null },
    word: 'suspend',
    from: 'active',
    wrong: 'paused',
    task: 'suspending',
    job: 'save-server',
    extra: { becomes: 'suspended', memoryStateId: expect.any(String) },
  },
  {
    name: 'resume',
    body: { resume: null },
    word: 'resume',
    from: 'suspended',
    wrong: 'stopped',
    task: 'resuming',
    job: 'restore-server',
    extra: { memoryStateId: expect.any(String) },
  },
  {
    name: 'soft reboot',
    body: { reboot: { type: 'SOFT' } },
    word: 'reboot',
    from: 'active',
    wrong: 'stopped',
    task: 'rebooting',
    job: 'reboot-server',
    extra: { type: 'SOFT' },
  },
  {
    name: 'hard reboot',
    body: { reboot: { type: 'Hard' } },
    word: 'reboot',
    from: 'stopped',
    wrong: 'building',
    task: 'rebooting_hard',
    job: 'reboot-server',
    extra: { type: 'HARD' },
  },
] as const

describe.each(VERBS)('$name', ({ body, word, from, wrong, task, job, extra }) => {
  it('takes a server in its state, once, with its disks in the job', async () => {
    covers('serverAction:os-start', 'success', 'wrong state')
    covers('serverAction:os-stop', 'success', 'wrong state')
    covers('serverAction:pause', 'success', 'wrong state')
    covers('serverAction:unpause', 'success', 'wrong state')
    covers('serverAction:reboot', 'success', 'wrong state')
    covers('serverAction:suspend', 'success', 'wrong state')
    covers('serverAction:resume', 'success')
    const id = await aServer(rig, { vmState: from })
    if (from === 'suspended') await rig.db.transaction((stores) => stores.memoryStates.insert(memoryStateRow({ serverId: id })))
    const rung = rig.rung.length
    const answer = await rig.act('member', id, body)
    expect(answer.status).toBe(202)
    expect(answer.text).toBe('')
    expect(answer.headers['content-type']).toBe('text/html; charset=UTF-8')
    expect(rig.rung.length).toBe(rung + 1)
    expect(await rig.db.read.servers.find(ANY, id)).toMatchObject({ vmState: from, taskState: task })
    const [root] = await rig.db.read.disks.list(ANY, { where: { serverId: { is: id } } })
    expect(await inputOf(rig.db, job, id)).toEqual({ serverId: id, diskIds: [root?.id], ...extra })
    const [action] = await rig.db.read.instanceActions.list(ANY, { where: { serverId: { is: id } }, limit: 1 })
    expect(action).toMatchObject({ action: word, requestId: answer.headers['x-compute-request-id'], finishedAt: null })
    const again = await rig.act('member', id, body)
    expect(again.status).toBe(409)
    expect(again.body.conflictingRequest.message).toBe(`Cannot '${word}' instance ${id} while it is in task_state ${task}`)
    expect(again.body.conflictingRequest.holder).toMatchObject({ job_id: expect.any(String) })
  })

  it('is refused in a wrong state, of a locked server, to readers and to strangers', async () => {
    covers('serverAction:os-start', 'foreign')
    covers('serverAction:os-stop', 'foreign')
    covers('serverAction:pause', 'foreign')
    covers('serverAction:unpause', 'foreign')
    covers('serverAction:reboot', 'foreign')
    covers('serverAction:suspend', 'foreign')
    covers('serverAction:resume', 'foreign')
    const id = await aServer(rig, { vmState: wrong })
    const refused = await rig.act('member', id, body)
    expect(refused.status).toBe(409)
    expect(refused.body.conflictingRequest.message).toBe(`Cannot '${word}' instance ${id} while it is in vm_state ${wrong}`)
    await rig.db.transaction(async (stores) => {
      await stores.servers.update(id, { vmState: from, locked: true })
      if (from === 'suspended') await stores.memoryStates.insert(memoryStateRow({ serverId: id }))
    })
    expect((await rig.act('member', id, body)).body.conflictingRequest.message).toBe(`Instance ${id} is locked`)
    expect((await rig.act('reader', id, body)).status).toBe(403)
    expect((await rig.act('foreign', id, body)).body.itemNotFound.message).toBe(`Instance ${id} could not be found.`)
    expect((await rig.act('admin', id, body)).status).toBe(202)
  })
})

describe('an action', () => {
  it('that does not exist here is told as Nova tells it', async () => {
    const id = await aServer(rig)
    for (const name of ['nope', 'rebuild', 'createBackup', 'resize']) {
      const answer = await rig.act('member', id, { [name]: null })
      expect(answer.status).toBe(400)
      expect(answer.body.badRequest.message).toBe(`There is no such action: ${name}`)
    }
  })

  it('is refused when its body is wrong', async () => {
    covers('serverAction:reboot', 'invalid')
    covers('serverAction:os-resetState', 'invalid')
    covers('serverAction:os-getConsoleOutput', 'invalid')
    const id = await aServer(rig)
    const reboot = await rig.act('member', id, { reboot: { type: 'GENTLE' } })
    expect(reboot.body.badRequest.message).toBe(
      "Invalid input for field/attribute type. Value: GENTLE. 'GENTLE' is not one of ['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']",
    )
    for (const body of [
      { reboot: {} },
      { reboot: null },
      { 'os-resetState': { state: 'deleted' } },
      { 'os-getConsoleOutput': { length: 'x' } },
      { pause: null, unpause: null },
    ])
      expect((await rig.act('admin', id, body)).status).toBe(400)
  })
})

describe('locking', () => {
  it('keeps members from changing a server until it is unlocked', async () => {
    covers('serverAction:lock', 'success', 'foreign')
    covers('serverAction:unlock', 'success', 'foreign')
    const id = await aServer(rig)
    expect((await rig.act('member', id, { lock: null })).status).toBe(202)
    expect((await rig.call('member', 'GET', `/servers/${id}`, { version: '2.9' })).body.server.locked).toBe(true)
    expect((await rig.act('member', id, { 'os-stop': null })).status).toBe(409)
    expect((await rig.act('member', id, { unlock: null })).status).toBe(202)
    expect((await rig.act('member', id, { 'os-stop': null })).status).toBe(202)
    for (const action of ['lock', 'unlock']) {
      expect((await rig.act('reader', id, { [action]: null })).status).toBe(403)
      expect((await rig.act('foreign', id, { [action]: null })).status).toBe(404)
    }
  })
})

describe('os-resetState', () => {
  it('sets the state for admins and ends the task', async () => {
    covers('serverAction:os-resetState', 'success', 'foreign')
    const id = await aServer(rig, { taskState: 'powering-off' })
    expect((await rig.act('member', id, { 'os-resetState': { state: 'error' } })).status).toBe(403)
    expect((await rig.act('foreign', id, { 'os-resetState': { state: 'error' } })).status).toBe(404)
    expect((await rig.act('admin', id, { 'os-resetState': { state: 'error' } })).status).toBe(202)
    expect(await rig.db.read.servers.find(ANY, id)).toMatchObject({ vmState: 'error', taskState: null })
  })
})

describe('forceDelete', () => {
  it('deletes as DELETE does', async () => {
    covers('serverAction:forceDelete', 'success', 'foreign', 'wrong state')
    const id = await aServer(rig, { patch: { locked: true } })
    expect((await rig.act('foreign', id, { forceDelete: null })).status).toBe(404)
    expect((await rig.act('reader', id, { forceDelete: null })).status).toBe(403)
    expect((await rig.act('member', id, { forceDelete: null })).status).toBe(409)
    expect((await rig.act('admin', id, { forceDelete: null })).status).toBe(202)
    expect(await inputOf(rig.db, 'delete-server', id)).toMatchObject({ serverId: id })
  })
})

describe('os-getConsoleOutput', () => {
  it('gives the last lines of the serial log, of a stopped server too', async () => {
    covers('serverAction:os-getConsoleOutput', 'success', 'foreign', 'wrong state')
    const id = await aServer(rig, { vmState: 'stopped' })
    rig.consoleText.value = 'one\ntwo\nthree\nfour\n'
    expect((await rig.act('member', id, { 'os-getConsoleOutput': { length: 3 } })).body).toEqual({ output: 'two\nthree\nfour' })
    expect((await rig.act('member', id, { 'os-getConsoleOutput': { length: '2' } })).body).toEqual({ output: 'three\nfour' })
    for (const all of [{}, { length: -1 }, { length: null }])
      expect((await rig.act('member', id, { 'os-getConsoleOutput': all })).body).toEqual({ output: 'one\ntwo\nthree\nfour' })
    expect((await rig.act('foreign', id, { 'os-getConsoleOutput': {} })).status).toBe(404)
    expect((await rig.act('reader', id, { 'os-getConsoleOutput': {} })).status).toBe(403)
    await rig.db.transaction((stores) => stores.servers.update(id, { vmState: 'building' }))
    expect((await rig.act('member', id, { 'os-getConsoleOutput': {} })).body.conflictingRequest.message).toBe(`Instance ${id} is not ready`)
  })
})
