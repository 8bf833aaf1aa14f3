/** Snapshots of servers. */
import { DomainError } from '../../../src/domain/errors.js'
import type { DeleteMode } from '../../../src/domain/snapshot-deletion.js'
import type { Handler } from '../../contract.js'
import { costView, deletionResultView, serverSnapshotView, treeView } from '../../views/strata/server-snapshots.js'

function micros(text: string): number {
  const millis = Date.parse(text)
  const day = text.slice(0, 10)
  // The 31st of February is taken for the 3rd of March.
  if (Number.isNaN(millis) || new Date(day).toISOString().slice(0, 10) !== day)
    throw new DomainError('invalid', `There is no such time as ${text}.`)
  // The tables count microseconds in whole numbers, which end in the year 2255.
  if (!Number.isSafeInteger(millis * 1000)) throw new DomainError('invalid', `${text} is further away than this service counts.`)
  return millis * 1000
}

export const createServerSnapshot: Handler<'createServerSnapshot'> = async ({ caller, path, body = {}, services, reply }) =>
  services.serverSnapshot.create(
    caller,
    path.server_id,
    {
      name: body.name,
      description: body.description ?? null,
      kind: body.kind,
      memory: body.memory ?? false,
      quiesce: body.quiesce,
      disks: body.disks ?? [],
      metadata: body.metadata ?? {},
      protected: body.protected ?? false,
      expiresAt: body.expires_at == null ? null : micros(body.expires_at),
    },
    (record, jobId) => reply(202, { server_snapshot: serverSnapshotView(record), job_id: jobId }),
  )

export const listServerSnapshots: Handler<'listServerSnapshots'> = async ({ caller, path, query, services, reply }) => {
  const filter = { view: query.view ?? 'list', descendantsOf: query.descendants_of, name: query.name } as const
  return reply(200, { server_snapshots: (await services.serverSnapshot.list(caller, path.server_id, filter)).map(serverSnapshotView) })
}

export const showServerSnapshot: Handler<'showServerSnapshot'> = async ({ caller, path, query, services, reply }) => {
  const { record, jobs, cost } = await services.serverSnapshot.show(caller, path.server_snapshot_id, query.bytes ?? true)
  const bytes = cost && costView(record, cost)
  return reply(200, { server_snapshot: serverSnapshotView(record), jobs: jobs.map((job) => job.id), ...(bytes && { bytes }) })
}

export const showServerSnapshotTree: Handler<'showServerSnapshotTree'> = async ({ caller, path, services, reply }) =>
  reply(200, { tree: treeView(await services.serverSnapshot.tree(caller, path.server_id)) })

export const updateServerSnapshot: Handler<'updateServerSnapshot'> = async ({ caller, path, body, services, reply }) => {
  const { expires_at: expires, ...rest } = body
  const expiresAt = expires == null ? expires : micros(expires)
  return services.serverSnapshot.update(caller, path.server_snapshot_id, { ...rest, expiresAt }, (record) =>
    reply(200, { server_snapshot: serverSnapshotView(record) }),
  )
}

export const deleteServerSnapshot: Handler<'deleteServerSnapshot'> = async ({ caller, path, query, here, services, reply }) =>
  services.serverSnapshot.remove(caller, path.server_snapshot_id, { ...deletionOf(query, here.search), plan: query.plan }, (gone, jobId) =>
    reply(202, { job_id: jobId, deleting: gone.map(({ id, name }) => ({ id, name })) }),
  )

export const deleteServerSnapshots: Handler<'deleteServerSnapshots'> = async ({ caller, path, query, here, services, reply }) => {
  const deletion = { ...deletionOf(query, here.search), ids: query.id }
  return services.serverSnapshot.removeMany(caller, path.server_id, deletion, (results, jobId) =>
    reply(202, { job_id: jobId, results: results.map(deletionResultView) }),
  )
}

/** The modes exclude each other: one that is given twice is not guessed at. */
function deletionOf(query: { mode?: DeleteMode; children?: 'share' | 'each' }, search: URLSearchParams) {
  if (search.getAll('mode').length > 1) throw new DomainError('invalid', 'Give one mode of deletion: they exclude each other.')
  return { mode: query.mode ?? 'merge', children: query.children ?? 'share' } as const
}
