/** The storage auditor on the host itself: directory listings, headers, and the guest's block graph over its monitor. */
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { AdapterError } from '../domain/errors.js'
import type { AuditRequest, SeenDisk, StorageAuditor } from '../ports/auditor.js'
import type { BlockHost } from '../ports/block.js'
import type { LayerFiles } from '../ports/files.js'
import type { Hypervisor } from '../ports/hypervisor.js'
import { ANY, type Database } from '../ports/stores.js'

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
  }

  /** What was listed is looked up afterwards: a file made meanwhile is in the ledger before it is in the directory. */
  async function strangers(directories: readonly string[]): Promise<string[]> {
    const found = (await Promise.all([...new Set(directories)].map(list))).flat()
    const names = (await db.read.layers.list(ANY)).map((layer) => layer.fileName)
    const ledger = (await db.read.artefacts.list(ANY)).map((artefact) => basename(artefact.location))
    const known = new Set([...names, ...ledger])
    return found.filter((path) => !known.has(basename(path)))
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

async function list(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(directory, entry.name))
}
