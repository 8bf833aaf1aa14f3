/**
 * Random days of a tenant, compared with a model: snapshots, clones, images, merges and deletions in all orders on servers
 * without a system and on volumes nobody has attached; then the same while processes are killed. After each burst of
 * requests, once no job is left, every disk, snapshot and image must hold what the model remembers, every file must be a
 * layer of the tables and the other way round, and the quotas must be what a recount gives. The seed also says which of
 * the two runs is on SQLite and which on MariaDB.
 *
 *   MODEL_SEED=… MODEL_SECONDS=…   repeat or prolong a run
 */
import { afterAll, expect, it } from 'vitest'
import { ENGINES, freshDatabaseUrl } from '../support/databases.js'
import { dice } from '../support/model.js'
import { createModelRun, type ModelRun } from '../support/model-run.js'

const seed = Number(process.env['MODEL_SEED'] ?? Date.now() % 2 ** 31)
const seconds = Number(process.env['MODEL_SECONDS'] ?? 25)
const runs: ModelRun[] = []
const places: { drop(): Promise<void> }[] = []
const engineOf = (kills: boolean) => ENGINES[(seed + Number(kills)) % 2] ?? 'sqlite'
afterAll(async () => {
  for (const run of runs) await run.close()
  for (const place of places) await place.drop()
})

it.each([
  ['every byte stays where the model has it, whatever is asked in whatever order', false],
  ['killed services, guests, storage daemons and keepers cost nothing that was asked for', true],
] as const)(
  `%s (MODEL_SEED=${seed})`,
  async (_title, kills) => {
    const place = await freshDatabaseUrl(engineOf(kills))
    places.push(place)
    const run = await createModelRun(dice(seed + Number(kills)), place.url)
    runs.push(run)
    process.stdout.write(`model: MODEL_SEED=${seed} on ${engineOf(kills)}${kills ? ', with kills' : ''}\n`)
    const end = performance.now() + seconds * 1000
    while (performance.now() < end) {
      await run.burst({ kills })
      const wrong = await run.check({ kills })
      expect(wrong, `MODEL_SEED=${seed}\n${run.story().join('\n')}`).toEqual([])
      await run.write()
    }
  },
  (seconds + 240) * 1000,
)
