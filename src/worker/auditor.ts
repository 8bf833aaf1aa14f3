/** The storage auditor on the host itself: directory listings, headers, maps, and the guest's block graph over its monitor. */
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { AdapterError } from '../domain/errors.js'
import { type Extent, type Holdings, holdingsOf } from '../domain/holdings.js'
import type { AuditRequest, MeasuredTree, SeenDisk, StorageAuditor } from '../ports/auditor.js'
import type { BlockHost, LayerFile } from '../ports/block.js'
import type { LayerFiles } from '../ports/files.js'
import type { Hypervisor } from '../ports/hypervisor.js'
import { ANY, type Database } from '../ports/stores.js'

const TOGETHER = 4
const MOST_ROWS = 20_000

export interface AuditorDeps {
  readonly db: Database
  readonly hypervisor: Hypervisor
  readonly files: LayerFiles
}

export function createStorageAuditor({ db, hypervisor, files }: AuditorDeps): StorageAuditor {
  return {
    async observe({ serverId, disks, directories }) {
      const guest = await hypervisor.find(serverId)
      const blocks = guest?.blocks
      const seen: SeenDisk[] = []
      for (const disk of disks) seen.push(await look(disk, blocks))
      return {
        live: blocks !== undefined,
        disks: seen,
        nodes: blocks ? await blocks.nodes() : [],
        files: directories.length === 0 ? [] : await strangers(directories),
      }
    },
    async measure({ trees, pools }) {
      const measured: MeasuredTree[] = []
      for (const tree of trees) measured.push(await measureTree(tree))
      const free = await Promise.all(pools.map(async (path) => [path, await files.free(path)] as const))
      return { trees: measured, free: Object.fromEntries(free) }
    },
  }

  /** A few at a time: each is a process that reads. */
  async function measureTree(tree: readonly LayerFile[]): Promise<MeasuredTree> {
    const allocated: Record<string, number | null> = {}
    const maps = new Map<string, readonly Extent[]>()
    for (let at = 0; at < tree.length; at += TOGETHER)
      await Promise.all(
        tree.slice(at, at + TOGETHER).map(async (layer) => {
          allocated[layer.layerId] = (await files.stat(layer.path))?.allocated ?? null
          maps.set(layer.layerId, allocated[layer.layerId] === null ? [] : await files.map(layer))
        }),
      )
    return { allocated, ...bounded(holdingsOf(maps)) }
  }

  /** What was listed is looked up afterwards: a file made meanwhile is in the ledger before it is in the directory. */
  async function strangers(directories: readonly string[]): Promise<string[]> {
    const found = (await Promise.all([...new Set(directories)].map(list))).flat()
    const names = (await db.read.layers.list(ANY)).map((layer) => layer.fileName)
    const ledger = (await db.read.artefacts.list(ANY)).map((artefact) => basename(artefact.location))
    const known = new Set([...names, ...ledger])
    return found.filter((path) => !known.has(basename(path).replace(/\.(part|scratch)$/, '')))
  }

  async function look({ diskId, chain }: AuditRequest['disks'][number], blocks: BlockHost | undefined): Promise<SeenDisk> {
    const found = await Promise.all(
      chain.map(async (layer) => {
        const stat = await files.stat(layer.path)
        return { layerId: layer.layerId, exists: stat !== undefined, allocated: stat?.allocated ?? null }
      }),
    )
    const headerProblem = found.every((file) => file.exists) ? await disagreement(chain) : null
    return { diskId, files: found, headerProblem, topNode: (await blocks?.topNode(diskId)) ?? null }
  }

  async function disagreement(chain: AuditRequest['disks'][number]['chain']): Promise<string | null> {
    try {
      await files.verify(chain)
      return null
    } catch (error) {
      if (error instanceof AdapterError && error.outcome === 'refused') return error.message
      throw error
    }
  }
}

/** What is asked for travels through a journal's row. */
function bounded(held: Holdings): { held: Holdings; exact: boolean } {
  if (held.rows.length <= MOST_ROWS) return { held, exact: true }
  const rows = [...held.rows].sort((a, b) => b.bytes - a.bytes).slice(0, MOST_ROWS)
  return { held: { ...held, rows }, exact: false }
}

async function list(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(directory, entry.name))
}
