/**
 * Three accounts of a server's storage laid side by side: the tables, the files, the running guest's block graph. Only
 * compares; repairs nothing. While a job works on the server the accounts may differ for good reason: `settled` says so.
 *
 * Files that belong to nobody are other tenants' business too, so only admins are told of them.
 */
import { basename } from 'node:path'
import type { Caller } from '../../domain/caller.js'
import { AdapterError, DomainError } from '../../domain/errors.js'
import { fileNode, formatNode } from '../../domain/names.js'
import type { Server } from '../../domain/server.js'
import type { HostAuditor, SeenDisk, SeenStorage } from '../../ports/auditor.js'
import type { Chain } from '../../ports/block.js'
import { ANY, type Database, type Stores } from '../../ports/stores.js'

export type FindingKind = 'missing_file' | 'header_differs' | 'not_plugged' | 'wrong_top' | 'missing_node' | 'orphan_node' | 'orphan_file'
export interface Finding {
  readonly kind: FindingKind
  /** The disk, layer, node or file it is about. */
  readonly subject: string
  readonly sentence: string
}
export interface AuditedDisk {
  readonly diskId: string
  readonly volumeId: string | null
  readonly layers: readonly { id: string; fileName: string; state: string; exists: boolean; allocated: number | null; open: boolean }[]
}
export interface StorageAudit {
  readonly serverId: string
  readonly live: boolean
  /** No unfinished job touches this server's disks. */
  readonly settled: boolean
  readonly jobs: readonly string[]
  readonly disks: readonly AuditedDisk[]
  readonly findings: readonly Finding[]
}

interface Told {
  readonly diskId: string
  readonly volumeId: string | null
  readonly chain: Chain
  readonly states: ReadonlyMap<string, string>
}

export interface StorageAuditService {
  auditServer(caller: Caller, serverId: string): Promise<StorageAudit>
}

export function createStorageAuditService({ db, auditor }: { db: Database; auditor: HostAuditor }): StorageAuditService {
  return {
    async auditServer(caller, serverId) {
      const scope = caller.isAdmin ? ANY : { projectId: caller.projectId }
      const server = await db.read.servers.find(scope, serverId)
      if (!server || server.vmState === 'deleted') throw new DomainError('notFound', `Server ${serverId} could not be found.`)
      const told = await account(db.read, server)
      const directories = caller.isAdmin
        ? (await db.read.pools.list(ANY, { where: { hostId: { is: server.hostId } } })).map((pool) => pool.path)
        : []
      const disks = told.map(({ diskId, chain }) => ({ diskId, chain }))
      const origin = { projectId: caller.projectId, userId: caller.userId, requestId: caller.requestId }
      const seen = await auditor.observe(server.hostId, { serverId, disks, directories }, origin).catch((cause: unknown) => {
        if (!(cause instanceof AdapterError)) throw cause
        throw new DomainError('unavailable', `Host ${server.hostId} did not tell what is on its disks. Please try again later.`, { cause })
      })
      const jobs = await working(db.read, server, told)
      return {
        serverId,
        live: seen.live,
        settled: jobs.length === 0,
        jobs,
        disks: told.map((disk) => lay(disk, seen)),
        findings: compare(told, seen),
      }
    },
  }
}

async function account(stores: Stores, server: Server): Promise<Told[]> {
  const disks = await stores.disks.list(ANY, { where: { serverId: { is: server.id } } })
  const paths = new Map((await stores.pools.list(ANY)).map((pool) => [pool.id, pool.path]))
  return Promise.all(
    disks.map(async (disk) => {
      const layers = disk.topLayerId === null ? [] : await stores.layers.chain(disk.topLayerId)
      const [volume] = disk.kind === 'volume' ? await stores.volumes.list(ANY, { where: { diskId: { is: disk.id } }, limit: 1 }) : []
      return {
        diskId: disk.id,
        volumeId: volume?.id ?? null,
        chain: layers.map(({ id, poolId, fileName, format, virtualSize }) => ({
          layerId: id,
          path: `${paths.get(poolId) ?? ''}/${fileName}`,
          format,
          virtualSize,
        })),
        states: new Map(layers.map((layer) => [layer.id, layer.state])),
      }
    }),
  )
}

async function working(stores: Stores, server: Server, told: readonly Told[]): Promise<string[]> {
  const holders = await Promise.all([
    stores.jobs.holder(`power:${server.id}`),
    ...told.flatMap((disk) => [
      stores.jobs.holder(`chain:${disk.diskId}`),
      ...disk.chain.map((layer) => stores.jobs.holder(`layer:${layer.layerId}`)),
    ]),
  ])
  return [...new Set(holders.flatMap((job) => (job ? [job.id] : [])))]
}

function lay(disk: Told, seen: SeenStorage): AuditedDisk {
  const open = new Set(seen.nodes.map((node) => node.node))
  const files = new Map(seen.disks.find((other) => other.diskId === disk.diskId)?.files.map((file) => [file.layerId, file]))
  return {
    diskId: disk.diskId,
    volumeId: disk.volumeId,
    layers: disk.chain.map((layer) => ({
      id: layer.layerId,
      fileName: basename(layer.path),
      state: disk.states.get(layer.layerId) ?? 'unknown',
      exists: files.get(layer.layerId)?.exists ?? false,
      allocated: files.get(layer.layerId)?.allocated ?? null,
      open: open.has(formatNode(layer.layerId)),
    })),
  }
}

export function compare(told: readonly Told[], seen: SeenStorage): Finding[] {
  const findings = told.flatMap((disk) => {
    const own = seen.disks.find((other) => other.diskId === disk.diskId)
    return own ? [...onDisk(disk, own), ...(seen.live ? inGuest(disk, own, seen) : [])] : []
  })
  const expected = new Set(told.flatMap((disk) => disk.chain.flatMap((layer) => [formatNode(layer.layerId), fileNode(layer.layerId)])))
  for (const { node } of seen.nodes) {
    if (/^[fq]-/.test(node) && !expected.has(node))
      findings.push({ kind: 'orphan_node', subject: node, sentence: `The guest has "${node}" open, which belongs to none of its disks.` })
  }
  for (const name of seen.files.map((path) => basename(path)))
    findings.push({ kind: 'orphan_file', subject: name, sentence: `The file "${name}" lies in a pool and no table knows it.` })
  return findings
}

function onDisk(disk: Told, seen: SeenDisk): Finding[] {
  const findings: Finding[] = disk.chain
    .filter((layer) => disk.states.get(layer.layerId) !== 'planned')
    .filter((layer) => seen.files.find((file) => file.layerId === layer.layerId)?.exists !== true)
    .map((layer) => ({
      kind: 'missing_file',
      subject: layer.layerId,
      sentence: `The file "${basename(layer.path)}" of a layer of disk ${disk.diskId} is missing.`,
    }))
  if (seen.headerProblem !== null)
    findings.push({
      kind: 'header_differs',
      subject: disk.diskId,
      sentence: `A file of disk ${disk.diskId} does not say what the tables say: ${seen.headerProblem}.`,
    })
  return findings
}

function inGuest(disk: Told, seen: SeenDisk, { nodes }: SeenStorage): Finding[] {
  const top = disk.chain[0]
  if (!top) return []
  if (seen.topNode === null) return [{ kind: 'not_plugged', subject: disk.diskId, sentence: `The guest runs without disk ${disk.diskId}.` }]
  if (seen.topNode !== formatNode(top.layerId))
    return [
      {
        kind: 'wrong_top',
        subject: disk.diskId,
        sentence: `The guest writes disk ${disk.diskId} through "${seen.topNode}", the tables say layer ${top.layerId}.`,
      },
    ]
  const open = new Set(nodes.map((node) => node.node))
  return disk.chain
    .filter((layer) => !open.has(formatNode(layer.layerId)))
    .map((layer) => ({
      kind: 'missing_node',
      subject: layer.layerId,
      sentence: `Layer ${layer.layerId} of disk ${disk.diskId} is not open in the guest.`,
    }))
}
