/**
 * What a fresh database begins with: roles, the admin project, the default volume type, a few flavors. Repeated at
 * every start: it adds what is missing by name, changes nothing, and leaves the flavors alone once there are any.
 */
import { randomUUID } from 'node:crypto'
import type { Flavor } from '../src/domain/server.js'
import type { Micros } from '../src/domain/time.js'
import { ANY, type Database, Duplicate, type Stores } from '../src/ports/stores.js'

export const DEFAULT_DOMAIN = 'default'
export const DEFAULT_VOLUME_TYPE = '__DEFAULT__'
export const ADMIN_PROJECT = 'admin'
export const ROLES = ['admin', 'member', 'reader'] as const

type Size = Pick<Flavor, 'id' | 'name' | 'vcpus' | 'ramMib' | 'diskGib'>
const FLAVORS: readonly Size[] = [
  { id: '1', name: 'm1.tiny', vcpus: 1, ramMib: 512, diskGib: 1 },
  { id: '2', name: 'm1.small', vcpus: 1, ramMib: 2048, diskGib: 20 },
  { id: '42', name: 'm1.nano', vcpus: 1, ramMib: 128, diskGib: 1 },
  { id: '84', name: 'm1.micro', vcpus: 1, ramMib: 192, diskGib: 1 },
]

const keystoneId = (): string => randomUUID().replaceAll('-', '')

export async function seedDatabase(db: Pick<Database, 'transaction'>, now: Micros): Promise<void> {
  try {
    await db.transaction(async (stores) => await seed(stores, now))
  } catch (error) {
    if (!(error instanceof Duplicate)) throw error
    // Another process is seeding too and was first: what is missing now, if anything, is ours to add.
    await db.transaction(async (stores) => await seed(stores, now))
  }
}

async function seed(stores: Stores, now: Micros): Promise<void> {
  for (const name of ROLES) {
    if ((await stores.roles.count(ANY, { name: { is: name } })) === 0) await stores.roles.insert({ id: keystoneId(), name })
  }
  if ((await stores.projects.count(ANY, { domainId: { is: DEFAULT_DOMAIN }, name: { is: ADMIN_PROJECT } })) === 0) {
    await stores.projects.insert({
      id: keystoneId(),
      name: ADMIN_PROJECT,
      domainId: DEFAULT_DOMAIN,
      description: 'Bootstrap project for initializing the cloud.',
      enabled: true,
      createdAt: now,
    })
  }
  if ((await stores.volumeTypes.count(ANY, { name: { is: DEFAULT_VOLUME_TYPE } })) === 0) {
    await stores.volumeTypes.insert({
      id: randomUUID(),
      name: DEFAULT_VOLUME_TYPE,
      description: 'Default Volume Type',
      isPublic: true,
      extraSpecs: {},
      createdAt: now,
    })
  }
  if ((await stores.flavors.count(ANY)) > 0) return
  for (const size of FLAVORS) {
    await stores.flavors.insert({ ...size, ephemeralGib: 0, swapMib: 0, isPublic: true, description: null, extraSpecs: {} })
  }
}
