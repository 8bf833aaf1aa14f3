/** A disk ends: its row goes, its top becomes a sealed layer like any other, and stays only if something else needs it. */
import { ANY, type Origin, type Stores } from '../ports/stores.js'
import { forgetLayer, retire } from './retire.js'

export async function giveUpDisk(stores: Stores, diskId: string, origin: Origin): Promise<void> {
  const disk = await stores.disks.find(ANY, diskId)
  if (disk === undefined) return
  await stores.disks.update(diskId, { topLayerId: null })
  await stores.disks.remove(diskId)
  if (disk.topLayerId === null) return
  const top = await stores.layers.find(ANY, disk.topLayerId)
  if (top?.state === 'planned') return await forgetLayer(stores, top.id)
  await stores.layers.transition(disk.topLayerId, ['top'], { state: 'sealed' })
  await retire(stores, disk.topLayerId, origin)
}
