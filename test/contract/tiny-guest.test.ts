/** The instrument itself: what the tiny guest announces is what a reader of its disks finds. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startGuest, type TestGuest } from '../support/guest.js'
import { acknowledged, readGuestDisk } from '../support/guest-disk.js'
import { until } from '../support/until.js'

let directory: string
let guest: TestGuest
const disk = (name: string): string => join(directory, `${name}.qcow2`)
const contents = (name: string) => readGuestDisk([{ path: disk(name), format: 'qcow2' }])
const written = (name: string): number => acknowledged(guest.console(), name).at(-1) ?? 0

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tiny-'))
  for (const name of ['vda', 'vdb']) execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', disk(name), '128M'])
  guest = await startGuest({ directory, disks: [disk('vda')] })
  await guest.says(/READY/)
}, 120_000)
afterAll(async () => {
  await guest.kill()
  rmSync(directory, { recursive: true })
})

async function plug(): Promise<void> {
  await guest.qmp('blockdev-add', {
    driver: 'qcow2',
    'node-name': 'second',
    file: { driver: 'file', filename: disk('vdb') },
    backing: null,
  })
  await guest.qmp('device_add', { driver: 'virtio-blk-pci', id: 'hot', drive: 'second', serial: 'hot-plugged' })
}

async function unplug(): Promise<void> {
  await guest.qmp('device_del', { id: 'hot' })
  await until(
    () =>
      guest.qmp('blockdev-del', { 'node-name': 'second' }).then(
        () => true,
        () => false,
      ),
    { what: 'the guest to let go' },
  )
}

it('prints more than ten lines by the time it is ready', () => {
  expect(guest.console().split('\n').length).toBeGreaterThan(10)
})

it('writes on a disk plugged in later, lets it go, and goes on counting when it comes back', async () => {
  await plug()
  await guest.says(/MOUNTED vdb serial=hot-plugged last=\s/)
  await until(() => written('vdb') >= 5, { what: 'records on the second disk' })
  await unplug()
  await guest.says(/RELEASED vdb/)
  const before = await contents('vdb')
  expect(before).toMatchObject({ consistent: true })
  expect(before.last).toBeGreaterThanOrEqual(written('vdb'))
  await plug()
  await until(() => written('vdb') > before.last, { what: 'records after the return' })
  expect(Number((await guest.says(/MOUNTED vdb serial=hot-plugged last=(\d+)/))[1])).toBeGreaterThanOrEqual(before.last)
})

it('has on disk whatever it announced, when its power is cut', async () => {
  const target = written('vda') + 10
  await until(() => written('vda') >= target, { what: 'more records' })
  await guest.kill()
  for (const name of ['vda', 'vdb']) {
    const found = await contents(name)
    expect(found).toMatchObject({ clean: false, consistent: true })
    expect(found.last).toBeGreaterThanOrEqual(written(name))
    expect(found.records).toEqual(expect.arrayContaining(acknowledged(guest.console(), name)))
  }
})
