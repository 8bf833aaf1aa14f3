/** How the rows of a volume end, well or badly. */
import { ANY, type Stores } from '../ports/stores.js'
import type { Journal } from '../steps/step.js'
import { tellEvent, tellUser } from './tell.js'

export async function endNewVolume(
  stores: Stores,
  journal: Journal,
  volumeId: string,
  status: 'available' | 'error',
  sentence = '',
): Promise<void> {
  const volume = await stores.volumes.find(ANY, volumeId)
  if (volume === undefined) return
  await stores.volumes.transition(volumeId, ['creating', 'downloading'], { status, previousStatus: null, updatedAt: journal.now })
  const about = { projectId: volume.projectId, id: volumeId }
  if (status === 'error')
    await tellUser(stores, journal, { ...about, type: 'VOLUME', action: 'create volume from backend storage', sentence })
  await tellEvent(stores, journal, { ...about, type: 'volume', kind: `volume.${status}` })
}

/** Back from a passing state to what it was: attached or free. */
export async function volumeAtRest(stores: Stores, volumeId: string): Promise<'in-use' | 'available'> {
  const attached = await stores.attachments.count(ANY, { volumeId: { is: volumeId }, status: { in: ['attached', 'detaching'] } })
  return attached > 0 ? 'in-use' : 'available'
}
