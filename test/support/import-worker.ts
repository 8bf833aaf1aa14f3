/** A worker in this process that can do what uploads need: files and the inspector, no guests; and what a test adds. */
import { randomUUID } from 'node:crypto'
import { systemClock } from '../../src/host/clock.js'
import { registry } from '../../src/operations/registry.js'
import type { Database } from '../../src/ports/stores.js'
import { createImageInspector } from '../../src/qemu/inspector.js'
import { createLayerFiles } from '../../src/qemu/layer-files.js'
import type { WorkerPorts } from '../../src/steps/tools.js'
import { createLocalDoorbell, type LocalDoorbell } from '../../src/worker/doorbell.js'
import { createWorker } from '../../src/worker/worker.js'

export interface ImportWorker {
  readonly doorbell: LocalDoorbell
  start(db: Database, hostId: string): Promise<void>
  stop(): Promise<void>
}

export function createImportWorker(more: Partial<WorkerPorts> = {}): ImportWorker {
  const doorbell = createLocalDoorbell()
  let worker: ReturnType<typeof createWorker> | undefined
  return {
    doorbell,
    async start(db, hostId) {
      const settings = { hostId, freezeBudgetMs: 1000, maxVirtualSize: 2 ** 40, unplugTimeoutMs: 1000 }
      const files = { db, files: createLayerFiles(), inspector: createImageInspector(), clock: systemClock, settings, ...more }
      // Nothing an upload does asks for a guest: what is not there would fail loudly.
      const ports = files as unknown as WorkerPorts
      const log = { info: () => {}, warn: () => {}, error: () => {} }
      worker = createWorker({ ports, registry, workerId: randomUUID(), doorbell, log, pollMs: 100 })
      await worker.start()
    },
    async stop() {
      await worker?.stop()
    },
  }
}
