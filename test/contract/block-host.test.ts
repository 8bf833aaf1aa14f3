/** One contract, two processes that keep it: QEMU with guest devices, and the storage daemon. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { formatNode } from '../../src/domain/names.js'
import type { OfflineHost } from '../../src/ports/block.js'
import type { Guest, Hypervisor } from '../../src/ports/hypervisor.js'
import { createOfflineHosts } from '../../src/qemu/storage-daemon.js'
import type { Rig, StartRig } from '../support/block-rig.js'
import { diskOf, emulated, guestSpec } from '../support/qemu.js'
import { blockHostSuite } from './block-host-suite.js'
import { blockJobSuite } from './block-job-suite.js'
import { copyJobSuite } from './copy-job-suite.js'

const pidIn = async (path: string): Promise<number> => Number(await readFile(path, 'utf8'))

async function guestOf(hypervisor: Hypervisor, serverId: string): Promise<Guest> {
  const guest = await hypervisor.find(serverId)
  if (guest === undefined) throw new Error('the guest is gone')
  return guest
}

const running: StartRig = async (stateDir, chains): Promise<Rig> => {
  const disks = chains.map(diskOf)
  const spec = guestSpec(disks)
  let hypervisor = emulated(stateDir)
  await hypervisor.launch(spec)
  return {
    host: (await guestOf(hypervisor, spec.serverId)).blocks,
    diskIds: disks.map((disk) => disk.diskId),
    reconnect: async () => {
      await hypervisor.close()
      hypervisor = emulated(stateDir)
      return (await guestOf(hypervisor, spec.serverId)).blocks
    },
    pid: () => pidIn(join(stateDir, 'guests', `${spec.serverId}.pid`)),
    end: async () => (await hypervisor.find(spec.serverId))?.quit(),
  }
}

let daemons = 0

const offline: StartRig = async (stateDir, chains): Promise<Rig> => {
  const name = `t${++daemons}`
  const [first = [], ...others] = chains
  let hosts = createOfflineHosts({ stateDir })
  let host: OfflineHost = await hosts.open(name, first)
  for (const chain of others) {
    for (const [index, layer] of [...chain].reverse().entries()) {
      const below = [...chain].reverse()[index - 1]
      await host.open(layer, below === undefined ? null : formatNode(below.layerId))
    }
  }
  return {
    host,
    diskIds: [],
    reconnect: async () => {
      await hosts.close()
      hosts = createOfflineHosts({ stateDir })
      host = await hosts.open(name, first)
      return host
    },
    pid: () => pidIn(join(stateDir, 'run', `${name}.pid`)),
    end: () => host.release(),
  }
}

for (const [name, start] of Object.entries({ 'a running QEMU': running, 'a storage daemon': offline })) {
  blockHostSuite(name, start)
  blockJobSuite(name, start)
  copyJobSuite(name, start)
}
