/**
 * The service is killed at random moments while a tenant asks for everything at once on one running guest. After each
 * restart everything reaches an end, all accounts of the storage agree, and the guest, which was never told, lost nothing.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCloud, damaged } from '../support/cloud.js'
import { acknowledged, readGuestDisk } from '../support/guest-disk.js'
import { type Service, startService } from '../support/service.js'
import { until } from '../support/until.js'

const TIMEOUT = 240_000
const ROUNDS = 3
const seed = Number(process.env['STORM_SEED'] ?? Date.now() % 1_000_000)
const settings = { STRATA_LEASE_MS: '3000', STRATA_POLL_INTERVAL_MS: '100', STRATA_UNPLUG_TIMEOUT_MS: '10000' }

let service: Service
const cloud = createCloud(() => service)
beforeAll(async () => {
  service = await startService({ env: settings })
}, TIMEOUT)
afterAll(async () => await service?.stop(), TIMEOUT)

/** mulberry32 */
function randoms(start: number): () => number {
  let state = start
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

type Listed = Record<string, { id: string; status: string }[]>
const FINAL = {
  volumes: ['available', 'in-use', 'error'],
  snapshots: ['available', 'error'],
  images: ['active', 'queued'],
  servers: ['ACTIVE'],
} as const

async function list(kind: keyof typeof FINAL): Promise<{ id: string; status: string }[]> {
  const path = {
    volumes: '/volume/v3/volumes/detail',
    snapshots: '/volume/v3/snapshots/detail',
    images: '/image/v2/images',
    servers: '/compute/v2.1/servers/detail',
  }
  return (await cloud.call<Listed>('GET', path[kind]))[kind] ?? []
}

describe('a storm of requests on a running guest', () => {
  it(
    `ends well although the service is killed again and again (STORM_SEED=${seed})`,
    async () => {
      process.stdout.write(`storm: STORM_SEED=${seed}\n`)
      const random = randoms(seed)
      const serverId = await cloud.boot(await cloud.guestImage({ hw_qemu_guest_agent: 'yes' }))
      const volumeId = await cloud.createVolume()
      const { disk } = await cloud.attach(serverId, volumeId)
      const spare = await cloud.createVolume()
      await cloud.writesOn(serverId, disk, 5)

      for (let round = 0; round < ROUNDS; round++) {
        const [kept] = (await list('snapshots')).filter((one) => one.status === 'available')
        const doomed = (await list('snapshots')).slice(1)
        const isAttached = (await cloud.volume(spare)).status === 'in-use'
        const attachments = `/compute/v2.1/servers/${serverId}/os-volume_attachments`
        const wishes: [string, string, object?][] = [
          ...[0, 1, 2].map((): [string, string, object] => [
            'POST',
            '/volume/v3/snapshots',
            { snapshot: { volume_id: volumeId, force: true } },
          ]),
          ['POST', '/volume/v3/snapshots', { snapshot: { volume_id: spare, force: true } }],
          ['POST', `/compute/v2.1/servers/${serverId}/action`, { createImage: { name: `image ${round}` } }],
          ['POST', '/volume/v3/volumes', { volume: { size: 1, source_volid: spare } }],
          ...(kept === undefined
            ? []
            : [['POST', '/volume/v3/volumes', { volume: { size: 1, snapshot_id: kept.id } }] as [string, string, object]]),
          ...doomed.map(({ id }): [string, string] => ['DELETE', `/volume/v3/snapshots/${id}`]),
          isAttached ? ['DELETE', `${attachments}/${spare}`] : ['POST', attachments, { volumeAttachment: { volumeId: spare } }],
        ]
        const asked = wishes
          .toSorted(() => random() - 0.5)
          // Refusals are as good as answers here, and a connection may break.
          .map(async ([method, path, body]) => await cloud.call(method, path, body).catch(() => undefined))
        const killAt = performance.now() + random() * 1200
        await until(() => performance.now() >= killAt, { what: 'the moment', everyMs: 1 })
        service.process.kill('SIGKILL')
        await Promise.all(asked)
        service = await service.restart()
        await cloud.writesOn(serverId, disk, 2)
      }

      expect(await cloud.settled()).toEqual([])
      for (const kind of Object.keys(FINAL) as (keyof typeof FINAL)[])
        for (const one of await list(kind)) expect(FINAL[kind], `${kind} ${one.id}`).toContain(one.status)
      expect((await cloud.server(serverId))['OS-EXT-STS:task_state']).toBeNull()
      expect(await cloud.audit(serverId)).toMatchObject({ live: true, settled: true, findings: [] })

      // What the snapshots hold is a prefix of what the guest wrote, and sound.
      for (const { id, status } of (await list('snapshots')).slice(0, 3)) {
        if (status !== 'available' || (await cloud.snapshot(id))['volume_id'] !== volumeId) continue
        expect(await readGuestDisk(await cloud.snapshotChain(id))).toMatchObject({ consistent: true, intact: true })
      }
      await cloud.stopServer(serverId)
      const told = acknowledged(cloud.console(serverId), disk)
      const final = await readGuestDisk(await cloud.diskChain(serverId, volumeId))
      expect(final).toMatchObject({ consistent: true, intact: true })
      expect(final.last).toBeGreaterThanOrEqual(told.at(-1) ?? 0)
      expect(await damaged(cloud.pool(), 'refused')).toEqual([])
    },
    TIMEOUT,
  )
})
