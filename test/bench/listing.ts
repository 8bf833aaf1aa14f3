/**
 * Reading one snapshot and a page of 50, with many in the project: through the real HTTP, against GET /healthz as the floor.
 * The budgets are a tenth of what the same costs Cinder in processor time.
 */
import { randomUUID } from 'node:crypto'
import { openDatabase } from '../../db/connection.js'
import type { Service } from '../support/service.js'
import { median, processor, processorTime, quantile, type Row, repeat, timed } from './measure.js'
import type { Tenant } from './tenant.js'

const WARM_UP = 300

export async function listing(
  service: Service,
  tenant: Tenant,
  on: { url: string; engine: string; sizes: readonly number[] },
): Promise<Row[]> {
  const volumeId = await tenant.createVolume({ size: 1 })
  const first = (await tenant.snapshot(volumeId)).id
  const db = await openDatabase({ url: on.url })
  const rows: Row[] = []
  const pid = service.process.pid ?? 0
  let there = 1
  try {
    const model = await db.read.snapshots.find('any', first)
    if (model === undefined) throw new Error('the first snapshot is not in the table')
    const { seq: _seq, ...copy } = model
    for (const size of on.sizes) {
      for (; there < size; there += 1000) {
        await db.transaction(async (stores) => {
          for (let index = 0; index < Math.min(1000, size - there); index++)
            await stores.snapshots.insert({ ...copy, id: randomUUID(), layerId: null })
        })
      }
      const read = async (path: string): Promise<number> => await timed(async () => await (await tenant.get(path)).arrayBuffer())
      const paths = {
        floor: '/healthz',
        one: `/volume/v3/snapshots/${first}`,
        page: '/volume/v3/snapshots/detail?limit=50',
      }
      for (const path of Object.values(paths)) await repeat(WARM_UP, () => read(path))
      for (const [what, path, budget] of [
        ['GET one snapshot', paths.one, processor(0.42)],
        ['GET a page of 50', paths.page, processor(1.3)],
      ] as const) {
        const floors: number[] = []
        const samples: number[] = []
        let cpu = 0
        for (let index = 0; index < 200; index++) {
          floors.push(await read(paths.floor))
          const before = processorTime(pid)
          samples.push(await read(path))
          cpu += processorTime(pid) - before
        }
        rows.push({
          what: `${what} of ${size}, ${on.engine}`,
          n: 200,
          ours: median(samples),
          p90: quantile(samples, 0.9),
          floor: median(floors),
          unit: 'ms',
          cpu: cpu / samples.length,
          budget: [budget],
          against: 'GET /healthz',
        })
      }
    }
  } finally {
    await db.close()
  }
  return rows
}
