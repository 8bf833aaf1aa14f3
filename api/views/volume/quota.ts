/** Quotas and limits as Cinder shows them. */
import type { QuotaUsage } from '../../../src/services/volume/quotas.js'

type Usages = Readonly<Record<string, QuotaUsage>>

export const quotaSetView = (id: string, usages: Usages) => ({
  ...Object.fromEntries(Object.entries(usages).map(([resource, { limit }]) => [resource, limit])),
  id,
})

/** A reservation counts as used at once, so nothing is ever merely reserved. */
export const quotaUsageView = (id: string, usages: Usages) => ({
  ...Object.fromEntries(Object.entries(usages).map(([resource, { limit, inUse }]) => [resource, { limit, in_use: inUse, reserved: 0 }])),
  id,
})

export function limitsView(usages: Usages) {
  const limit = (resource: string): number => usages[resource]?.limit ?? -1
  const used = (resource: string): number => usages[resource]?.inUse ?? 0
  return {
    rate: [],
    absolute: {
      maxTotalVolumes: limit('volumes'),
      maxTotalSnapshots: limit('snapshots'),
      maxTotalVolumeGigabytes: limit('gigabytes'),
      maxTotalBackups: limit('backups'),
      maxTotalBackupGigabytes: limit('backup_gigabytes'),
      totalVolumesUsed: used('volumes'),
      totalGigabytesUsed: used('gigabytes'),
      totalSnapshotsUsed: used('snapshots'),
      totalBackupsUsed: used('backups'),
      totalBackupGigabytesUsed: used('backup_gigabytes'),
    },
  }
}
