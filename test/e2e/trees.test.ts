/**
 * Server snapshots in random trees, on real QEMU without a system: whatever is done in whatever order, every snapshot that
 * is kept and every present disk hold what plain copies of them hold.
 *
 *   MODEL_SEED=… TREE_MOVES=…   repeat or prolong a run (npm run soak)
 */
import { afterAll, expect, it } from 'vitest'
import { ENGINES, freshDatabaseUrl } from '../support/databases.js'
import { dice } from '../support/model.js'
import { createTreeRun, type TreeRun } from '../support/tree-run.js'

const seed = Number(process.env['MODEL_SEED'] ?? Date.now() % 2 ** 31)
const wanted = Number(process.env['TREE_MOVES'] ?? 150)
const ends: (() => Promise<void>)[] = []
afterAll(async () => {
  for (const end of ends) await end()
})

it.each(ENGINES)(
  'snapshots of every kind keep their contents on %s, whatever is reverted, deleted, merged and moved around them',
  async (engine) => {
    const place = await freshDatabaseUrl(engine)
    const run: TreeRun = await createTreeRun(dice(seed + ENGINES.indexOf(engine)), place.url)
    ends.push(async () => {
      await run.close()
      await place.drop()
    })
    while (run.moves < wanted) {
      for (let burst = 6; burst > 0; burst--) await run.move()
      const wrong = await run.check()
      expect(wrong, `MODEL_SEED=${seed}\n${run.story().slice(-120).join('\n')}`).toEqual([])
    }
    process.stdout.write(`trees: MODEL_SEED=${seed} on ${engine}: ${run.moves} moves, ${run.refused} refused\n`)
    expect(run.refused).toBeLessThan(run.moves / 2)
  },
  wanted * 1000 + 120_000,
)
