/**
 * A worker process for claim tests: `node --import tsx claimer.ts <url> <host> <worker>`. It claims, notes what it
 * holds in job rows others can check, settles, and ends when nothing is queued or running; prints the ids it ran.
 */
import { openDatabase } from '../../db/connection.js'

const [url = '', hostId = '', workerId = ''] = process.argv.slice(2)
const db = await openDatabase({ url })
const ran: string[] = []
for (;;) {
  const found = await db.transaction((s) => s.jobs.claim({ hostId, workerId, now: Date.now() * 1000, leaseFor: 60_000_000, except: [] }))
  if (found === undefined) {
    const left = await db.read.jobs.list('any', { where: { hostId: { is: hostId }, state: { in: ['queued', 'running'] } }, limit: 1 })
    if (left.length === 0) break
    // What is left is another's or waits for that: asking without a pause would keep them from it.
    await new Promise((resolve) => setTimeout(resolve, 10))
    continue
  }
  const { lease } = found
  await db.transaction((s) => s.jobs.journal(lease, [{ name: 'work', kind: 'step', ordinal: 0, state: 'started' }]))
  await db.transaction((s) => s.jobs.settle(lease, 'done', null))
  ran.push(found.job.id)
}
process.stdout.write(JSON.stringify(ran))
await db.close()
