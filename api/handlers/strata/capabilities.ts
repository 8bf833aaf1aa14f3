/** What snapshots of servers can be here. */
import { DELETE_MODES } from '../../../src/domain/snapshot-deletion.js'
import type { Handler } from '../../contract.js'
import { capabilitiesView } from '../../views/strata/capabilities.js'

export const showCapabilities: Handler<'showCapabilities'> = async ({ caller, services, reply }) =>
  reply(200, { capabilities: { ...capabilitiesView(await services.capabilities.show(caller)), delete_modes: [...DELETE_MODES] } })
