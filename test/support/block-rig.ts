/** What the suites of a BlockHost share: one process under test, its state directory, and how failures read. */
import { afterEach, beforeEach } from 'vitest'
import { AdapterError } from '../../src/domain/errors.js'
import { formatNode } from '../../src/domain/names.js'
import type { BlockHost, Chain, LayerFile } from '../../src/ports/block.js'
import { makeStateDir, removeStateDir } from './qemu.js'

/** One process with chains open in it. */
export interface Rig {
  host: BlockHost
  /** As a worker that comes back: a new connection to the same process. */
  reconnect(): Promise<BlockHost>
  pid(): Promise<number>
  /** Disk id of each chain; empty for a host without devices. */
  readonly diskIds: readonly string[]
  /** Ends the process in good order. */
  end(): Promise<void>
}

export type StartRig = (stateDir: string, chains: Chain[]) => Promise<Rig>

/** For the body of a `describe`: a state directory for each test, and every process ended after it. */
export function useRigs(start: StartRig): { dir(): string; open(...chains: Chain[]): Promise<Rig> } {
  let dir = ''
  const rigs: Rig[] = []
  beforeEach(async () => {
    dir = await makeStateDir()
  })
  afterEach(async () => {
    for (const rig of rigs.splice(0)) await rig.end().catch(() => undefined)
    await removeStateDir(dir)
  })
  return {
    dir: () => dir,
    open: async (...chains) => {
      const rig = await start(dir, chains)
      rigs.push(rig)
      return rig
    },
  }
}

export const node = (layer: LayerFile | undefined): string => formatNode(layer?.layerId ?? '')

export const outcome = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'success',
    (error: unknown) => (error instanceof AdapterError ? error.outcome : String(error)),
  )
