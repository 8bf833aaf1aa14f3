/** After a commit the surviving layer reads as the one that went: whoever pinned that one pins this one now. */
import { ANY, type Stores } from '../ports/stores.js'

export async function repin(stores: Stores, from: string, to: string): Promise<void> {
  for (const snapshot of await stores.snapshots.list(ANY, { where: { layerId: { is: from } } }))
    await stores.snapshots.update(snapshot.id, { layerId: to })
  for (const part of await stores.diskSnapshots.list(ANY, { where: { layerId: { is: from } } }))
    await stores.diskSnapshots.update(part.id, { layerId: to })
  for (const image of await stores.images.list(ANY, { where: { sourceLayerId: { is: from } } }))
    await stores.images.update(image.id, { sourceLayerId: to })
}
