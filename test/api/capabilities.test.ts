/** What the service says it can do: five axes for each kind of server snapshot, and nothing it does not know. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { covers, HOST_ID, openApi, type TestApi } from '../support/api.js'
import { V1 } from '../support/server-snapshots.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const show = async () => (await api.as('reader').get(`${V1}/capabilities`).expect(200)).body.capabilities
const AXES = ['instant', 'downtime', 'files', 'third_party_access', 'extent'] as const

it('states every kind on five axes, in a word and in a sentence', async () => {
  covers('showCapabilities', 'success')
  const { server_snapshots, delete_modes } = await show()
  expect(server_snapshots.map((kind: { name: string }) => kind.name)).toEqual([
    'external_disk',
    'external_system',
    'internal_disk',
    'internal_system',
  ])
  for (const kind of server_snapshots) {
    for (const axis of AXES) expect(kind[axis].sentence).toMatch(/^[A-Z].*\.$/)
    expect(kind.from.includes('stopped')).toBe(!kind.memory)
  }
  expect(delete_modes).toEqual(['merge', 'merge_force', 'discard', 'discard_force'])
})

it('knows nothing of a host that no worker has described, and says so', async () => {
  const { server_snapshots, host } = await show()
  expect(host).toEqual({ qemu_version: null, machine: null, accelerator: null, cpu: null })
  expect(server_snapshots[0]).toMatchObject({ available: null, reason: expect.stringContaining('No worker') })
})

it('says what the worker recorded, and what it can do by that', async () => {
  const capabilities = { qemuVersion: '7.2.22', machine: 'pc-i440fx-7.2', accel: 'tcg', cpu: 'max' }
  await api.db.transaction((stores) => stores.hosts.update(HOST_ID, { capabilities }))
  const { server_snapshots, host } = await show()
  expect(host).toEqual({ qemu_version: '7.2.22', machine: 'pc-i440fx-7.2', accelerator: 'tcg', cpu: 'max' })
  for (const kind of server_snapshots) expect(kind).toMatchObject(kind.available ? { reason: null } : { reason: expect.any(String) })
  for (const name of ['external_disk', 'internal_disk'])
    expect(server_snapshots.find((kind: { name: string }) => kind.name === name)).toMatchObject({ available: true })
})
