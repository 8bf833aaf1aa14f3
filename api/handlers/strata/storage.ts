/** Snapshots and servers as storage: what a promise is worth, and whether all accounts of it agree. */
import type { Handler } from '../../contract.js'
import { auditView, snapshotReportView } from '../../views/strata/strata.js'

export const showSnapshotReport: Handler<'showSnapshotReport'> = async ({ caller, path, services, reply }) =>
  reply(200, { snapshot: snapshotReportView(await services.snapshotReports.reportSnapshot(caller, path.snapshot_id)) })

export const deleteSnapshotWith: Handler<'deleteSnapshotWith'> = async ({ caller, path, query, services, reply }) => {
  await services.snapshot.deleteSnapshot(caller, path.snapshot_id, query.children ?? 'share')
  return reply(202)
}

export const auditServerStorage: Handler<'auditServerStorage'> = async ({ caller, path, services, reply }) =>
  reply(200, { audit: auditView(await services.storageAudit.auditServer(caller, path.server_id)) })
