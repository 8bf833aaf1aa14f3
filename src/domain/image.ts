/** Glance's records. The bytes are a layer of origin `image`. */
import type { Metadata } from './metadata.js'
import type { Micros } from './time.js'

export type ImageStatus = 'queued' | 'saving' | 'active' | 'deactivated' | 'killed' | 'deleted' | 'importing'

/** What a disk can be written out as. Those but the first two are for other clouds: here they are only downloaded. */
export const EXPORT_FORMATS = ['qcow2', 'raw', 'vmdk', 'vdi', 'vhd', 'vhdx', 'ploop'] as const
export type ExportFormat = (typeof EXPORT_FORMATS)[number]

export const isForeign = ({ diskFormat }: Pick<Image, 'diskFormat'>): boolean =>
  diskFormat !== 'qcow2' && diskFormat !== 'raw' && EXPORT_FORMATS.some((format) => format === diskFormat)

export interface Image {
  id: string
  seq: number
  projectId: string
  name: string | null
  status: ImageStatus
  visibility: 'public' | 'private' | 'shared' | 'community'
  protected: boolean
  hidden: boolean
  diskFormat: string | null
  containerFormat: string | null
  minDisk: number
  minRam: number
  size: number | null
  virtualSize: number | null
  checksum: string | null
  hashAlgo: string | null
  hashValue: string | null
  /** Flat custom properties, strings. */
  properties: Metadata
  tags: readonly string[]
  /** The layer that holds the data, null until active. */
  layerId: string | null
  /** The sealed layer it is being made from (createImage), pinned until the copy is done. */
  sourceLayerId: string | null
  createdAt: Micros
  updatedAt: Micros
}

export interface ImageMember {
  id: string
  imageId: string
  memberId: string
  status: 'pending' | 'accepted' | 'rejected'
  createdAt: Micros
  updatedAt: Micros
}
