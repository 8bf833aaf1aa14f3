/** The saved state of a server. */
import type { Handler } from '../../contract.js'
import { managedSaveView } from '../../views/strata/managed-save.js'

export const saveServer: Handler<'saveServer'> = async ({ caller, path, services, reply }) =>
  services.managedSave.save(caller, path.server_id, (state, jobId) => reply(202, { managed_save: managedSaveView(state), job_id: jobId }))

export const showSavedState: Handler<'showSavedState'> = async ({ caller, path, services, reply }) =>
  reply(200, { managed_save: managedSaveView(await services.managedSave.show(caller, path.server_id)) })

export const discardSavedState: Handler<'discardSavedState'> = async ({ caller, path, services, reply }) =>
  services.managedSave.discard(caller, path.server_id, (jobId) => reply(202, { job_id: jobId }))

export const setAutostart: Handler<'setAutostart'> = async ({ caller, path, body, services, reply }) =>
  services.managedSave.setAutostart(caller, path.server_id, body.autostart, () => reply(200, { autostart: body.autostart }))
