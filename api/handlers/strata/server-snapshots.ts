/** Snapshots of servers. */
import { DomainError } from '../../../src/domain/errors.js'
import type { Handler } from '../../contract.js'
import { serverSnapshotView } from '../../views/strata/server-snapshots.js'

function micros(text: string): number {
  const millis = Date.parse(text)
  if (Number.isNaN(millis)) throw new DomainError('invalid', `There is no such time as ${text}.`)
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

export const showServerSnapshot: Handler<'showServerSnapshot'> = async ({ caller, path, services, reply }) => {
  const { record, jobs } = await services.serverSnapshot.show(caller, path.server_snapshot_id)
  return reply(200, { server_snapshot: serverSnapshotView(record), jobs: jobs.map((job) => job.id) })
}
