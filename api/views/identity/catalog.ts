/**
 * The catalog. Image is unversioned, volume is told under both of its type names, compute needs no project: what the
 * existing clients can all follow. Ids are fixed, so that they are the same on every API process.
 */
import { createHash } from 'node:crypto'

const SERVICES: readonly { type: string; name: string; path: (projectId: string) => string }[] = [
  { type: 'identity', name: 'keystone', path: () => '/identity/v3' },
  { type: 'compute', name: 'nova', path: () => '/compute/v2.1' },
  { type: 'volumev3', name: 'cinderv3', path: (projectId) => `/volume/v3/${projectId}` },
  { type: 'block-storage', name: 'cinder', path: (projectId) => `/volume/v3/${projectId}` },
  { type: 'image', name: 'glance', path: () => '/image' },
  { type: 'strata', name: 'strata', path: () => '/strata/v1' },
]
const INTERFACES = ['public', 'internal', 'admin'] as const

export const catalogView = (origin: string, projectId: string, region: string) =>
  SERVICES.map(({ type, name, path }) => ({
    id: fixedId(type),
    type,
    name,
    endpoints: INTERFACES.map((face) => ({
      id: fixedId(`${type}/${face}`),
      interface: face,
      region,
      region_id: region,
      url: `${origin}${path(projectId)}`,
    })),
  }))

const fixedId = (name: string): string => createHash('sha256').update(`strata:${name}`).digest('hex').slice(0, 32)
