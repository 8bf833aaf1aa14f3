/** What every start makes sure of in the database: this host and its pools, and an admin whose password is known. */
import { randomUUID } from 'node:crypto'
import type { Caller } from './domain/caller.js'
import type { Clock } from './ports/clock.js'
import { ANY, type Database, type Stores } from './ports/stores.js'
import type { IdentityService } from './services/identity/identity.js'

export async function ensureHost(
  db: Database,
  clock: Clock,
  host: { id: string; address: string; pools: readonly { name: string; path: string }[]; isWorker: boolean },
): Promise<void> {
  await db.transaction(async (stores) => {
    const now = clock.now()
    if ((await stores.hosts.find(ANY, host.id)) === undefined)
      await stores.hosts.insert({
        id: host.id,
        state: 'up',
        address: host.address,
        bootId: '',
        capabilities: {},
        heartbeatAt: now,
        createdAt: now,
      })
    else if (host.isWorker) await stores.hosts.update(host.id, { state: 'up', address: host.address, heartbeatAt: now })
    await ensurePools(stores, host.id, host.pools, now)
  })
}

/** A pool is known by its name; where it lies may change, what lies in it must come along. */
async function ensurePools(stores: Stores, hostId: string, wanted: readonly { name: string; path: string }[], now: number): Promise<void> {
  const known = await stores.pools.list(ANY, { where: { hostId: { is: hostId } } })
  for (const [index, { name, path }] of wanted.entries()) {
    const isDefault = index === 0
    const pool = known.find((one) => one.name === name)
    if (pool === undefined) await stores.pools.insert({ id: randomUUID(), hostId, name, path, isDefault, createdAt: now })
    else if (pool.path !== path || pool.isDefault !== isDefault) await stores.pools.update(pool.id, { path, isDefault })
  }
  for (const pool of known) if (pool.isDefault && wanted[0]?.name !== pool.name) await stores.pools.update(pool.id, { isDefault: false })
}

const SYSTEM: Caller = {
  userId: '',
  userName: 'system',
  projectId: '',
  projectName: '',
  roles: ['admin'],
  isAdmin: true,
  requestId: 'req-start',
}

/** Returns the password to write into clouds.yaml; undefined when it is nobody's to know any more. */
export async function ensureAdmin(
  identity: IdentityService,
  db: Database,
  passwords: { configured: string | undefined; kept: string | undefined; fresh: () => string },
): Promise<{ password: string | undefined; created: boolean }> {
  const [admin] = await db.read.users.list(ANY, { where: { name: { is: 'admin' } }, limit: 1 })
  if (admin === undefined) {
    const password = passwords.configured ?? passwords.kept ?? passwords.fresh()
    return { password, ...(await identity.ensureAdmin({ password })) }
  }
  const { configured, kept } = passwords
  // The same as last time: no need to spend a tenth of a second on a hash.
  if (configured !== undefined && configured !== kept)
    await identity.updateUser(SYSTEM, admin.id, { password: configured }, () => undefined)
  return { password: configured ?? kept, created: false }
}
