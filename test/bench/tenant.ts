/**
 * The calls a tenant makes in the bench, with a kept-alive connection. It looks every 2 ms: to ask without a pause would
 * take from the service the very processor it is waited for, and so measure the asking.
 */
import { Readable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import type { Service } from '../support/service.js'

export interface Tenant {
  createVolume(body: object): Promise<string>
  /** The POST alone. */
  acceptSnapshot(volumeId: string): Promise<string>
  /** Until no snapshot of the project is being made. */
  settled(): Promise<void>
  /** No job is left, merges included. */
  idle(): Promise<void>
  /** Milliseconds from the POST to the first GET that says `available`. */
  snapshot(volumeId: string): Promise<{ id: string; accepted: number; available: number }>
  /** Milliseconds from the DELETE to the first 404. */
  deleteSnapshot(id: string): Promise<number>
  /** A running server without an operating system; its root holds `data`, or is blank. */
  server(data?: Readable): Promise<string>
  attach(serverId: string, volumeId: string): Promise<void>
  get(path: string): Promise<Response>
}

const LOOK_EVERY_MS = 2

export async function tenantOf(service: Service): Promise<Tenant> {
  const token = await service.token()
  const request = async (method: string, path: string, body?: object): Promise<Response> =>
    await fetch(service.url + path, {
      method,
      headers: { 'x-auth-token': token, 'x-subject-token': token, ...(body ? { 'content-type': 'application/json' } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
  const json = async (method: string, path: string, body?: object): Promise<Record<string, Record<string, string>>> => {
    const response = await request(method, path, body)
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return (await response.json()) as Record<string, Record<string, string>>
  }
  const reaches = async (path: string, key: string, wanted: string): Promise<void> => {
    for (;;) {
      const status = (await json('GET', path))[key]?.['status'] ?? ''
      if (status.toLowerCase() === wanted) return
      if (status.toLowerCase().startsWith('error')) throw new Error(`${path} is in error`)
      await pause(LOOK_EVERY_MS)
    }
  }
  const acceptSnapshot = async (volumeId: string): Promise<string> =>
    (await json('POST', '/volume/v3/snapshots', { snapshot: { volume_id: volumeId, force: true } }))['snapshot']?.['id'] ?? ''
  // Snapshots by the dozen on one disk are measured alone: no chain is refused, or shortened beside them.
  const own = (await json('GET', '/identity/v3/auth/tokens'))['token'] as unknown as { project: { id: string } }
  await json('PUT', `/strata/v1/projects/${own.project.id}/chain-policy`, { soft_depth: 200, hard_depth: 200 })
  return {
    acceptSnapshot,
    async settled() {
      const path = '/volume/v3/snapshots?status=creating&limit=1'
      while (((await json('GET', path))['snapshots'] as unknown as object[]).length > 0) await pause(LOOK_EVERY_MS)
    },
    async idle() {
      for (const state of ['queued', 'running', 'queued']) {
        const path = `/strata/v1/jobs?all_projects=true&limit=1&state=${state}`
        while (((await json('GET', path))['jobs'] as unknown as object[]).length > 0) await pause(LOOK_EVERY_MS * 10)
      }
    },
    async createVolume(body) {
      const id = (await json('POST', '/volume/v3/volumes', { volume: body }))['volume']?.['id'] ?? ''
      await reaches(`/volume/v3/volumes/${id}`, 'volume', 'available')
      return id
    },
    async snapshot(volumeId) {
      const start = performance.now()
      const id = await acceptSnapshot(volumeId)
      const accepted = performance.now() - start
      await reaches(`/volume/v3/snapshots/${id}`, 'snapshot', 'available')
      return { id, accepted, available: performance.now() - start }
    },
    async deleteSnapshot(id) {
      const start = performance.now()
      await request('DELETE', `/volume/v3/snapshots/${id}`)
      while ((await request('GET', `/volume/v3/snapshots/${id}`)).status !== 404) await pause(LOOK_EVERY_MS)
      return performance.now() - start
    },
    async server(data) {
      const image = await json('POST', '/image/v2/images', { name: 'blank', disk_format: 'raw', container_format: 'bare' })
      const imageId = String((image as unknown as { id: string }).id)
      await fetch(`${service.url}/image/v2/images/${imageId}/file`, {
        method: 'PUT',
        headers: { 'x-auth-token': token, 'content-type': 'application/octet-stream' },
        body: data === undefined ? new Uint8Array(1024 * 1024) : (Readable.toWeb(data) as never),
        ...({ duplex: 'half' } as object),
      })
      const flavors = (await json('GET', '/compute/v2.1/flavors')) as unknown as { flavors: { id: string; name: string }[] }
      const flavor = flavors.flavors.find((f) => f.name === 'm1.tiny')?.id
      const body = { server: { name: 'bench', imageRef: imageId, flavorRef: flavor } }
      const id = (await json('POST', '/compute/v2.1/servers', body))['server']?.['id'] ?? ''
      await reaches(`/compute/v2.1/servers/${id}`, 'server', 'active')
      return id
    },
    async attach(serverId, volumeId) {
      await json('POST', `/compute/v2.1/servers/${serverId}/os-volume_attachments`, { volumeAttachment: { volumeId } })
      await reaches(`/volume/v3/volumes/${volumeId}`, 'volume', 'in-use')
    },
    get: async (path) => await request('GET', path),
  }
}
