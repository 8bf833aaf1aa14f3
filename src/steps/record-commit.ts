/** What the tables say once a layer, with what lies between, went down into one below: that one reads as it did, and takes its place. */
import { ANY, type Stores } from '../ports/stores.js'
import { repin } from './repin.js'

export async function recordCommit(stores: Stores, into: string, top: string, between: readonly string[] = []): Promise<void> {
  const gone = await stores.layers.find(ANY, top)
  if (gone === undefined) return
  for (const disk of await stores.disks.list(ANY, { where: { topLayerId: { is: top } } }))
    await stores.disks.update(disk.id, { topLayerId: into })
  for (const above of await stores.layers.children(top)) await stores.layers.update(above.id, { parentId: into })
  await repin(stores, top, into)
  await stores.layers.transition(into, ['merging'], { state: gone.state, virtualSize: gone.virtualSize })
  await stores.layers.transition(top, ['top', 'sealed'], { state: 'dropping' })
  for (const layerId of between) await stores.layers.transition(layerId, ['merging'], { state: 'dropping' })
}
