/**
 * The main job as a tenant sees it: a guest that writes all the time, a live snapshot of its disk, an image of it, a new
 * volume from the snapshot, the snapshot deleted under the running guest. The proof is in the disks: the guest numbers its
 * writes and announces each one that is on disk; the snapshot must hold every write announced before it was asked for, and
 * none begun after it was there. tree.ts tells of snapshots of the whole server.
 */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { lastAcknowledged, readJournal, untilAcknowledged } from './journal.js'
import { demoDir, endDemo, startDemoService } from './service.js'
import { type Row, renderTable } from './table.js'
import { Tenant } from './tenant.js'
import { tellOfTree } from './tree.js'

const { values } = parseArgs({ options: { once: { type: 'boolean', default: false } } })
const guest = join(import.meta.dirname, '../../.cache/guest')
const rows: Row[] = []
const scratch = await mkdtemp(join(tmpdir(), 'strata-demo-files-'))
const say = (text: string): void => void process.stdout.write(`${text}\n`)

async function timed<T>(
  operation: string,
  work: () => Promise<T>,
  more: (result: T) => Partial<Row> | Promise<Partial<Row>> = () => ({}),
): Promise<T> {
  const began = performance.now()
  const result = await work()
  const millis = performance.now() - began
  rows.push({ operation, millis, ...(await more(result)) })
  say(`  ${operation}: ${millis.toFixed(0)} ms`)
  return result
}

function prove(claim: string, holds: boolean, facts: string): void {
  say(`  ${holds ? 'PROVED' : 'FAILED'}: ${claim} (${facts})`)
  if (!holds) process.exitCode = 1
}

const stateDir = demoDir()
say('starting the service')
const service = await startDemoService(stateDir)
try {
  await tellTheStory(await Tenant.login(service.url, stateDir))
} catch (error) {
  process.exitCode = 1
  say(`\nFAILED: ${error instanceof Error ? error.message : String(error)}\nThe service's log: ${join(stateDir, 'service.log')}`)
}
await rm(scratch, { recursive: true, force: true })
say(`\n${renderTable(rows)}\n`)
if (values.once) {
  await endDemo(stateDir)
  say('everything is stopped')
} else sayHowToGoOn()
say(process.exitCode === undefined ? 'demo: success' : 'demo: FAILED')

async function tellTheStory(tenant: Tenant): Promise<void> {
  say(`\nservice at ${service.url}; images`)
  const image = (name: string, file: string, disk: string, container: string, properties = {}) =>
    timed(
      `upload ${name}`,
      () => tenant.uploadImage(name, file, { disk, container }, properties),
      ({ bytes }) => ({ bytes }),
    )
  const kernel = await image('kernel', join(guest, 'vmlinuz'), 'aki', 'aki')
  const ramdisk = await image('ramdisk', join(guest, 'guest.cpio.gz'), 'ari', 'ari')
  const blank = join(scratch, 'root.qcow2')
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', blank, '256M'])
  const root = await image('root disk', blank, 'qcow2', 'bare', {
    kernel_id: kernel.id,
    ramdisk_id: ramdisk.id,
    os_command_line: 'console=ttyS0 quiet wr=1',
    hw_qemu_guest_agent: 'yes',
  })

  say('\na server, and a second volume that the guest finds and writes to')
  const server = await timed('boot server', async () => {
    const body = { server: { name: 'demo', imageRef: root.id, flavorRef: '42' } }
    const { server: made } = await tenant.call<{ server: { id: string } }>('POST', '/compute/v2.1/servers', body)
    await tenant.until(`/compute/v2.1/servers/${made.id}`, 'server', 'active')
    return made.id
  })
  const volume = await timed('create volume', () => createVolume(tenant, { name: 'data', size: 1 }))
  await timed('attach volume', async () => {
    await tenant.call('POST', `/compute/v2.1/servers/${server}/os-volume_attachments`, { volumeAttachment: { volumeId: volume } })
    await tenant.until(`/volume/v3/volumes/${volume}`, 'volume', 'in-use')
  })
  say(`  the guest writes: ${await untilAcknowledged(tenant, server, 'vdb', 40)} writes on the volume are on disk`)

  say('\na live snapshot while it writes')
  const before = await lastAcknowledged(tenant, server, 'vdb')
  const snapshot = await timed(
    'snapshot of the volume, live',
    async () => {
      const body = { snapshot: { name: 'moment', volume_id: volume, force: true } }
      const { snapshot: made } = await tenant.call<{ snapshot: { id: string } }>('POST', '/volume/v3/snapshots', body)
      await tenant.until(`/volume/v3/snapshots/${made.id}`, 'snapshot', 'available')
      return made.id
    },
    async (id) => ({ bytes: 0, ...(await pauseOf(tenant, id)) }),
  )
  const after = await lastAcknowledged(tenant, server, 'vdb')
  await untilAcknowledged(tenant, server, 'vdb', after + 20)
  say('  and the guest writes on')

  say('\nan image of the running server, and a volume from the snapshot')
  const rootBefore = await lastAcknowledged(tenant, server, 'vda')
  const saved = await timed(
    'image of the server, live',
    async () => {
      await tenant.call('POST', `/compute/v2.1/servers/${server}/action`, { createImage: { name: 'demo-image' } })
      const { images } = await tenant.call<{ images: { id: string }[] }>('GET', '/image/v2/images?name=demo-image')
      return await tenant.until(`/image/v2/images/${images[0]?.id}`, '', 'active')
    },
    (made) => ({ bytes: Number(made['size']) }),
  )
  const clone = await timed(
    'volume from the snapshot',
    () => createVolume(tenant, { name: 'from-snapshot', size: 1, snapshot_id: snapshot }),
    () => ({ bytes: 0 }),
  )
  await timed('delete the snapshot', async () => {
    await tenant.call('DELETE', `/volume/v3/snapshots/${snapshot}`)
    await tenant.untilGone(`/volume/v3/snapshots/${snapshot}`)
  })
  const picture = await tellOfTree(tenant, server, stateDir, { say, prove, timed })
  const later = await untilAcknowledged(tenant, server, 'vdb', (await lastAcknowledged(tenant, server, 'vdb')) + 20)

  say('\nthe proof, read from disks')
  const moment = await readVolume(tenant, clone, 'copy of the snapshot')
  prove(
    'the snapshot holds every write acknowledged before it was asked for',
    moment.isWhole && moment.last >= before,
    `${before} acknowledged, ${moment.last} there`,
  )
  // One write may have been under way when the snapshot was there, and one more not yet announced.
  prove('and none begun after it was there', moment.last <= after + 2, `${after} acknowledged by then`)
  prove("its file system is as after a clean stop: the guest's agent froze it", moment.isClean, 'e2fsck finds nothing to do')
  const rootCopy = join(scratch, 'image.qcow2')
  await tenant.downloadImage(String(saved['id']), rootCopy)
  const imaged = await readJournal(rootCopy)
  prove(
    'the image holds every write acknowledged before it was asked for',
    imaged.isWhole && imaged.last >= rootBefore,
    `${rootBefore} acknowledged, ${imaged.last} there`,
  )
  const now = await readVolume(tenant, volume, 'copy of the volume')
  prove(
    'the volume lost nothing when snapshots were deleted beneath it',
    now.isWhole && now.last >= later,
    `${later} acknowledged, ${now.last} there`,
  )
  say(`  the tree of the server's snapshots, as a picture: ${picture}`)
}

async function createVolume(tenant: Tenant, body: object): Promise<string> {
  const { volume } = await tenant.call<{ volume: { id: string } }>('POST', '/volume/v3/volumes', { volume: body })
  await tenant.until(`/volume/v3/volumes/${volume.id}`, 'volume', 'available')
  return volume.id
}

/** How long the guest's file systems were held, and its disks switched: as the service measured it. */
async function pauseOf(tenant: Tenant, snapshotId: string): Promise<Partial<Row>> {
  type Answer = { snapshot: { consistency: { frozen_seconds: number | null; switched_seconds: number | null; reached: string } | null } }
  const { snapshot } = await tenant.call<Answer>('GET', `/strata/v1/snapshots/${snapshotId}`)
  const seconds = snapshot.consistency?.frozen_seconds ?? snapshot.consistency?.switched_seconds
  return { note: snapshot.consistency?.reached ?? '', ...(seconds == null ? {} : { pauseMillis: seconds * 1000 }) }
}

/** A volume's bytes the way a tenant gets them: as an image, downloaded. */
async function readVolume(tenant: Tenant, volumeId: string, name: string): ReturnType<typeof readJournal> {
  const upload = { 'os-volume_upload_image': { image_name: name, disk_format: 'qcow2', container_format: 'bare', force: true } }
  type Answer = { 'os-volume_upload_image': { image_id: string } }
  const answer = await tenant.call<Answer>('POST', `/volume/v3/volumes/${volumeId}/action`, upload)
  const imageId = answer['os-volume_upload_image'].image_id
  await tenant.until(`/image/v2/images/${imageId}`, '', 'active')
  const path = join(scratch, `${volumeId}.qcow2`)
  await tenant.downloadImage(imageId, path)
  await tenant.call('DELETE', `/image/v2/images/${imageId}`)
  return await readJournal(path)
}

function sayHowToGoOn(): void {
  const clouds = join(stateDir, 'clouds.yaml')
  say(`The service runs on (pid ${service.pid}, log ${join(stateDir, 'service.log')}). Try:

  export OS_CLIENT_CONFIG_FILE=${clouds} OS_CLOUD=strata
  openstack server list; openstack volume list; openstack image list

  TOKEN=$(openstack token issue -f value -c id)
  curl -s -H "X-Auth-Token: $TOKEN" ${service.url}/volume/v3/volumes/detail
  curl -s -H "X-Auth-Token: $TOKEN" ${service.url}/strata/v1/jobs
  curl -s ${service.url}/metrics | grep ^strata_

API docs: ${service.url}/docs    End it all: kill ${service.pid}, or npm run demo -- --once
`)
}
