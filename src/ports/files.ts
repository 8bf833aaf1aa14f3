/** Layer and image files on the host: made, inspected, copied, removed. Paths are absolute and inside a pool. */
import type { Extent } from '../domain/holdings.js'
import type { ExportFormat } from '../domain/image.js'
import type { Chain, LayerFile } from './block.js'

export interface LayerFiles {
  /**
   * Writes an empty qcow2 (overlay on `backing`, or blank) or a blank raw file, O_EXCL, mode 0600, file and directory fsynced.
   * A file of that name: Refused.
   */
  create(layer: LayerFile, backing: LayerFile | null): Promise<void>
  /** absent; done: a whole file of this format and size on this backing file; partial: anything else at that path. */
  probe(layer: LayerFile, backing: LayerFile | null): Promise<'absent' | 'partial' | 'done'>
  /** Does the header say what the tables say (backing name and format)? SEC-04. */
  verify(chain: Chain): Promise<void>
  exists(path: string): Promise<boolean>
  /** Unlink; of nothing succeeds. */
  remove(path: string): Promise<void>
  /**
   * rename + fsync of the directory; the same file at `to` and none at `from`: succeeds. Into another file system: a copy by
   * way of `<to>.part`; killed in between, that file or `from` may be left beside.
   */
  rename(from: string, to: string): Promise<void>
  /** Bytes allocated and length. */
  stat(path: string): Promise<{ allocated: number; length: number } | undefined>
  /** Grows a closed qcow2 or raw file. Smaller than now: Refused. */
  grow(layer: LayerFile, bytes: number): Promise<void>
  /** Rewrites the backing name in a closed qcow2's header (metadata only). */
  rebase(layer: LayerFile, backing: LayerFile | null): Promise<void>
  /** Internal snapshots kept in a closed qcow2 file, by name. In use: Refused. */
  tags(layer: LayerFile): Promise<string[]>
  /** Makes one in a closed file; there already: succeeds. */
  tag(layer: LayerFile, name: string): Promise<void>
  /** Gives one up in a closed file; of none succeeds. */
  untag(layer: LayerFile, name: string): Promise<void>
  /** A closed layer reads again as the tag in it; what it read as before is gone. Repeated, or begun anew after a kill: the same. */
  applyTag(layer: LayerFile, name: string): Promise<void>
  /**
   * Makes `layer` (anew) on what the chain's top stands on, holding what the tag in that top holds of its own. The top may be
   * open read-only.
   */
  copyTag(
    chain: Chain,
    name: string,
    layer: LayerFile,
    options: { signal: AbortSignal; onProgress?: (fraction: number) => void },
  ): Promise<void>
  /**
   * Counts the clusters of a closed qcow2 file again, after who wrote it was killed amid its tables: what it had counted and
   * not used is free again. No data is touched.
   */
  mend(layer: LayerFile): Promise<void>
  /** Copies the view of a sealed chain flat into a new file of that format at `to` (made anew; mode 0600, fsynced). The tool dies with us. */
  flatten(
    chain: Chain,
    to: string,
    options: { format: ExportFormat; signal: AbortSignal; onProgress?: (fraction: number) => void },
  ): Promise<void>
  /** MD5 and SHA-512 of a file, hex. */
  hash(path: string, options: { signal: AbortSignal }): Promise<{ md5: string; sha512: string; size: number }>
  /** What the layer itself holds, without what it stands on, in whole clusters. Of one a guest writes: as last flushed. */
  map(layer: LayerFile): Promise<Extent[]>
  /** Free bytes of the file system that holds `path`. */
  free(path: string): Promise<number>
}

/** What an untrusted file really is, by our own reading of its bytes, before any tool opens it (SEC-03, SEC-07, SEC-08). */
export interface ImageInspector {
  /** Throws DomainError invalid with a public sentence when it must not be opened. */
  inspect(path: string, declared: 'qcow2' | 'raw', limits: { maxVirtualSize: number }): Promise<{ virtualSize: number }>
}
