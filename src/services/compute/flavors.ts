/** Flavors: the sizes servers come in. Everyone reads the public ones; admins make and remove them. */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Flavor } from '../../domain/server.js'
import { ANY, type Database, type Query } from '../../ports/stores.js'
import { requireAdmin } from './servers-common.js'

export interface FlavorList {
  readonly minDisk?: number
  readonly minRam?: number
  /** undefined: public ones for members; admins may ask for private or (null) all. */
  readonly isPublic?: boolean | null
  readonly marker?: string
  readonly limit?: number
  readonly sortKey?: FlavorSortKey
  readonly sortDir?: 'asc' | 'desc'
}
export type FlavorSortKey = 'flavorid' | 'name' | 'memory_mb' | 'vcpus' | 'root_gb'
const SORT_COLUMNS: Record<FlavorSortKey, keyof Flavor & string> = {
  flavorid: 'id',
  name: 'name',
  memory_mb: 'ramMib',
  vcpus: 'vcpus',
  root_gb: 'diskGib',
}

export interface NewFlavor {
  readonly id?: string
  readonly name: string
  readonly vcpus: number
  readonly ramMib: number
  readonly diskGib: number
  readonly isPublic: boolean
  readonly description: string | null
}

export type FlavorService = ReturnType<typeof createFlavorService>

export function createFlavorService({ db }: { db: Database }) {
  const visible = (caller: Caller, flavor: Flavor | undefined) => flavor !== undefined && (flavor.isPublic || caller.isAdmin)

  const show = async (caller: Caller, id: string): Promise<Flavor> => {
    const flavor = await db.read.flavors.find(ANY, id)
    if (flavor === undefined || !visible(caller, flavor)) throw flavorNotFound(id)
    return flavor
  }

  return {
    show,

    async list(caller: Caller, options: FlavorList): Promise<Flavor[]> {
      const { marker } = options
      if (marker !== undefined && !visible(caller, await db.read.flavors.find(ANY, marker)))
        throw new DomainError('invalid', `Marker ${marker} could not be found.`)
      return db.read.flavors.list(ANY, query(caller, options))
    },

    async create<R>(caller: Caller, wanted: NewFlavor, reply: (flavor: Flavor) => R): Promise<R> {
      requireAdmin(caller, 'os-flavor-manage:create')
      return db.transaction(async (stores) => {
        const flavor = { ...wanted, id: wanted.id ?? randomUUID(), ephemeralGib: 0, swapMib: 0, extraSpecs: {} }
        if ((await stores.flavors.find(ANY, flavor.id)) !== undefined)
          throw new DomainError('invalidState', `Flavor with ID ${flavor.id} already exists.`)
        if ((await stores.flavors.count(ANY, { name: { is: flavor.name } })) > 0)
          throw new DomainError('invalidState', `Flavor with name ${flavor.name} already exists.`)
        await stores.flavors.insert(flavor)
        return reply({ ...flavor, seq: 0 })
      })
    },

    async describe<R>(caller: Caller, id: string, description: string | null, reply: (flavor: Flavor) => R): Promise<R> {
      requireAdmin(caller, 'os-flavor-manage:update')
      return db.transaction(async (stores) => {
        const flavor = await stores.flavors.find(ANY, id)
        if (flavor === undefined) throw flavorNotFound(id)
        await stores.flavors.update(id, { description })
        return reply({ ...flavor, description })
      })
    },

    /** Servers keep the flavor they were made with. */
    async remove(caller: Caller, id: string): Promise<void> {
      requireAdmin(caller, 'os-flavor-manage:delete')
      await db.transaction(async (stores) => {
        if ((await stores.flavors.find(ANY, id)) === undefined) throw flavorNotFound(id)
        await stores.flavors.remove(id)
      })
    },
  }
}

const flavorNotFound = (id: string) => new DomainError('notFound', `Flavor ${id} could not be found.`)

function query(caller: Caller, options: FlavorList): Query<Flavor> {
  const isPublic = caller.isAdmin ? options.isPublic : true
  const where: NonNullable<Query<Flavor>['where']> = {
    ...(options.minDisk === undefined ? {} : { diskGib: { atLeast: options.minDisk } }),
    ...(options.minRam === undefined ? {} : { ramMib: { atLeast: options.minRam } }),
    ...(isPublic === null ? {} : { isPublic: { is: isPublic ?? true } }),
  }
  return {
    where,
    sort: [{ key: SORT_COLUMNS[options.sortKey ?? 'flavorid'], dir: options.sortDir ?? 'asc' }],
    ...(options.marker === undefined ? {} : { after: options.marker }),
    ...(options.limit === undefined ? {} : { limit: options.limit }),
  }
}
