/**
 * What a saved memory is bound to, as a running QEMU says it and as the next one would be. The alias `pc` stands for another
 * machine in each minor version, so the machine is named by what it stands for.
 */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { refused } from '../domain/errors.js'
import { deviceName } from '../domain/names.js'
import type { GuestFacts, MachineFacts } from '../ports/hypervisor.js'
import type { Accel } from './command-line.js'
import type { QmpSession } from './qmp/session.js'

export async function factsOfGuest(session: QmpSession, diskIds: readonly string[]): Promise<GuestFacts> {
  const [{ qemu }, kvm, type, buses] = await Promise.all([
    session.execute('query-version'),
    session.execute('query-kvm'),
    session.execute('qom-get', { path: '/machine', property: 'type' }),
    session.execute('query-pci'),
  ])
  const accel = kvm.enabled ? 'kvm' : 'tcg'
  const slots: Record<string, number> = {}
  for (const device of buses.find(({ bus }) => bus === 0)?.devices ?? []) {
    const diskId = diskIds.find((id) => deviceName(id) === device.qdev_id)
    if (diskId !== undefined) slots[diskId] = device.slot
  }
  return {
    qemuVersion: `${qemu.major}.${qemu.minor}.${qemu.micro}`,
    machine: String(type).replace(/-machine$/, ''),
    accel,
    cpu: await cpuOf(accel),
    slots,
  }
}

export async function factsOfHost(binary: string, accel: Accel): Promise<MachineFacts> {
  const say = async (...args: string[]): Promise<string> => {
    const { stdout } = await promisify(execFile)(binary, args).catch((cause: unknown) => {
      throw refused(`${binary} does not say what it is`, { cause, reason: 'qemu-start' })
    })
    return stdout
  }
  const [version, machines, cpu] = await Promise.all([say('--version'), say('-machine', 'help'), cpuOf(accel)])
  return {
    qemuVersion: /version (\d+\.\d+\.\d+)/.exec(version)?.[1] ?? version.trim(),
    machine: /^pc\s.*\(alias of (\S+)\)/m.exec(machines)?.[1] ?? 'pc',
    accel,
    cpu,
  }
}

/** Emulated, the processor is QEMU's own; else it is the host's. */
async function cpuOf(accel: Accel): Promise<string> {
  if (accel === 'tcg') return 'max'
  const model = /^model name\s*:\s*(.*)$/m.exec(await readFile('/proc/cpuinfo', 'utf8'))?.[1]
  return `host: ${model ?? 'unknown'}`
}
