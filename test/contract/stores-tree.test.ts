/** The tree of a server's snapshots, when one is taken in the moment another is given up. */
import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import { ANY } from '../../src/ports/stores.js'
import { forgetSnapshots, heldServer } from '../../src/steps/forget-snapshots.js'
import { describeOnEachDatabase } from '../support/databases.js'
import { serverRow, serverSnapshotRow } from '../support/rows.js'

describeOnEachDatabase('a snapshot of a server that is given up', (database) => {
  it('does not take the place of one that was taken meanwhile', async () => {
    const { db } = database()
    const projectId = randomUUID()
    const [below, gone, fresh] = [null, null, null].map(() => randomUUID()) as [string, string, string]
    const server = serverRow({ projectId, currentSnapshotId: gone })
    const rows = { projectId, serverId: server.id }
    await db.transaction(async (stores) => {
      await stores.servers.insert(server)
      await stores.serverSnapshots.insert(serverSnapshotRow({ ...rows, id: below, name: 'below' }))
      await stores.serverSnapshots.insert(serverSnapshotRow({ ...rows, id: gone, name: 'gone', parentId: below }))
      await stores.serverSnapshots.insert(serverSnapshotRow({ ...rows, id: fresh, name: 'fresh', parentId: null }))
    })
    let begin = (): void => {}
    const begun = new Promise<void>((resolve) => {
      begin = resolve
    })
    const taken = db.transaction(async (stores) => {
      const parentId = (await heldServer(stores, server.id))?.currentSnapshotId ?? null
      await stores.serverSnapshots.update(fresh, { parentId })
      begin()
      // Long enough for the other to read what it must not read yet.
      await new Promise((resolve) => setTimeout(resolve, 200))
      await stores.servers.update(server.id, { currentSnapshotId: fresh })
    })
    await begun
    await db.transaction(async (stores) => await forgetSnapshots(server.id, [gone]).record?.({}, stores, {}))
    await taken
    expect((await db.read.servers.find(ANY, server.id))?.currentSnapshotId).toBe(fresh)
    expect((await db.read.serverSnapshots.find(ANY, fresh))?.parentId).toBe(below)
  })
})
