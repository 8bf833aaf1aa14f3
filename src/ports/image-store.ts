/**
 * The bytes of images on their way in and out. The API streams through this port and never sees a file:
 * uploads go to a staging file that the worker inspects and publishes, downloads read a sealed layer.
 */
import type { Readable } from 'node:stream'

export interface Received {
  readonly size: number
  /** Hex. */
  readonly md5: string
  readonly sha512: string
}

export interface ByteRange {
  /** First and last byte, both inclusive. */
  readonly first: number
  readonly last: number
}

export interface ImageStore {
  /** Where the bytes of one upload attempt by this process go. */
  stagingPath(imageId: string, uploadId: string): string
  /**
   * Writes all of `source` to `path` (made anew, mode 0600) and hashes it in the same pass; fsyncs file and directory.
   * More than `limit` bytes: DomainError tooLarge. On any failure the file is left to the caller's `removeStaging`.
   */
  receive(path: string, source: AsyncIterable<Uint8Array>, limit: number): Promise<Received>
  /** Unlinks; of nothing succeeds. */
  removeStaging(path: string): Promise<void>
  /** Milliseconds since an upload last wrote to (or held on to) this file; undefined when there is none. */
  idleFor(path: string): Promise<number | undefined>
  /** Is the process gone for which this staging path was made? Then nobody goes on with it. */
  isOrphaned(path: string): Promise<boolean>
  /** The bytes of a layer's file, opened before this resolves: a file that is gone rejects here, not in mid-stream. */
  read(path: string, range: ByteRange): Promise<Readable>
  /** Length in bytes; undefined when there is no file. */
  length(path: string): Promise<number | undefined>
}
