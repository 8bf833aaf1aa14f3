/** What a guest is launched with, read from the tables at launch: the server, its disks in boot order, its kernel. */
import type { Disk } from '../domain/disk.js'
import { NeedsAttention } from '../domain/errors.js'
import type { GuestDisk, GuestSpec } from '../ports/hypervisor.js'
import { ANY, type Stores } from '../ports/stores.js'
import { chainFiles, layerFile } from './places.js'
import type { Tools } from './tools.js'

/** `diskIds` as the caller orders them, or every disk of the server: root first, then as they were attached. */
export async function guestSpec(tools: Tools, serverId: string, diskIds?: readonly string[]): Promise<GuestSpec> {
  const stores = tools.db.read
  const server = await stores.servers.find(ANY, serverId)
  if (server === undefined) throw new NeedsAttention(`Server ${serverId} is not in the tables.`)
  const disks: GuestDisk[] = []
  for (const diskId of diskIds ?? (await plugged(stores, serverId))) {
    disks.push(await guestDisk(stores, diskId))
  }
  const kernel = server.kernelLayerId === null ? undefined : (await layerFile(stores, server.kernelLayerId)).path
  const initrd = server.ramdiskLayerId === null ? undefined : (await layerFile(stores, server.ramdiskLayerId)).path
  const cmdline = server.imageProperties['os_command_line'] ?? 'console=ttyS0'
  return {
    serverId,
    vcpus: server.flavor.vcpus,
    ramMib: server.flavor.ramMib,
    disks,
    ...(kernel === undefined ? {} : { kernel: { path: kernel, cmdline, ...(initrd === undefined ? {} : { initrd }) } }),
  }
}

export async function guestDisk(stores: Stores, diskId: string): Promise<GuestDisk> {
  const disk = await stores.disks.find(ANY, diskId)
  if (disk?.topLayerId == null) throw new NeedsAttention(`Disk ${diskId} has no layer.`)
  const volume = (await stores.volumes.list(ANY, { where: { diskId: { is: diskId } }, limit: 1 }))[0]
  return { diskId, serial: (volume?.id ?? diskId).slice(0, 20), chain: await chainFiles(stores, disk.topLayerId) }
}

async function plugged(stores: Stores, serverId: string): Promise<string[]> {
  const attachments = await stores.attachments.list(ANY, {
    where: { serverId: { is: serverId }, status: { in: ['attached', 'detaching'] } },
  })
  const disks = await stores.disks.list(ANY, { where: { serverId: { is: serverId } } })
  const rank = (disk: Disk): string => {
    const attachment = attachments.find((one) => one.diskId === disk.id)
    if (disk.kind === 'root' || attachment?.bootIndex === 0) return ''
    // vdb before vdaa: shorter names come first.
    return `${attachment?.device.length ?? 99}:${attachment?.device ?? ''}`.padStart(20, '0')
  }
  return disks.toSorted((a, b) => (rank(a) < rank(b) ? -1 : 1)).map((disk) => disk.id)
}
