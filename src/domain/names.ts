/**
 * Names of everything we make outside the database, each a pure function of an id (law 1 of a step).
 * QEMU allows 31 characters for a node name: a prefix of two and 26 of base32 of the uuid fit.
 */
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

/** 26 characters of lower-case base32 (RFC 4648, no padding) of a uuid's 16 bytes. */
export function shortId(uuid: string): string {
  const hex = uuid.replaceAll('-', '')
  if (!/^[0-9a-f]{32}$/.test(hex)) throw new TypeError(`not a uuid: ${JSON.stringify(uuid)}`)
  const bits = BigInt(`0x${hex}`) << 2n
  let text = ''
  for (let index = 25; index >= 0; index--) text += ALPHABET[Number((bits >> BigInt(index * 5)) & 31n)]
  return text
}

/** Undoes {@link shortId}; undefined for text that is not one of ours. */
export function uuidFromShortId(text: string): string | undefined {
  if (!/^[a-z2-7]{26}$/.test(text)) return undefined
  let bits = 0n
  for (const char of text) bits = (bits << 5n) | BigInt(ALPHABET.indexOf(char))
  const hex = (bits >> 2n).toString(16).padStart(32, '0')
  if (hex.length !== 32) return undefined
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** The protocol node that holds a layer's file open. */
export const fileNode = (layerId: string): string => `f-${shortId(layerId)}`
/** The format node on top of it: what devices, overlays and block jobs refer to. */
export const formatNode = (layerId: string): string => `q-${shortId(layerId)}`
/** The guest device of a disk. */
export const deviceName = (diskId: string): string => `d-${shortId(diskId)}`
/** QEMU's own job; one per layer worked on, so that a restarted worker finds and adopts it. */
export const blockJobName = (prefix: 'merge' | 'copy', id: string): string => `${prefix === 'merge' ? 'm' : 'c'}-${shortId(id)}`
/** QEMU's job that saves, loads or takes away a system checkpoint; a restarted worker finds and adopts it. */
export const checkpointJobName = (what: 'save' | 'load' | 'delete', serverSnapshotId: string): string =>
  `${{ save: 's', load: 'l', delete: 'x' }[what]}-${shortId(serverSnapshotId)}`
/** What a server snapshot is called inside a layer that keeps it. */
export const tagName = (serverSnapshotId: string): string => `s-${shortId(serverSnapshotId)}`
export const isTagName = (text: string): boolean => text.startsWith('s-') && uuidFromShortId(text.slice(2)) !== undefined
/** File name of a layer inside its pool. */
export const layerFileName = (layerId: string, format: 'qcow2' | 'raw'): string => `${layerId}.${format}`
/** File name of a guest's saved memory inside its pool. */
export const memoryFileName = (memoryStateId: string): string => `${memoryStateId}.mem`
