/** The body of a server's creation, with its two generations of block device mappings, turned into what the service takes. */
import { randomBytes } from 'node:crypto'
import { DomainError } from '../../../src/domain/errors.js'
import type { NewServer } from '../../../src/services/compute/server-create.js'
import { type BlockDevice, localRootOf } from '../../../src/services/compute/server-create-devices.js'
import type { Body, Version } from '../../contract.js'
import { flagOf, requireMetadataKeys } from './wire.js'

type Wire = Body<'createServer'>['server']
type Mapping = NonNullable<Wire['block_device_mapping_v2']>[number]
type LegacyMapping = NonNullable<Wire['block_device_mapping']>[number]

const UUID = /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i
const invalid = (sentence: string) => new DomainError('invalid', sentence)

export function newServer(wire: Wire, version: Version): NewServer {
  requireNoNetworks(wire.networks)
  for (const { name } of wire.security_groups ?? []) if (name !== 'default') throw invalid(`Security group ${name} not found.`)
  if (flagOf(wire.config_drive ?? false)) throw invalid('Invalid config drive: this cloud offers none.')
  if (wire.user_data != null && !isBase64(wire.user_data)) throw invalid('Userdata must be base64 encoded')
  const imageId = imageOf(wire)
  const minCount = Number(wire.min_count ?? 1)
  return {
    name: wire.name,
    // Before 2.19 a server's description is its name.
    description: version.atLeast(19) ? (wire.description ?? null) : wire.name,
    imageId,
    flavorId: String(wire.flavorRef).split('/').at(-1) ?? '',
    devices: devicesOf(wire, imageId),
    metadata: requireMetadataKeys(wire.metadata ?? {}),
    tags: [...new Set(wire.tags ?? [])],
    minCount,
    maxCount: Number(wire.max_count ?? minCount),
    availabilityZone: wire.availability_zone ?? null,
    userData: wire.user_data ?? null,
    keyName: wire.key_name ?? null,
    accessIpV4: wire.accessIPv4 ?? '',
    accessIpV6: wire.accessIPv6 === undefined ? '' : normalIpV6(wire.accessIPv6),
    diskConfig: wire['OS-DCF:diskConfig'] ?? null,
  }
}

/** Servers here have no network; asking for one by name is refused as if it were not there. */
function requireNoNetworks(networks: Wire['networks']): void {
  if (!Array.isArray(networks)) return
  const [first] = networks
  if (first === undefined) return
  if (first.port != null) throw invalid(`Port ${first.port} could not be found.`)
  if (first.uuid === undefined) throw invalid("Bad network format: missing 'uuid'")
  throw invalid(`Network ${first.uuid} could not be found.`)
}

function imageOf(wire: Wire): string | null {
  if (wire.imageRef == null || wire.imageRef === '') {
    if ((wire.block_device_mapping ?? wire.block_device_mapping_v2 ?? []).length > 0) return null
    throw invalid('Missing imageRef attribute')
  }
  const id = wire.imageRef.split('/').at(-1) ?? ''
  if (!UUID.test(id)) throw invalid('Invalid imageRef provided.')
  return id
}

function devicesOf(wire: Wire, imageId: string | null): BlockDevice[] {
  const { block_device_mapping: old, block_device_mapping_v2: mappings } = wire
  if (old !== undefined && mappings !== undefined)
    throw invalid('Using different block_device_mapping syntaxes is not allowed in the same request.')
  if (old !== undefined) return legacyDevices(old, imageId)
  return (mappings ?? []).filter((mapping) => !isSet(mapping.no_device)).map(deviceOf)
}

function deviceOf(mapping: Mapping): BlockDevice {
  const older = mapping.volume_id ?? mapping.snapshot_id ?? mapping.image_id
  const kind =
    mapping.volume_id != null ? 'volume' : mapping.snapshot_id != null ? 'snapshot' : mapping.image_id != null ? 'image' : 'blank'
  const sourceType = mapping.source_type ?? (mapping.uuid == null ? kind : 'volume')
  const bootIndex = mapping.boot_index == null ? null : Number(mapping.boot_index)
  return {
    sourceType,
    destinationType: mapping.destination_type ?? (sourceType === 'image' || sourceType === 'blank' ? 'local' : 'volume'),
    uuid: mapping.uuid ?? older ?? null,
    bootIndex: bootIndex !== null && bootIndex < 0 ? null : bootIndex,
    sizeGib: sizeOf(mapping.volume_size),
    deleteOnTermination: flagOf(mapping.delete_on_termination ?? false),
    tag: mapping.tag ?? null,
  }
}

/** The first generation: a list of volumes and snapshots by device name; with an image its disk is the root. */
function legacyDevices(mappings: readonly LegacyMapping[], imageId: string | null): BlockDevice[] {
  const used = mappings.filter((mapping) => !isSet(mapping.no_device) && mapping.virtual_name == null)
  const root =
    imageId !== null
      ? -1
      : Math.max(
          0,
          used.findIndex((mapping) => /^(\/dev\/)?[hsv]da$/.test(mapping.device_name ?? '')),
        )
  const devices = used.map((mapping, index): BlockDevice => {
    const volumeId = mapping.volume_id ?? null
    const snapshotId = mapping.snapshot_id ?? null
    if (volumeId === null && snapshotId === null) throw invalid('Block Device Mapping is Invalid: Unrecognized legacy format.')
    return {
      sourceType: volumeId === null ? 'snapshot' : 'volume',
      destinationType: 'volume',
      uuid: volumeId ?? snapshotId,
      bootIndex: index === root ? 0 : null,
      sizeGib: sizeOf(mapping.volume_size),
      deleteOnTermination: flagOf(mapping.delete_on_termination ?? false),
      tag: null,
    }
  })
  return imageId === null ? devices : [localRootOf({ id: imageId }), ...devices]
}

const sizeOf = (size: number | string | null | undefined): number | null => (size == null ? null : Number(size))
const isSet = (value: unknown): boolean => value !== undefined && value !== null && value !== false && value !== ''
const isBase64 = (text: string): boolean => /^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(text) && text.replace(/\s/g, '').length % 4 === 0

/** The one spelling of an address: `::BABE:dc0c:0:1602` and its like. */
export const normalIpV6 = (text: string): string => (text === '' ? '' : new URL(`http://[${text}]/`).hostname.slice(1, -1))

const LETTERS = 'abcdefghjkmnpqrstuvwxyzABCDEFGHJKMNPQRSTUVWXYZ23456789'
export const adminPassword = (): string => [...randomBytes(12)].map((byte) => LETTERS[byte % LETTERS.length]).join('')
