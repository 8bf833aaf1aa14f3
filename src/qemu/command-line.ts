/**
 * QEMU's command line for a guest: every part named by us, nothing of QEMU's defaults or of a user's
 * configuration. The guest starts stopped. A guest that powers itself off leaves QEMU in run state `shutdown`
 * (`-no-shutdown`), so that "off" and "lost" can be told apart.
 */
import { deviceName, formatNode } from '../domain/names.js'
import type { GuestDisk, GuestSpec } from '../ports/hypervisor.js'
import { fileNodeOf, formatNodeOf } from './block-host.js'

export type Accel = 'kvm' | 'tcg'

export interface GuestPaths {
  /** Ours; the first is waited for. */
  readonly monitors: readonly string[]
  /** For people; we never use it. */
  readonly people: string
  readonly agent: string
  readonly console: string
}

export function guestArguments(spec: GuestSpec, paths: GuestPaths, accel: Accel): string[] {
  return [
    ...['-name', `guest=${spec.serverId}`, '-uuid', spec.serverId],
    ...['-S', '-no-shutdown', '-no-user-config', '-nodefaults', '-display', 'none'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    // Without a screen the firmware speaks on the serial line, and the console log shows why a disk does not boot.
    ...['-machine', `pc,graphics=off,accel=${accel}`, '-cpu', accel === 'kvm' ? 'host' : 'max'],
    ...['-smp', String(spec.vcpus), '-m', `${spec.ramMib}M`, '-rtc', 'base=utc'],
    // Ours is waited for: QEMU 7.2 now and then never answers a client that comes while its monitor is being set up.
    ...paths.monitors.flatMap((path, index) => monitor(`ours${index}`, path, index === 0 ? 'on' : 'off')),
    ...monitor('people', paths.people, 'off'),
    ...['-chardev', `file,id=console,path=${escapeCommas(paths.console)},append=on`, '-serial', 'chardev:console'],
    ...['-device', json({ driver: 'virtio-serial-pci', id: 'ports' })],
    ...['-chardev', `socket,id=agent,path=${escapeCommas(paths.agent)},server=on,wait=off`],
    ...['-device', json({ driver: 'virtserialport', id: 'port_ga', chardev: 'agent', name: 'org.qemu.guest_agent.0' })],
    ...nodes(spec.disks).flatMap((node) => ['-blockdev', json(node)]),
    ...spec.disks.flatMap((disk, index) => ['-device', json(device(disk, index === 0 && spec.kernel === undefined))]),
    ...boot(spec.kernel),
  ]
}

/** What a disk is to the guest, whether at boot or hot-plugged. */
export const deviceOf = (disk: GuestDisk): { driver: string; id: string; drive: string; serial: string } => ({
  driver: 'virtio-blk-pci',
  id: deviceName(disk.diskId),
  drive: formatNode(top(disk).layerId),
  serial: disk.serial,
})

export const topLayer = (disk: GuestDisk): string => formatNode(top(disk).layerId)

/** Base first, each node once: disks of one guest may share their lower layers. */
function nodes(disks: readonly GuestDisk[]): object[] {
  const seen = new Set<string>()
  const list: object[] = []
  for (const disk of disks) {
    let backing: string | null = null
    for (const layer of [...disk.chain].reverse()) {
      if (!seen.has(layer.layerId)) {
        const readOnly = layer !== disk.chain[0] || disk.readonly === true
        list.push(fileNodeOf(layer), formatNodeOf(layer, backing, readOnly))
        seen.add(layer.layerId)
      }
      backing = formatNode(layer.layerId)
    }
  }
  return list
}

const device = (disk: GuestDisk, boots: boolean): object => ({
  ...deviceOf(disk),
  ...(disk.slot === undefined ? {} : { bus: 'pci.0', addr: disk.slot.toString(16) }),
  ...(boots ? { bootindex: 0 } : {}),
})

function boot(kernel: GuestSpec['kernel']): string[] {
  if (kernel === undefined) return ['-boot', 'strict=on']
  return ['-kernel', kernel.path, ...(kernel.initrd === undefined ? [] : ['-initrd', kernel.initrd]), '-append', kernel.cmdline]
}

function monitor(id: string, path: string, wait: 'on' | 'off'): string[] {
  return ['-chardev', `socket,id=${id},path=${escapeCommas(path)},server=on,wait=${wait}`, '-mon', `chardev=${id},mode=control`]
}

function top(disk: GuestDisk): GuestDisk['chain'][number] {
  const [layer] = disk.chain
  if (layer === undefined) throw new TypeError(`disk ${disk.diskId} has no layer`)
  return layer
}

/** In QEMU's option strings a comma is written twice. */
export const escapeCommas = (text: string): string => text.replaceAll(',', ',,')

const json = (value: object): string => JSON.stringify(value)
