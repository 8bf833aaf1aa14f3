/**
 * Where a disk's chain is open, or can be opened: the running QEMU, or a storage daemon for a stopped
 * server's images. One port, one merge path, one adoption. All names follow from ids (domain/names.ts).
 */

/** A layer as its file is to be opened. Format and backing are said, never probed (SEC-01). */
export interface LayerFile {
  readonly layerId: string
  readonly path: string
  readonly format: 'qcow2' | 'raw'
  /** Bytes. */
  readonly virtualSize: number
}

/** From top to base. */
export type Chain = readonly LayerFile[]

export interface BlockNode {
  readonly node: string
  readonly driver: string
  /** Absolute path of the file below it, if one. */
  readonly file: string | undefined
  /** Node name of what it is backed by. */
  readonly backing: string | undefined
  readonly virtualSize: number
  /** Bytes allocated on the host. */
  readonly allocated: number
  /** Internal snapshots kept in it, by name. */
  readonly tags: readonly string[]
}

/** QEMU's block job in QEMU's words. */
export interface BlockJob {
  readonly id: string
  readonly type: string
  readonly status: string
  readonly current: number
  readonly total: number
  /** Set once concluded with failure. */
  readonly error: string | undefined
}

export type Merge =
  /** Pull: data of the layers between `top` and `base` goes up into `top`; `base` null = down to nothing. */
  | { readonly kind: 'stream'; readonly top: LayerFile; readonly base: LayerFile | null }
  /** Commit: `top` (active on `diskId`, or inner) goes down into `base`. */
  | { readonly kind: 'commit'; readonly active: boolean; readonly top: LayerFile; readonly base: LayerFile }

export interface BlockHost {
  readonly live: boolean
  nodes(): Promise<BlockNode[]>
  /** Format node the device of a disk is on; undefined when there is no such device (always, for a daemon). */
  topNode(diskId: string): Promise<string | undefined>
  /**
   * Opens one layer (file node, then format node). `backing` is the node below, or null. Already open: succeeds.
   * Read-only, for others may share it, and made writable when something is to write; `writable` saves an overlay
   * that is about to be switched to that second step.
   */
  open(layer: LayerFile, backing: string | null, options?: { readonly writable?: boolean }): Promise<void>
  /** Closes format node, then file node. Not open: succeeds. In use: Refused. */
  close(layerId: string): Promise<void>
  /** Read-only again, so that others may read it: a layer below others. Not open, or read-only already: succeeds. */
  seal(layerId: string): Promise<void>
  /** All disks at one instant, all or none: each overlay (opened with backing null) goes on top of its layer. */
  switchTops(switches: readonly { from: string; to: string }[]): Promise<void>
  /**
   * Internal snapshots in the top layers of several disks at one instant, all or none. `node`: format node of a disk's top.
   * All there already: succeeds. Some, or a layer that keeps none: Refused.
   */
  takeTags(tags: readonly { readonly node: string; readonly tag: string }[]): Promise<void>
  /** Gives up an internal snapshot of a top layer; of none succeeds. Below another layer: Refused. */
  removeTag(node: string, tag: string): Promise<void>
  /** Starts or finds the block job `id`. `root` is the top layer of the chain it runs in. */
  startMerge(id: string, root: LayerFile, merge: Merge, options?: { speed?: number }): Promise<void>
  blockJob(id: string): Promise<BlockJob | undefined>
  /**
   * Resolves at `ready`, `concluded` or when the job is gone (undefined: outcome unknown). Rejects when aborted by `signal`.
   * A job needs this wait to end: it stands before its last act until what it wrote is on disk. Success is on disk.
   * `writes`: the layers it writes to; without them they are learnt from the job as long as it is there to be asked.
   */
  waitForJob(
    id: string,
    options: { signal: AbortSignal; writes?: readonly string[]; onProgress?: (job: BlockJob) => void; until: 'ready' | 'concluded' },
  ): Promise<BlockJob | undefined>
  /**
   * Starts or finds a copy of all that `source` shows, a chain's top, into `target`: open, writable, empty, standing on nothing and
   * as large. Once `ready` the target follows every write.
   */
  startCopy(id: string, source: LayerFile, target: LayerFile, options?: { speed?: number }): Promise<void>
  /** Pivots a ready commit or copy. */
  completeJob(id: string): Promise<void>
  /** Ends a ready copy where it is: the target holds what the source showed at that moment, and nothing moves. */
  endCopy(id: string): Promise<void>
  /** Bytes a second from now on; 0 = unlimited. Of a job that is gone: nothing. */
  setSpeed(id: string, bytesPerSecond: number): Promise<void>
  /** Ends a job without effect on the graph; of none succeeds. Resolves when it is concluded. */
  cancelJob(id: string): Promise<void>
  /** Forgets a concluded job, once its result is in our journal; of none succeeds. */
  dismissJob(id: string): Promise<void>
  resize(layerId: string, bytes: number): Promise<void>
}

/** A storage daemon with one chain open, ended by `release`. */
export interface OfflineHost extends BlockHost {
  release(): Promise<void>
}

export interface OfflineHosts {
  /**
   * Starts a storage daemon named after `name` (or adopts the one running under that name) and opens the chain,
   * base first, writable. Dies with the worker.
   */
  open(name: string, chain: Chain): Promise<OfflineHost>
}
