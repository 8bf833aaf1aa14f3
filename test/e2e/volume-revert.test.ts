/** A detached volume goes back to its latest snapshot, as Cinder's clients ask for it. */
import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createCloud } from '../support/cloud.js'
import { type Service, startService } from '../support/service.js'
import { until } from '../support/until.js'

const run = promisify(execFile)
const TIMEOUT = 120_000

let service: Service
beforeAll(async () => {
  service = await startService()
}, TIMEOUT)
afterAll(async () => await service?.stop())

it(
  'gives up what was written since, in the file as in the answers',
  async () => {
    const cloud = createCloud(() => service)
    const volumeId = await cloud.createVolume()
    const snapshotId = await cloud.requestSnapshot(volumeId)
    await cloud.snapshotBecomes(snapshotId, 'available')
    const [held] = await cloud.snapshotChain(snapshotId)
    const isSnapshot = (name: string): boolean => held?.path.endsWith(name) === true
    const [top = ''] = (await readdir(cloud.pool())).filter((name) => !isSnapshot(name))
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -q -P 7 0 1M', join(cloud.pool(), top)])

    const action = { revert: { snapshot_id: snapshotId } }
    await cloud.call('POST', `/volume/v3/volumes/${volumeId}/action`, action, { 'openstack-api-version': 'volume 3.40' })
    const isBack = async () =>
      (await cloud.volume(volumeId)).status === 'available' && (await cloud.snapshot(snapshotId)).status === 'available'
    await until(isBack, { what: 'the volume to be back', timeoutMs: 30_000 })
    expect(await cloud.settled()).toEqual([])

    const files = await readdir(cloud.pool())
    expect(files).toHaveLength(2)
    expect(files).not.toContain(top)
    const [now = ''] = files.filter((name) => !isSnapshot(name))
    const { stdout } = await run('qemu-io', ['-r', '-f', 'qcow2', '-c', 'read -P 0 0 1M', join(cloud.pool(), now)])
    expect(stdout).not.toContain('verification failed')
  },
  TIMEOUT,
)
