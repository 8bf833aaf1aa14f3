import * as ops from '../../src/domain/operations.js'
import type { ServerTask, VmState } from '../../src/domain/server.js'
import { chainFiles, topOf } from '../../src/steps/places.js'
import { openMonitor } from './monitor.js'
import { BASE, type Scenario, scenario, served, socketOf, TOP } from './stage.js'
import { DISK_MIB, MIB, type World } from './world.js'

const onServer = (
  name: string,
  what: string,
  state: VmState,
  task: ServerTask | null,
  enqueue: (world: World, input: ops.ServerInput) => Promise<unknown>,
): Scenario =>
  scenario(name, what, state === 'active' || state === 'paused', async (world) => {
    const { serverId, volume } = await served(world, state, [BASE, TOP], task)
    await world.snapshot(volume, volume.layerIds[0] ?? '', 'available')
    await enqueue(world, { serverId, diskIds: [volume.diskId] })
    return {}
  })

export const SERVER_SCENARIOS: readonly Scenario[] = [
  scenario('create-server', 'on an image', false, async (world) => {
    const source = await world.volume([BASE])
    const serverId = await world.server('building', 'spawning')
    const parentLayerId = source.layerIds[0] ?? ''
    await world.snapshot(source, parentLayerId, 'available')
    const root = await world.rootOf(serverId, [])
    const layerId = await world.planned({ parentId: parentLayerId })
    world.expected.set(root.diskId, BASE)
    await world.db.transaction(async (s) => {
      await s.layers.update(parentLayerId, { state: 'sealed' })
      await s.disks.update(source.diskId, { topLayerId: null })
    })
    const layers = [{ diskId: root.diskId, layerId, parentLayerId, virtualSize: DISK_MIB * MIB }]
    await world.enqueue(ops.createServer, { serverId, layers, diskIds: [root.diskId] })
    return {}
  }),
  onServer('start-server', 'from off', 'stopped', 'powering-on', (w, i) => w.enqueue(ops.startServer, i)),
  onServer('stop-server', 'running', 'active', 'powering-off', (w, i) => w.enqueue(ops.stopServer, { ...i, graceMs: 50 })),
  onServer('reboot-server', 'soft', 'active', 'rebooting', (w, i) => w.enqueue(ops.rebootServer, { ...i, type: 'SOFT' })),
  onServer('reboot-server', 'hard', 'active', 'rebooting_hard', (w, i) => w.enqueue(ops.rebootServer, { ...i, type: 'HARD' })),
  onServer('pause-server', 'running', 'active', 'pausing', (w, i) => w.enqueue(ops.pauseServer, i)),
  onServer('unpause-server', 'paused', 'paused', 'unpausing', (w, i) => w.enqueue(ops.unpauseServer, i)),
  onServer('observe-storage', 'running', 'active', null, async (w, { serverId, diskIds }) => {
    const chainOf = async (diskId: string) => await chainFiles(w.db.read, await topOf(w.db.read, diskId))
    const disks = await Promise.all(diskIds.map(async (diskId) => ({ diskId, chain: await chainOf(diskId) })))
    await w.enqueue(ops.observeStorage, { serverId, disks, directories: [w.pool] })
  }),
  onServer('delete-server', 'running', 'active', 'deleting', (w, i) => w.enqueue(ops.deleteServer, i)),
  scenario('record-guest-off', 'after the guest ended', true, async (world) => {
    const { serverId, volume } = await served(world, 'active', [BASE])
    const monitor = await openMonitor(socketOf(world, serverId))
    await monitor.ask('system_powerdown')
    monitor.close()
    await world.enqueue(ops.recordGuestOff, { serverId, diskIds: [volume.diskId] })
    return {}
  }),
  scenario('record-qemu-lost', 'after a loss', false, async (world) => {
    const serverId = await world.server('active')
    await world.enqueue(ops.recordQemuLost, { serverId, diskIds: [], reason: 'The server stopped unexpectedly.' })
    return {}
  }),
]
