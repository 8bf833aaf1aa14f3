/**
 * Rings the bell of whoever works for a host: in this process, or by a call to the address in the hosts table. The call is
 * never waited for and its failure means nothing: the other side polls.
 */
import type { Doorbell } from '../ports/doorbell.js'
import { ANY, type Database } from '../ports/stores.js'

const ADDRESS_KEPT_MS = 30_000
const PATIENCE_MS = 2_000

export interface RemoteDoorbellOptions {
  readonly db: Database
  readonly secret: string
  /** The host whose worker runs in this process; its bell is `local`. */
  readonly ownHost: string | undefined
  readonly local: Doorbell
}

export function createRemoteDoorbell({ db, secret, ownHost, local }: RemoteDoorbellOptions): Doorbell {
  const addresses = new Map<string, { address: string; until: number }>()
  return {
    ring(hostId) {
      if (hostId === ownHost) local.ring(hostId)
      else void call(hostId).catch(() => addresses.delete(hostId))
    },
  }

  async function call(hostId: string): Promise<void> {
    const address = await addressOf(hostId)
    if (address === '') return
    const response = await fetch(`${address}/strata/v1/doorbell`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-strata-doorbell': secret },
      body: JSON.stringify({ host_id: hostId }),
      signal: AbortSignal.timeout(PATIENCE_MS),
    })
    await response.body?.cancel()
  }

  async function addressOf(hostId: string): Promise<string> {
    const known = addresses.get(hostId)
    if (known !== undefined && known.until > performance.now()) return known.address
    const address = (await db.read.hosts.find(ANY, hostId))?.address ?? ''
    addresses.set(hostId, { address, until: performance.now() + ADDRESS_KEPT_MS })
    return address
  }
}
