/** Takes a project's quota row and stays inside the transaction: `node --import tsx stalled-holder.ts <url> <project>`; to be stopped there. */
import { openDatabase } from '../../db/connection.js'

const [url = '', projectId = ''] = process.argv.slice(2)
const db = await openDatabase({ url })
await db.transaction(async (stores) => {
  await stores.quotas.take(projectId, 'held', { volumes: 1 })
  process.stdout.write('holding\n')
  await new Promise((resolve) => setTimeout(resolve, 600_000))
})
