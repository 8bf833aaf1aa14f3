import type { MemoryState } from '../../../src/domain/memory-state.js'
import { instant } from '../identity/identity.js'

export const managedSaveView = (state: MemoryState) => ({
  id: state.id,
  server_id: state.serverId,
  status: state.status === 'saved' ? ('saved' as const) : ('saving' as const),
  size: state.size,
  was: state.wasRunning ? ('running' as const) : ('paused' as const),
  resume_at_start: state.resumeAtStart,
  bound_to: state.binding && {
    qemu_version: state.binding.qemuVersion,
    machine: state.binding.machine,
    accelerator: state.binding.accel,
    cpu: state.binding.cpu,
    vcpus: state.binding.vcpus,
    ram_mib: state.binding.ramMib,
    disks: state.binding.disks.map(({ diskId, virtualSize }) => ({ disk_id: diskId, virtual_size: virtualSize })),
  },
  created_at: instant(state.createdAt),
})
