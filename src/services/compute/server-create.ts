/**
 * Creating servers: one transaction that checks flavor, image and devices, takes the quota, and writes the server, its
 * root disk, the volumes made with it, the attachments and the job that will boot it. Nothing waits.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Image } from '../../domain/image.js'
import type { Metadata } from '../../domain/metadata.js'
import type { Flavor, Server } from '../../domain/server.js'
import type { Micros } from '../../domain/time.js'
import { ANY, type Stores } from '../../ports/stores.js'
import { requireDisk } from '../image/rules.js'
import { GIB } from '../volume/access.js'
import { deviceAt } from './attachment-devices.js'
import { findKeypair } from './keypairs.js'
import { type BlockDevice, type DevicePlan, planDevices } from './server-create-devices.js'
import { defaultPool, insertServer } from './server-create-rows.js'
import { accept, type ComputeDeps, type ComputeSettings, MAX_METADATA_ITEMS, requireWriter } from './servers-common.js'

export interface CreateServerSettings extends ComputeSettings {
  readonly availabilityZone: string
}

export interface NewServer {
  readonly name: string
  readonly description: string | null
  /** null: the root is a volume. */
  readonly imageId: string | null
  readonly flavorId: string
  readonly devices: readonly BlockDevice[]
  readonly metadata: Metadata
  readonly tags: readonly string[]
  readonly minCount: number
  readonly maxCount: number
  readonly availabilityZone: string | null
  readonly userData: string | null
  readonly keyName: string | null
  readonly accessIpV4: string
  readonly accessIpV6: string
  /** null: as the image says. */
  readonly diskConfig: 'AUTO' | 'MANUAL' | null
}

export type ServerCreateService = ReturnType<typeof createServerCreateService>

export function createServerCreateService(deps: ComputeDeps & { settings: CreateServerSettings }) {
  return {
    async create<R>(caller: Caller, wanted: NewServer, reply: (servers: Server[]) => R): Promise<R> {
      requireWriter(caller, 'servers:create')
      if (wanted.minCount > wanted.maxCount) throw invalid('min_count must be <= max_count')
      if (Object.keys(wanted.metadata).length > MAX_METADATA_ITEMS)
        throw new DomainError('overQuota', `Maximum number of metadata items exceeds ${MAX_METADATA_ITEMS}`)
      requireZone(deps.settings, wanted.availabilityZone)
      return accept(deps, undefined, async (stores, now) => {
        const flavor = await requireFlavor(stores, caller, wanted.flavorId)
        if (wanted.keyName !== null && (await findKeypair(stores, caller.userId, wanted.keyName)) === undefined)
          throw invalid('Invalid key_name provided.')
        const image = wanted.imageId === null ? undefined : await requireImage(stores, caller, wanted.imageId)
        const plan = await planDevices(stores, caller, { image, devices: wanted.devices, count: wanted.maxCount })
        if (image !== undefined) requireFits(flavor, image, plan.localRoot)
        const boot = await bootOf(stores, caller, image, plan)
        const site = { pool: await defaultPool(stores, deps.settings.hostId), now }
        const common = { settings: deps.settings, reservationId: reservationId(), now }
        const servers: Server[] = []
        for (let index = 0; index < wanted.maxCount; index++) {
          const name = wanted.maxCount === 1 ? wanted.name : `${wanted.name}-${index + 1}`
          const server = newServer(caller, { ...wanted, name }, flavor, boot, { ...common, index })
          if (!(await takeInstance(stores, server, index < wanted.minCount))) break
          await insertServer(stores, caller, server, image, plan, site)
          servers.push({ ...server, seq: 0 })
        }
        return reply(servers)
      })
    },
  }
}

/** How the guest boots, from the properties of its image (or of the image its root volume was made from). */
interface Boot {
  readonly properties: Metadata
  readonly kernelLayerId: string | null
  readonly ramdiskLayerId: string | null
}

const DEFAULT_COMMAND_LINE = 'console=ttyS0 root=/dev/vda'

const invalid = (sentence: string) => new DomainError('invalid', sentence)
const reservationId = () => `r-${randomBytes(5).toString('hex').slice(0, 8)}`

function requireZone(settings: CreateServerSettings, zone: string | null): void {
  if (zone === null || zone.split(':')[0] === settings.availabilityZone) return
  throw invalid('The requested availability zone is not available')
}

async function requireFlavor(stores: Stores, caller: Caller, id: string): Promise<Flavor> {
  const flavor = await stores.flavors.find(ANY, id)
  if (flavor === undefined || !(flavor.isPublic || caller.isAdmin)) throw invalid(`Flavor ${id} could not be found.`)
  return flavor
}

async function requireImage(stores: Stores, caller: Caller, id: string): Promise<Image> {
  const image = await stores.images.findVisible(caller.projectId, id)
  if (image === undefined) throw invalid('Can not find requested image')
  // Held until the commit: an image that is being deleted gets no child.
  const kept = image.status === 'active' && (await stores.images.transition(id, ['active'], { status: 'active' }))
  if (!kept) throw invalid(`Image ${id} is not active.`)
  requireDisk(image)
  return image
}

function requireFits(flavor: Flavor, image: Image, localRoot: boolean): void {
  if (image.minRam > flavor.ramMib) throw invalid("Flavor's memory is too small for requested image.")
  if (!localRoot || flavor.diskGib === 0) return
  const disk = flavor.diskGib * GIB
  const size = image.virtualSize ?? image.size ?? 0
  if (size > disk) throw invalid(`Flavor's disk is too small for requested image. Flavor disk is ${disk} bytes, image is ${size} bytes.`)
  if (image.minDisk * GIB > disk)
    throw invalid(
      `Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is ${disk} bytes, minimum size is ${image.minDisk * GIB} bytes.`,
    )
}

async function bootOf(stores: Stores, caller: Caller, image: Image | undefined, plan: DevicePlan): Promise<Boot> {
  const { block_device_mapping: _list, bdm_v2: _marker, ...inherited } = image?.properties ?? ofRootVolume(plan)
  const kernelLayerId = await bootLayer(stores, caller, inherited['kernel_id'])
  const ramdiskLayerId = await bootLayer(stores, caller, inherited['ramdisk_id'])
  const properties = kernelLayerId === null ? inherited : { os_command_line: DEFAULT_COMMAND_LINE, ...inherited }
  return { properties, kernelLayerId, ramdiskLayerId }
}

/** What Cinder keeps of the image the root volume was made from, without the image's own record: that says nothing of a volume. */
function ofRootVolume(plan: DevicePlan): Metadata {
  const kept = Object.entries(plan.volumes[0]?.use.imageMetadata ?? {})
  return Object.fromEntries(kept.filter(([name]) => !OF_THE_RECORD.includes(name)))
}
const OF_THE_RECORD = ['image_id', 'image_name', 'checksum', 'container_format', 'disk_format', 'min_disk', 'min_ram', 'size']

async function bootLayer(stores: Stores, caller: Caller, imageId: string | undefined): Promise<string | null> {
  if (imageId === undefined || imageId === '') return null
  const image = await stores.images.findVisible(caller.projectId, imageId)
  if (image === undefined) throw invalid(`Image ${imageId} could not be found.`)
  // Held as the root's image is: a kernel that is being deleted boots nobody.
  const kept = image.status === 'active' && (await stores.images.transition(imageId, ['active'], { status: 'active' }))
  if (!kept || image.layerId === null) throw invalid(`Image ${imageId} is not active.`)
  return image.layerId
}

/** False: over quota, but enough servers were made already. */
async function takeInstance(stores: Stores, server: Omit<Server, 'seq'>, needed: boolean): Promise<boolean> {
  const { vcpus, ramMib } = server.flavor
  const over = await stores.quotas.take(server.projectId, server.id, { instances: 1, cores: vcpus, ram: ramMib })
  if (over === undefined) return true
  if (!needed) return false
  throw new DomainError(
    'overQuota',
    `Quota exceeded for ${over.resource}: Requested ${over.requested}, but already used ${over.used} of ${over.limit} ${over.resource}`,
  )
}

interface Common {
  readonly settings: CreateServerSettings
  readonly reservationId: string
  readonly index: number
  readonly now: Micros
}

function newServer(caller: Caller, wanted: NewServer, flavor: Flavor, boot: Boot, site: Common): Omit<Server, 'seq'> {
  const { seq: _seq, ...asItWas } = flavor
  const diskConfig = wanted.diskConfig === null ? {} : { auto_disk_config: wanted.diskConfig === 'AUTO' ? 'True' : 'False' }
  return {
    id: randomUUID(),
    projectId: caller.projectId,
    userId: caller.userId,
    hostId: site.settings.hostId,
    name: wanted.name,
    description: wanted.description,
    vmState: 'building',
    taskState: 'scheduling',
    powerState: 0,
    flavor: asItWas,
    imageId: wanted.imageId,
    kernelLayerId: boot.kernelLayerId,
    ramdiskLayerId: boot.ramdiskLayerId,
    imageProperties: { ...boot.properties, ...diskConfig },
    rootDeviceName: deviceAt(0),
    metadata: wanted.metadata,
    tags: wanted.tags,
    availabilityZone: site.settings.availabilityZone,
    reservationId: site.reservationId,
    launchIndex: site.index,
    currentSnapshotId: null,
    autostart: true,
    accessIpV4: wanted.accessIpV4,
    accessIpV6: wanted.accessIpV6,
    userData: wanted.userData,
    keyName: wanted.keyName,
    locked: false,
    fault: null,
    createdAt: site.now,
    updatedAt: site.now,
    launchedAt: null,
    terminatedAt: null,
    deletedAt: null,
  }
}
