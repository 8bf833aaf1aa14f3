/**
 * What a JSON patch of an image means: base attributes keep their types and rules, everything else is a custom property
 * and a string. Works on a copy; nothing is written unless every change holds.
 */
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Image } from '../../domain/image.js'
import { CONTAINER_FORMATS, DISK_FORMATS, mayHaveVisibility } from './rules.js'

export interface ImageChange {
  readonly op: 'add' | 'replace' | 'remove'
  /** The attribute's wire name, unescaped. */
  readonly name: string
  readonly value?: unknown
}

const READ_ONLY = new Set([
  'created_at',
  'updated_at',
  'status',
  'checksum',
  'size',
  'virtual_size',
  'direct_url',
  'self',
  'file',
  'schema',
  'id',
  'os_hash_algo',
  'os_hash_value',
  'stores',
])
const RESERVED = new Set(['location', 'locations', 'deleted', 'deleted_at'])

const forbidden = (sentence: string): DomainError => new DomainError('forbidden', sentence)
const invalid = (sentence: string): DomainError => new DomainError('invalid', sentence)

/** Refuses names nobody but Glance itself may set. */
export function settableName(name: string): void {
  if (READ_ONLY.has(name)) throw forbidden(`Attribute '${name}' is read-only.`)
  if (RESERVED.has(name) || name.startsWith('os_glance')) throw forbidden(`Attribute '${name}' is reserved.`)
}

type Draft = { -readonly [K in keyof Image]: Image[K] }

export function patchImage(caller: Caller, image: Image, changes: readonly ImageChange[]): Draft {
  const draft: Draft = { ...image }
  for (const change of changes) {
    settableName(change.name)
    // Asked for as its own: every object also has a `constructor`.
    const attribute = isAttribute(change.name) ? ATTRIBUTES[change.name] : undefined
    if (attribute === undefined) changeProperty(draft, change)
    else if (change.op !== 'remove') attribute(draft, change.value, caller)
    else if (change.name === 'tags') draft.tags = []
    else throw forbidden(`Property ${change.name} may not be removed.`)
  }
  checkProperties(draft.properties, image.properties)
  return draft
}

const MAX_PROPERTIES = 128

/** An image that came to more in other ways may still lose some. */
export function checkProperties(properties: Image['properties'], before: Image['properties'] = {}): void {
  const count = Object.keys(properties).length
  if (count <= Math.max(MAX_PROPERTIES, Object.keys(before).length)) return
  throw new DomainError(
    'tooLarge',
    `The limit has been exceeded on the number of allowed image properties. Attempted: ${count}, Maximum: ${MAX_PROPERTIES}`,
  )
}

function changeProperty(draft: Draft, change: ImageChange): void {
  const has = Object.hasOwn(draft.properties, change.name)
  if (change.op !== 'add' && !has) throw new DomainError('busy', `Property ${change.name} does not exist.`)
  const { [change.name]: _old, ...rest } = draft.properties
  draft.properties = change.op === 'remove' ? rest : { ...rest, [change.name]: propertyValue(change.name, change.value) }
}

export function propertyValue(name: string, value: unknown): string {
  if (name === '' || name.length > 255) throw invalid(`Property names must be 1 to 255 characters long`)
  if (typeof value !== 'string') throw mismatch(value, name, 'string')
  if (value.length > 65_535) throw invalid(`Value of property ${name} is too long`)
  return value
}

const mismatch = (value: unknown, name: string, type: string): DomainError =>
  invalid(`Provided object does not match schema 'image': ${JSON.stringify(value) ?? 'null'} is not of type '${type}' (property '${name}')`)

const ATTRIBUTES: Readonly<Record<string, (draft: Draft, value: unknown, caller: Caller) => void>> = {
  name: (draft, value) => {
    draft.name = nullableText(value, 'name', 255)
  },
  visibility: (draft, value, caller) => {
    const visibility = oneOf(value, 'visibility', ['community', 'public', 'private', 'shared'] as const)
    if (visibility !== draft.visibility) mayHaveVisibility(caller, visibility)
    draft.visibility = visibility
  },
  protected: (draft, value) => {
    draft.protected = bool(value, 'protected')
  },
  os_hidden: (draft, value) => {
    draft.hidden = bool(value, 'os_hidden')
  },
  disk_format: (draft, value) => {
    if (draft.status !== 'queued') throw forbidden('Attribute disk_format can be only replaced for a queued image.')
    draft.diskFormat = value === null ? null : oneOf(value, 'disk_format', DISK_FORMATS)
  },
  container_format: (draft, value) => {
    if (draft.status !== 'queued') throw forbidden('Attribute container_format can be only replaced for a queued image.')
    draft.containerFormat = value === null ? null : oneOf(value, 'container_format', CONTAINER_FORMATS)
  },
  min_disk: (draft, value) => {
    draft.minDisk = count(value, 'min_disk')
  },
  min_ram: (draft, value) => {
    draft.minRam = count(value, 'min_ram')
  },
  owner: (draft, value, caller) => {
    const owner = nullableText(value, 'owner', 255)
    if (owner === draft.projectId) return
    if (!caller.isAdmin || owner === null) throw forbidden("You are not permitted to modify 'owner' on this image.")
    draft.projectId = owner
  },
  tags: (draft, value) => {
    draft.tags = tagList(value)
  },
}

export const isAttribute = (name: string): boolean => Object.hasOwn(ATTRIBUTES, name)

function tagList(value: unknown): string[] {
  if (!Array.isArray(value)) throw mismatch(value, 'tags', 'array')
  const tags = value.map((tag) => {
    if (typeof tag !== 'string') throw mismatch(tag, 'tags', 'string')
    return tagText(tag)
  })
  if (new Set(tags).size > 128)
    throw new DomainError('tooLarge', 'The limit has been exceeded on the number of allowed image tags. Maximum: 128')
  return [...new Set(tags)]
}

export function tagText(tag: string): string {
  if (tag.length > 255) throw invalid(`Provided object does not match schema 'image': '${tag.slice(0, 40)}…' is too long (tag)`)
  return tag
}

function nullableText(value: unknown, name: string, max: number): string | null {
  if (value === null) return null
  if (typeof value !== 'string') throw mismatch(value, name, 'string')
  if (value.length > max) throw invalid(`Provided object does not match schema 'image': the value is too long (property '${name}')`)
  return value
}

function bool(value: unknown, name: string): boolean {
  if (typeof value !== 'boolean') throw mismatch(value, name, 'boolean')
  return value
}

function count(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw mismatch(value, name, 'integer')
  if (value < 0 || value > 2_147_483_647) throw invalid(`Invalid value '${value}' for ${name}: must be between 0 and 2147483647`)
  return value
}

function oneOf<T extends string>(value: unknown, name: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value)
  if (found !== undefined) return found
  throw invalid(
    `Provided object does not match schema 'image': ${JSON.stringify(value) ?? 'null'} is not one of [${allowed.map((a) => `'${a}'`).join(', ')}] (property '${name}')`,
  )
}
