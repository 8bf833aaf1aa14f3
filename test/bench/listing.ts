/** Reading one snapshot and a page of 50, with many in the project: through the real HTTP, against GET /healthz as the floor. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { openDatabase } from '../../db/connection.js'
import type { Service } from '../support/service.js'
import { median, quantile, type Row, repeat, timed } from './measure.js'
import type { Tenant } from './tenant.js'

export async function listing(service: Service, tenant: Tenant, sizes: readonly number[]): Promise<Row[]> {
  const volumeId = await tenant.createVolume({ size: 1 })
  const first = (await tenant.snapshot(volumeId)).id
  const db = await openDatabase({ url: `sqlite:${join(service.stateDir, 'strata.sqlite')}` })
  const rows: Row[] = []
  let there = 1
  try {
    const model = await db.read.snapshots.find('any', first)
    if (model === undefined) throw new Error('the first snapshot is not in the table')
    const { seq: _seq, ...copy } = model
    for (const size of sizes) {
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
      for (const path of Object.values(paths)) await repeat(20, () => read(path))
      for (const [what, path, budget] of [
        ['GET one snapshot', paths.one, '< 0.42 ms CPU'],
        ['GET a page of 50', paths.page, '< 1.3 ms CPU'],
      ] as const) {
        const floors: number[] = []
        const samples: number[] = []
        for (let index = 0; index < 200; index++) {
          floors.push(await read(paths.floor))
          samples.push(await read(path))
        }
        rows.push({
          what: `${what} of ${size}`,
          n: 200,
          ours: median(samples),
          p90: quantile(samples, 0.9),
          floor: median(floors),
          unit: 'ms',
          budget,
          against: 'GET /healthz',
        })
      }
    }
  } finally {
    await db.close()
  }
  return rows
}
