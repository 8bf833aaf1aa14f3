/** QEMU killed from outside while a commit is being completed: the moment in which the disk changes its top. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Caller } from '../../src/domain/caller.js'
import { ANY } from '../../src/ports/stores.js'
import { createJobService } from '../../src/services/strata/jobs.js'
import { drive, killGuests } from './engine.js'
import { guests } from './monitor.js'
import { judge } from './oracle.js'
import { makeClock } from './ports.js'
import { HEAVY, merge, SMALL, served, socketOf } from './stage.js'
import { makeWorld, type World } from './world.js'

/** A process of its own: its monitor hears the event when the engine's does. */
const KILLER = `
const [socket, pid, status] = process.argv.slice(1)
const line = require('node:net').createConnection(socket)
let text = ''
line.write('{"execute":"qmp_capabilities"}\\n')
line.on('data', (chunk) => {
  text += chunk
  if (text.includes('"return"')) process.stdout.write('listening')
  if (!new RegExp('"JOB_STATUS_CHANGE", "data": \\\\{"status": "' + status + '"').test(text)) return
  process.kill(Number(pid), 'SIGKILL')
  process.stdout.write('killed')
  process.exit()
}).on('error', () => process.exit()).on('close', () => process.exit())
`

let world: World
beforeEach(async () => {
  world = await makeWorld(makeClock())
})
afterEach(async () => {
  await killGuests(world.dir)
  await world.destroy()
})

describe('a guest that stands still while its disk is switched to the layer below', { timeout: 60_000 }, () => {
  it('has the time in the job that made it stand', async () => {
    const { volume } = await served(world, 'active', [HEAVY, SMALL])
    await merge(world, volume, 0)
    await drive(world, {
      operation: 'merge-layer',
      fault: { kind: 'none' },
      atGap: async (gap) => {
        if (gap === 'move-data:before-done') world.clock.advance(7)
      },
    })
    const { db } = world
    const [job] = await db.read.jobs.list(ANY, { where: { operation: { is: 'merge-layer' } } })
    const { showJob } = createJobService({ db, doorbell: { ring: () => {} } })
    const caller = { projectId: world.projectId, isAdmin: false } as Caller
    const { guestPausedMs } = await showJob(caller, job?.id ?? '')
    expect(guestPausedMs).toBeGreaterThanOrEqual(7000)
    expect(guestPausedMs).toBeLessThan(30_000)
    expect(await judge(world)).toEqual([])
  })
})

describe('a guest whose QEMU is killed while its commit is completed', { timeout: 120_000 }, () => {
  it.each(['ready', 'waiting', 'pending', 'concluded'])('at the event "%s" has lost nothing, and the merge is done', async (status) => {
    const { serverId, volume } = await served(world, 'active', [HEAVY, SMALL])
    const pid = (await guests(world.dir)).get(serverId)
    const killer = spawn(process.execPath, ['-e', KILLER, socketOf(world, serverId), String(pid), status], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let said = ''
    killer.stdout.on('data', (chunk) => {
      said += String(chunk)
    })
    await once(killer.stdout, 'data')
    await merge(world, volume, 0)
    await drive(world, { operation: 'merge-layer', fault: { kind: 'none' } })
    if (killer.exitCode === null) await once(killer, 'exit')
    expect(said).toMatch(/killed$/)
    expect(await judge(world)).toEqual([])
  })
})
