/**
 * Other disk formats by their signatures, so that a file is never taken for something it is not (SEC-03). A raw disk
 * that begins as a qcow2 or VMDK would, at the first careless open, make a host tool follow the references inside.
 * Partition tables and ISO file systems are what raw disks hold; in a qcow2's own structures they have no place.
 */

/** Bytes wanted from the beginning and the end of a file. */
export const HEAD_BYTES = 0x8800
export const TAIL_BYTES = 512

interface Signature {
  readonly format: string
  readonly at: number
  readonly bytes: Buffer
}

const text = (format: string, at: number, value: string): Signature => ({ format, at, bytes: Buffer.from(value, 'latin1') })

const AT_THE_BEGINNING: readonly Signature[] = [
  text('qcow2', 0, 'QFI\xfb'),
  text('VMDK', 0, 'KDMV'),
  text('VMDK', 0, 'COWD'),
  text('VHD', 0, 'conectix'),
  text('VHDX', 0, 'vhdxfile'),
  text('QED', 0, 'QED\0'),
  text('LUKS', 0, 'LUKS\xba\xbe'),
  text('LUKS', 0, 'SKUL\xba\xbe'),
  text('Parallels', 0, 'WithoutFreeSpace'),
  text('Parallels', 0, 'WithouFreSpacExt'),
  text('Bochs', 0, 'Bochs Virtual HD Image'),
  text('cloop', 0, '#!/bin/sh\n#V2.0 Format'),
  text('VDI', 0x40, '\x7f\x10\xda\xbe'),
]
const AT_THE_END: readonly Signature[] = [text('VHD', 0, 'conectix'), text('DMG', 0, 'koly')]
const INSIDE_RAW: readonly Signature[] = [
  text('a partition table', 510, '\x55\xaa'),
  text('a GUID partition table', 512, 'EFI PART'),
  text('an ISO 9660 file system', 0x8001, 'CD001'),
]

/** The formats a file shows signatures of, apart from what `declared` itself has at its beginning. */
export function foreignFormats(head: Buffer, tail: Buffer, declared: 'qcow2' | 'raw'): string[] {
  const found = [...matches(head, AT_THE_BEGINNING), ...matches(tail, AT_THE_END)]
  if (looksLikeVmdkDescriptor(head)) found.push('VMDK')
  if (declared === 'qcow2') found.push(...matches(head, INSIDE_RAW))
  return [...new Set(found)].filter((format) => format !== declared)
}

function matches(bytes: Buffer, signatures: readonly Signature[]): string[] {
  return signatures.filter((one) => bytes.subarray(one.at, one.at + one.bytes.length).equals(one.bytes)).map(({ format }) => format)
}

/** QEMU takes comments and blank lines followed by `version=` for a VMDK descriptor; others look for the words. */
function looksLikeVmdkDescriptor(head: Buffer): boolean {
  const beginning = head
    .subarray(0, 20_480)
    .toString('latin1')
    .replace(/^\xef\xbb\xbf/, '')
  return /^(?:[ \t\r\n]|#[^\n]*\n)*version[ \t]*=/i.test(beginning) || /^\s*# *disk *descriptor *file/i.test(beginning)
}
