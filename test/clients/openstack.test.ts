/**
 * The unmodified Debian `openstack` client against the running service, driven by the `clouds.yaml` the service
 * wrote, on a real Linux guest. Each command is the one a user types; what it prints is what is asserted.
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { guestFiles } from '../support/guest.js'
import { holdPlaceFor } from '../support/guest-place.js'
import { type Service, startService } from '../support/service.js'
import { until } from '../support/until.js'

const run = promisify(execFile)
const TIMEOUT = 240_000

let service: Service
let dir: string

beforeAll(async () => {
  service = await startService()
  dir = service.stateDir
}, TIMEOUT)
afterAll(async () => await service?.stop())

async function openstack(...args: string[]): Promise<string> {
  const env = { ...process.env, OS_CLIENT_CONFIG_FILE: join(dir, 'clouds.yaml'), OS_CLOUD: 'strata' }
  try {
    return (await run('openstack', args, { env, cwd: dir })).stdout.trim()
  } catch (error) {
    const { stderr } = error as { stderr: string }
    throw new Error(`openstack ${args.join(' ')}: ${stderr}`)
  }
}
const value = async (column: string, ...args: string[]): Promise<string> => await openstack(...args, '-f', 'value', '-c', column)
const json = async (...args: string[]): Promise<Record<string, unknown>> => JSON.parse(await openstack(...args, '-f', 'json'))
const becomes = async (status: string, ...show: string[]): Promise<unknown> =>
  await until(async () => (await value('status', ...show)) === status, { what: `${show.join(' ')} to be ${status}`, timeoutMs: 60_000 })
const gone = async (...show: string[]): Promise<unknown> =>
  await until(
    async () =>
      await openstack(...show).then(
        () => false,
        () => true,
      ),
    { what: `${show.join(' ')} to be gone`, timeoutMs: 60_000 },
  )

describe('the openstack client', () => {
  it(
    'gets a token and sees the catalog and the flavors',
    async () => {
      expect(await value('id', 'token', 'issue')).not.toBe('')
      const catalog = await openstack('catalog', 'list', '-f', 'value', '-c', 'Type')
      expect(catalog.split('\n').sort()).toEqual(expect.arrayContaining(['compute', 'identity', 'image', 'volumev3']))
      expect(await openstack('flavor', 'list', '-f', 'value', '-c', 'Name')).toContain('m1.tiny')
    },
    TIMEOUT,
  )

  it(
    'creates an image, saves identical bytes, sets and deletes it',
    async () => {
      const bytes = randomBytes(3 * 1024 * 1024)
      await writeFile(join(dir, 'blob'), bytes)
      await openstack(
        'image',
        'create',
        '--disk-format',
        'raw',
        '--container-format',
        'bare',
        '--file',
        'blob',
        '--property',
        'k1=v1',
        'blob-image',
      )
      expect(await value('status', 'image', 'show', 'blob-image')).toBe('active')
      await openstack('image', 'save', '--file', 'saved', 'blob-image')
      expect(bytes.equals(await readFile(join(dir, 'saved')))).toBe(true)
      await openstack('image', 'set', '--name', 'renamed', '--property', 'k2=v2', 'blob-image')
      const shown = await json('image', 'show', 'renamed')
      expect(shown['properties']).toMatchObject({ k1: 'v1', k2: 'v2' })
      await openstack('image', 'delete', 'renamed')
      await expect(openstack('image', 'show', 'renamed')).rejects.toThrow('No Image found')
    },
    TIMEOUT,
  )

  it(
    'makes volumes from each source, sets, extends and deletes them',
    async () => {
      await openstack('volume', 'create', '--size', '1', 'v-blank')
      await becomes('available', 'volume', 'show', 'v-blank')
      await openstack('volume', 'set', '--property', 'a=b', '--description', 'd1', 'v-blank')
      expect(await json('volume', 'show', 'v-blank')).toMatchObject({ description: 'd1', properties: { a: 'b' } })
      await openstack('volume', 'set', '--size', '2', 'v-blank')
      await becomes('available', 'volume', 'show', 'v-blank')
      expect(await value('size', 'volume', 'show', 'v-blank')).toBe('2')

      await openstack('volume', 'snapshot', 'create', '--volume', 'v-blank', '--description', 'sd', '--property', 'p=q', 's1')
      await becomes('available', 'volume', 'snapshot', 'show', 's1')
      await openstack('volume', 'create', '--snapshot', 's1', 'v-snap')
      await openstack('volume', 'create', '--source', 'v-blank', 'v-clone')
      await openstack('image', 'create', '--disk-format', 'raw', '--container-format', 'bare', '--file', 'blob', 'source-image')
      await openstack('volume', 'create', '--image', 'source-image', '--size', '1', 'v-image')
      for (const name of ['v-snap', 'v-clone', 'v-image']) await becomes('available', 'volume', 'show', name)

      expect(await openstack('volume', 'snapshot', 'list', '--volume', 'v-blank', '-f', 'value', '-c', 'Name')).toBe('s1')
      await openstack('volume', 'snapshot', 'set', '--name', 's1b', '--property', 'r=s', 's1')
      expect(await json('volume', 'snapshot', 'show', 's1b')).toMatchObject({ properties: { p: 'q', r: 's' }, description: 'sd', size: 2 })
      await openstack('volume', 'snapshot', 'delete', 's1b')
      await gone('volume', 'snapshot', 'show', 's1b')
      await openstack('volume', 'delete', 'v-blank', 'v-snap', 'v-clone', 'v-image')
      for (const name of ['v-blank', 'v-snap', 'v-clone', 'v-image']) await gone('volume', 'show', name)
    },
    TIMEOUT,
  )

  it(
    'runs a real server through its life',
    async () => {
      const guest = await guestFiles()
      await holdPlaceFor(service.stateDir)
      const image = async (name: string, format: string, file: string, ...more: string[]): Promise<string> =>
        await value(
          'id',
          'image',
          'create',
          '--disk-format',
          format,
          '--container-format',
          format === 'raw' ? 'bare' : format,
          '--file',
          file,
          ...more,
          name,
        )
      const kernel = await image('kernel', 'aki', guest.kernel)
      const ramdisk = await image('ramdisk', 'ari', guest.initrd)
      await run('truncate', ['-s', '64M', join(dir, 'root.raw')])
      await image(
        'linux',
        'raw',
        'root.raw',
        '--property',
        `kernel_id=${kernel}`,
        '--property',
        `ramdisk_id=${ramdisk}`,
        '--property',
        'os_command_line=console=ttyS0 quiet wr=1',
      )

      await openstack('server', 'create', '--image', 'linux', '--flavor', 'm1.tiny', '--wait', 'vm')
      expect(await openstack('server', 'list', '-f', 'value', '-c', 'Name', '-c', 'Status')).toBe('vm ACTIVE')
      await until(async () => (await openstack('console', 'log', 'show', 'vm')).includes('READY'), {
        what: 'the guest to be up',
        timeoutMs: 90_000,
        everyMs: 500,
      })

      await openstack('volume', 'create', '--size', '1', 'data')
      await becomes('available', 'volume', 'show', 'data')
      await openstack('server', 'add', 'volume', 'vm', 'data')
      await becomes('in-use', 'volume', 'show', 'data')
      await expect(openstack('volume', 'snapshot', 'create', '--volume', 'data', 'refused')).rejects.toThrow('status must be available')
      await openstack('volume', 'snapshot', 'create', '--force', '--volume', 'data', 's-live')
      await becomes('available', 'volume', 'snapshot', 'show', 's-live')
      await openstack('volume', 'snapshot', 'delete', 's-live')
      await gone('volume', 'snapshot', 'show', 's-live')
      await openstack('server', 'remove', 'volume', 'vm', 'data')
      await becomes('available', 'volume', 'show', 'data')

      await openstack('server', 'pause', 'vm')
      await becomes('PAUSED', 'server', 'show', 'vm')
      await openstack('server', 'unpause', 'vm')
      await becomes('ACTIVE', 'server', 'show', 'vm')
      await openstack('server', 'image', 'create', '--wait', '--name', 'snap1', 'vm')
      expect(await json('image', 'show', 'snap1')).toMatchObject({ status: 'active', properties: { image_type: 'snapshot' } })
      await openstack('server', 'reboot', '--hard', '--wait', 'vm')
      await openstack('server', 'stop', 'vm')
      await becomes('SHUTOFF', 'server', 'show', 'vm')
      await openstack('server', 'start', 'vm')
      await becomes('ACTIVE', 'server', 'show', 'vm')
      expect(await openstack('server', 'event', 'list', 'vm', '-f', 'value', '-c', 'Action')).toContain('create')
      await openstack('server', 'delete', '--wait', 'vm')
      await gone('server', 'show', 'vm')
    },
    TIMEOUT,
  )

  it(
    'ends all of ten clones and ten snapshots requested in parallel available',
    async () => {
      type Volume = { volume: { id: string; status: string } }
      type Snapshot = { snapshot: { id: string; status: string } }
      const create = async (body: object): Promise<Volume> => await service.call<Volume>('POST', '/volume/v3/volumes', { volume: body })
      const source = await create({ size: 1, name: 'source' })
      const status = async (path: string, key: 'volume' | 'snapshot'): Promise<string> =>
        (await service.call<Record<string, { status: string }>>('GET', `/volume/v3/${path}`))[key]?.status ?? ''
      await until(async () => (await status(`volumes/${source.volume.id}`, 'volume')) === 'available', { what: 'the source' })
      const each = Array.from({ length: 10 }, (_, n) => n)
      const made = await Promise.all([
        ...each.map(async (n) => `volumes/${(await create({ size: 1, source_volid: source.volume.id, name: `clone-${n}` })).volume.id}`),
        ...each.map(async (n) => {
          const body = { snapshot: { volume_id: source.volume.id, name: `snap-${n}`, force: true } }
          return `snapshots/${(await service.call<Snapshot>('POST', '/volume/v3/snapshots', body)).snapshot.id}`
        }),
      ])
      for (const path of made) {
        const key = path.startsWith('volumes') ? 'volume' : 'snapshot'
        expect(await until(async () => await status(path, key).then((s) => s !== 'creating' && s), { what: path })).toBe('available')
      }
    },
    TIMEOUT,
  )
})
