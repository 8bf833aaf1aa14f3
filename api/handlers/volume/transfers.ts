/** The same resource under two names: `os-volume-transfer`, and from 3.55 `volume-transfers`, where snapshots may stay behind. */
import type { VolumeTransfer } from '../../../src/domain/volume.js'
import type { Context, Handler } from '../../contract.js'
import type { Place } from '../../views/volume/common.js'
import { transferBriefView, transferView } from '../../views/volume/transfer.js'
import { exact, type ListRules, listOptions, nextLinks } from './list-query.js'
import { isTrue } from './wire-values.js'

/** Any column may be asked for, by anybody: the list is the caller's own. */
const RULES: ListRules<VolumeTransfer> = {
  sortKeys: { created_at: 'createdAt', id: 'id', name: 'name', display_name: 'name', volume_id: 'volumeId' },
  strictSince: Number.POSITIVE_INFINITY,
  filters: { name: ['name', exact, 0], id: ['id', exact, 0], volume_id: ['volumeId', exact, 0] },
}
const PAGING = ['marker', 'sort', 'sort_key', 'sort_dir']

type Asked = Pick<Context<'listTransfers'>, 'here' | 'path' | 'caller' | 'version' | 'services'>
const placeOf = ({ here, path }: Pick<Asked, 'here' | 'path'>): Place => ({ service: here.service, project: path.project_id })

/** Before 3.59 the oldest come first, and only length and offset of the page are asked for. */
async function pageOf({ here, caller, version, services }: Asked) {
  const search = new URLSearchParams(here.search)
  if (!version.atLeast(59)) for (const name of PAGING) search.delete(name)
  const { query, allTenants } = listOptions(RULES, { here: { ...here, search }, caller, version })
  const asked = version.atLeast(59) ? query : { ...query, sort: [{ key: 'createdAt', dir: 'asc' } as const] }
  const transfers = await services.volumeTransfer.listTransfers(caller, asked, allTenants)
  const ids = transfers.map(({ id }) => id)
  const links = version.atLeast(59) ? nextLinks(here, query, ids) : undefined
  return { transfers, links: links === undefined ? {} : { transfers_links: links } }
}

export const listTransfers: Handler<'listTransfers'> = async (context) => {
  const { transfers, links } = await pageOf(context)
  return context.reply(200, { transfers: transfers.map((transfer) => transferBriefView(transfer, placeOf(context))), ...links })
}
export const listVolumeTransfers: Handler<'listVolumeTransfers'> = (context) => listTransfers(context as never)

export const listTransfersDetail: Handler<'listTransfersDetail'> = async (context) => {
  const { transfers, links } = await pageOf(context as never)
  return context.reply(200, { transfers: transfers.map((transfer) => transferView(transfer, placeOf(context), context.version)), ...links })
}
export const listVolumeTransfersDetail: Handler<'listVolumeTransfersDetail'> = (context) => listTransfersDetail(context as never)

export const createVolumeTransfer: Handler<'createVolumeTransfer'> = async (context) => {
  const { body, caller, version, services, reply } = context
  const { volume_id, name, no_snapshots } = body.transfer
  const wanted = { volumeId: volume_id, name: name?.trim() ?? null, noSnapshots: isTrue(no_snapshots) }
  return services.volumeTransfer.createTransfer(caller, wanted, (transfer, key) =>
    reply(202, { transfer: { ...transferView(transfer, placeOf(context), version), auth_key: key } }),
  )
}
export const createTransfer: Handler<'createTransfer'> = (context) => createVolumeTransfer(context as never)

export const showTransfer: Handler<'showTransfer'> = async (context) => {
  const transfer = await context.services.volumeTransfer.showTransfer(context.caller, context.path.transfer_id)
  return context.reply(200, { transfer: transferView(transfer, placeOf(context), context.version) })
}
export const showVolumeTransfer: Handler<'showVolumeTransfer'> = (context) => showTransfer(context as never)

export const deleteTransfer: Handler<'deleteTransfer'> = async ({ path, caller, services, reply }) => {
  await services.volumeTransfer.deleteTransfer(caller, path.transfer_id)
  return reply(202)
}
export const deleteVolumeTransfer: Handler<'deleteVolumeTransfer'> = (context) => deleteTransfer(context as never)

export const acceptTransfer: Handler<'acceptTransfer'> = async (context) => {
  const { path, body, caller, services, reply } = context
  return services.volumeTransfer.acceptTransfer(caller, path.transfer_id, body.accept.auth_key, (transfer) =>
    reply(202, { transfer: transferBriefView(transfer, placeOf(context)) }),
  )
}
export const acceptVolumeTransfer: Handler<'acceptVolumeTransfer'> = (context) => acceptTransfer(context as never)
