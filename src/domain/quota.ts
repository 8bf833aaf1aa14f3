/** What a volume and a snapshot count against: the project's totals and, as Cinder, those of their volume type. */
export type Amounts = Readonly<Record<string, number>>

export const gigabyteAmounts = (typeName: string, sizeGib: number): Amounts => ({
  gigabytes: sizeGib,
  [`gigabytes_${typeName}`]: sizeGib,
})

export const volumeAmounts = (typeName: string, sizeGib: number): Amounts => ({
  ...gigabyteAmounts(typeName, sizeGib),
  volumes: 1,
  [`volumes_${typeName}`]: 1,
})

export const snapshotAmounts = (typeName: string, sizeGib: number): Amounts => ({
  ...gigabyteAmounts(typeName, sizeGib),
  snapshots: 1,
  [`snapshots_${typeName}`]: 1,
})
