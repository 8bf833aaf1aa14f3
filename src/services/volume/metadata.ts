/** One key of the metadata of a volume or a snapshot, and Cinder's sentence for one that is not there. */
import { DomainError } from '../../domain/errors.js'
import type { Metadata } from '../../domain/metadata.js'

type Owner = 'Volume' | 'Snapshot'

export function requireItem(owner: Owner, id: string, metadata: Metadata, key: string): string {
  const value = Object.hasOwn(metadata, key) ? metadata[key] : undefined
  if (value === undefined) throw new DomainError('notFound', `${owner} ${id} has no metadata with key ${key}.`)
  return value
}

export function withoutItem(owner: Owner, id: string, metadata: Metadata, key: string): Metadata {
  requireItem(owner, id, metadata, key)
  const { [key]: _, ...rest } = metadata
  return rest
}
