/** What others learn when a job ends: events in the outbox, messages for the user, the instance action of the request. */
import { randomUUID } from 'node:crypto'
import { secondsToMicros } from '../domain/time.js'
import { ANY, type Origin, type Stores } from '../ports/stores.js'
import type { Journal } from '../steps/step.js'

/** Who a follow-up job is for: whoever asked for this one. */
export const originOf = ({ projectId, userId, requestId }: Journal): Origin => ({ projectId, userId, requestId })

type Resource = 'server' | 'volume' | 'snapshot' | 'image' | 'layer' | 'server_snapshot'

export async function tellEvent(
  stores: Stores,
  journal: Journal,
  about: { projectId: string; type: Resource; id: string; kind: string; payload?: Readonly<Record<string, unknown>> },
): Promise<void> {
  const { projectId, type, id, kind, payload = {} } = about
  const event = { id: randomUUID(), projectId, resourceType: type, resourceId: id, kind, createdAt: journal.now }
  await stores.events.insert({ ...event, payload: { ...payload, jobId: journal.jobId, requestId: journal.requestId } })
}

/** Cinder's numbers: VOLUME_<resource>_<action>_<detail>; the detail is always "unknown error", the sentence says the rest. */
const ACTIONS = {
  'attach volume': '002',
  'copy volume to image': '003',
  'extend volume': '007',
  'create volume from backend storage': '008',
  'create snapshot': '009',
  'delete snapshot': '010',
  'detach volume': '004',
  'upload image': '005',
} as const

const LIFETIME = secondsToMicros(30 * 86_400)

export async function tellUser(
  stores: Stores,
  journal: Journal,
  about: {
    projectId: string
    type: 'VOLUME' | 'VOLUME_SNAPSHOT' | 'IMAGE' | 'SERVER_SNAPSHOT'
    id: string
    action: keyof typeof ACTIONS
    sentence: string
  },
): Promise<void> {
  await stores.messages.insert({
    id: randomUUID(),
    projectId: about.projectId,
    requestId: journal.requestId,
    resourceType: about.type,
    resourceId: about.id,
    eventId: `VOLUME_${about.type}_${ACTIONS[about.action]}_001`,
    level: 'ERROR',
    userMessage: `${about.action}:${about.sentence}`,
    createdAt: journal.now,
    expiresAt: journal.now + LIFETIME,
  })
}

/** Nova shows `Error` as the message of an action that failed; the reason is the server's fault. */
export async function finishAction(stores: Stores, journal: Journal, serverId: string, outcome: 'done' | 'failed'): Promise<void> {
  const where = { serverId: { is: serverId }, requestId: { is: journal.requestId }, finishedAt: { is: null } }
  for (const action of await stores.instanceActions.list(ANY, { where })) {
    const message = outcome === 'failed' ? 'Error' : action.message
    await stores.instanceActions.update(action.id, { message, updatedAt: journal.now, finishedAt: journal.now })
  }
}
