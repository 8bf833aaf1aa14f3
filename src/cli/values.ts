/** Words of a command line that are numbers, read strictly: what is wrong with one is a usage error. */
import { InvalidArgumentError } from 'commander'

export function wholeNumber(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(text)
}

/** For options that may be given several times. */
export const collect =
  <T>(read: (text: string) => T) =>
  (text: string, before: readonly T[] = []): T[] => [...before, read(text)]

export interface DiskChoice {
  readonly name: string
  readonly snapshot?: string
  readonly pool?: string
}

/** vdb,snapshot=no: virsh's way to speak of one disk. */
export function diskChoice(text: string): DiskChoice {
  const [name = '', ...parts] = text.split(',')
  const entries = parts.map((part) => part.split('=', 2) as [string, string | undefined])
  const wrong = entries.find(([key, value]) => !['snapshot', 'pool'].includes(key) || !value)
  if (name === '' || wrong !== undefined)
    throw new InvalidArgumentError('It must be a device or volume, then ,snapshot=external|internal|no or ,pool=<name>.')
  return { name, ...Object.fromEntries(entries) }
}
const UNITS: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 }
/** 64m: what the service's own settings take too. */
export function byteCount(text: string): number {
  const [, digits, unit] = /^(\d{1,12})([kmgt]?)$/i.exec(text) ?? []
  if (digits === undefined || unit === undefined)
    throw new InvalidArgumentError('It must be a number of bytes, with k, m, g or t for its multiples of 1024.')
  return Number(digits) * (UNITS[unit.toLowerCase()] ?? 1)
}
