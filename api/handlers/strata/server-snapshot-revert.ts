/** Going back to a snapshot of a server. */
import type { Handler } from '../../contract.js'
import { serverSnapshotView } from '../../views/strata/server-snapshots.js'

export const revertServerSnapshot: Handler<'revertServerSnapshot'> = async ({ caller, path, body = {}, services, reply }) =>
  services.serverRevert.revert(
    caller,
    path.server_snapshot_id,
    { powerState: body.power_state, memory: body.memory, keepCurrent: body.keep_current ?? false, plan: body.plan },
    ({ record, jobId, powerState, withMemory, kept }) =>
      reply(202, {
        server_snapshot: serverSnapshotView(record),
        job_id: jobId,
        power_state: powerState,
        memory: withMemory,
        kept_in: kept && { server_snapshot_id: kept.id, job_id: kept.jobId },
      }),
  )
