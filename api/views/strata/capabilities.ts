/** Capabilities on the wire. */
import type { Capabilities } from '../../../src/services/strata/capabilities.js'

export const capabilitiesView = ({ kinds, host }: Capabilities) => ({
  server_snapshots: kinds.map(({ name, kind, memory, from, instant, downtime, files, thirdParty, extent, available, reason }) => ({
    name,
    kind,
    memory,
    from: [...from],
    instant: { ...instant },
    downtime: { ...downtime },
    files: { per_disk: files.perDisk, memory: files.memory, sentence: files.sentence },
    third_party_access: { ...thirdParty },
    extent: { ...extent },
    available,
    reason,
  })),
  host: {
    qemu_version: host.qemuVersion ?? null,
    machine: host.machine ?? null,
    accelerator: host.accel ?? null,
    cpu: host.cpu ?? null,
  },
})
