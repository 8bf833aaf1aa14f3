/** The files of images: a sealed chain copied flat, an upload inspected and moved into its place, hashes taken. */
import { DomainError } from '../domain/errors.js'
import type { ExportFormat } from '../domain/image.js'
import { ANY } from '../ports/stores.js'
import { chainFiles, layerFile } from './places.js'
import type { ForwardBrick, PivotBrick, Tools, UndoableBrick } from './tools.js'

const wanted = async (tools: Tools, imageId: string): Promise<void> => {
  const image = await tools.db.read.images.find(ANY, imageId)
  if (image === undefined || image.status === 'deleted') throw new DomainError('invalidState', 'The image was deleted.')
}

const interrupted = (tools: Tools): AbortSignal => AbortSignal.any([tools.stop, tools.cancel])

/** Copies what a sealed layer shows into one file. A copy that was cut off is begun anew: its tool died with its worker. */
export const flattenImage = (imageId: string, sourceLayerId: string, imageLayerId: string, format: ExportFormat): UndoableBrick => ({
  kind: 'undoable',
  name: 'flatten-image',
  async probe(_, tools) {
    return (await tools.files.exists((await layerFile(tools.db.read, imageLayerId)).path)) ? 'partial' : 'absent'
  },
  async apply(_, tools) {
    await wanted(tools, imageId)
    const chain = await chainFiles(tools.db.read, sourceLayerId)
    await tools.files.verify(chain)
    const bytesTotal = chain[0]?.virtualSize ?? 0
    await tools.files.flatten(chain, (await layerFile(tools.db.read, imageLayerId)).path, {
      format,
      signal: interrupted(tools),
      onProgress: (fraction) => tools.report({ bytesDone: Math.round(fraction * bytesTotal), bytesTotal }),
    })
  },
  undo: async (_, tools) => await tools.files.remove((await layerFile(tools.db.read, imageLayerId)).path),
})

export const hashImage = (imageId: string, imageLayerId: string): UndoableBrick => ({
  kind: 'undoable',
  name: 'hash-image',
  probe: async () => 'absent',
  async apply(_, tools) {
    await wanted(tools, imageId)
    const { md5, sha512, size } = await tools.files.hash((await layerFile(tools.db.read, imageLayerId)).path, {
      signal: interrupted(tools),
    })
    tools.learn({ checksum: md5, hashValue: sha512, size })
  },
  undo: async () => {},
})

/** The one deliberate wait: clients look for `saving`. */
export const holdUntil = (micros: number): UndoableBrick => ({
  kind: 'undoable',
  name: 'hold-saving',
  probe: async () => 'absent',
  async apply(_, tools) {
    const left = micros - tools.clock.now()
    if (left > 0) await tools.clock.sleep(Math.min(1000, left / 1000), interrupted(tools)).catch(() => {})
  },
  undo: async () => {},
})

/** An upload's own bytes are read by us before any tool opens them; refused ones leave nothing behind. */
export const inspectUpload = (stagingPath: string, imageLayerId: string, format: 'qcow2' | 'raw'): UndoableBrick => ({
  kind: 'undoable',
  name: 'inspect-upload',
  probe: async () => 'absent',
  async apply(_, tools) {
    const { virtualSize } = await tools.inspector.inspect(stagingPath, format, { maxVirtualSize: tools.settings.maxVirtualSize })
    tools.learn({ virtualSize })
  },
  async undo(_, tools) {
    // A copy into the pool's file system may have been cut off.
    await tools.files.remove(`${(await layerFile(tools.db.read, imageLayerId)).path}.part`)
    await tools.files.remove(stagingPath)
  },
})

/**
 * Pivot: the staging file gets its name in the pool. The hard case does not exist: a rename is atomic, also that of the
 * copy where the pool is another file system, and a file under the new name is *done*. What then is left under the old one
 * goes in `dropUpload`.
 */
export const publishUpload = (stagingPath: string, imageLayerId: string): PivotBrick => ({
  kind: 'pivot',
  name: 'publish-upload',
  async probe(_, tools) {
    return (await tools.files.exists((await layerFile(tools.db.read, imageLayerId)).path)) ? 'done' : 'absent'
  },
  apply: async (_, tools) => await tools.files.rename(stagingPath, (await layerFile(tools.db.read, imageLayerId)).path),
})

export const dropUpload = (stagingPath: string): ForwardBrick => ({
  kind: 'forward',
  name: 'drop-upload',
  probe: async (_, tools) => ((await tools.files.exists(stagingPath)) ? 'absent' : 'done'),
  apply: async (_, tools) => await tools.files.remove(stagingPath),
})

/** A status on the way, so that clients see how far it is. */
export const note = (name: string, record: NonNullable<ForwardBrick['record']>): UndoableBrick => ({
  kind: 'undoable',
  name,
  probe: async () => 'absent',
  apply: async () => {},
  undo: async () => {},
  record,
})
