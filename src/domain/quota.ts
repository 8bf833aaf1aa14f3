/** What a volume and a snapshot count against: the project's totals and, as Cinder, those of their volume type. */
import type { Job } from './job.js'
import { type ExtendVolumeInput, extendVolume } from './operations.js'
import type { Volume } from './volume.js'

export type Amounts = Readonly<Record<string, number>>

export const gigabyteAmounts = (typeName: string, sizeGib: number): Amounts => ({
  gigabytes: sizeGib,
  [`gigabytes_${typeName}`]: sizeGib,
})

/** What a volume counts as while it is being extended: the largest it was promised to become. */
export const promisedGib = (volume: Volume, unfinished: readonly Job[], exceptJobId?: string): number =>
  Math.max(
    volume.sizeGib,
    ...unfinished
      .filter((job) => job.operation === extendVolume.name && job.id !== exceptJobId)
      .map((job) => (job.input as ExtendVolumeInput).sizeGib),
  )

export const volumeAmounts = (typeName: string, sizeGib: number): Amounts => ({
  ...gigabyteAmounts(typeName, sizeGib),
  volumes: 1,
  [`volumes_${typeName}`]: 1,
})

/** What a volume counts against its type alone. */
export const volumeTypeAmounts = (typeName: string, sizeGib: number): Amounts => ({
  [`gigabytes_${typeName}`]: sizeGib,
  [`volumes_${typeName}`]: 1,
})

export const snapshotAmounts = (typeName: string, sizeGib: number): Amounts => ({
  ...gigabyteAmounts(typeName, sizeGib),
  snapshots: 1,
  [`snapshots_${typeName}`]: 1,
})
