import { DomainError } from '../../../src/domain/errors.js'
import type { Snapshot, SnapshotStatus } from '../../../src/domain/snapshot.js'
import { actions, type Context, type Handler } from '../../contract.js'
import { acceptedSnapshotView, snapshotView } from '../../views/volume/snapshot.js'
import { listOptions, nextLinks } from './list-query.js'
import { snapshotRules } from './list-rules.js'
import { checkedKeys, isTrue, naming, onlyItem, statusWord } from './wire-values.js'

/** In Cinder's order: it is what a refused reset lists. */
const STATUSES: readonly SnapshotStatus[] = [
  'error',
  'available',
  'creating',
  'deleting',
  'deleted',
  'updating',
  'error_deleting',
  'unmanaging',
  'backing-up',
  'restoring',
]

const FORCE_IS_GONE =
  "Since microversion 3.66 the 'force' flag is invalid for this request. For backward compatibility, however, when the 'force' flag is passed with a value evaluating to True, it is silently ignored."

export const listSnapshots: Handler<'listSnapshots'> = async (context) => {
  const options = listOptions(snapshotRules, context)
  const { snapshots, count } = await context.services.snapshot.listSnapshots(context.caller, options)
  return context.reply(200, {
    snapshots: snapshots.map((snapshot) => acceptedSnapshotView(snapshot, context.version)),
    ...page(context, options.query, snapshots, count),
  })
}

export const listSnapshotsDetail: Handler<'listSnapshotsDetail'> = async (context) => {
  const options = listOptions(snapshotRules, context)
  const { snapshots, count } = await context.services.snapshot.listSnapshots(context.caller, options)
  return context.reply(200, {
    snapshots: snapshots.map((snapshot) => snapshotView(snapshot, context.version)),
    ...page(context, options.query, snapshots, count),
  })
}

function page(
  { here }: Pick<Context<'listSnapshots'>, 'here'>,
  query: { limit?: number },
  snapshots: readonly Snapshot[],
  count: number | undefined,
) {
  const links = nextLinks(
    here,
    query,
    snapshots.map(({ id }) => id),
  )
  return { ...(links === undefined ? {} : { snapshots_links: links }), ...(count === undefined ? {} : { count }) }
}

export const createSnapshot: Handler<'createSnapshot'> = async ({ body, caller, version, services, reply }) => {
  const { snapshot } = body
  const always = version.atLeast(66)
  if (always && snapshot.force !== undefined && !isTrue(snapshot.force)) throw new DomainError('invalid', FORCE_IS_GONE)
  const named = naming(snapshot)
  const request = {
    volumeId: snapshot.volume_id === null ? 'None' : dashed(snapshot.volume_id),
    name: named.name ?? null,
    description: named.description ?? null,
    metadata: checkedKeys(snapshot.metadata ?? {}),
    alsoInUse: always || isTrue(snapshot.force),
  }
  return services.snapshot.createSnapshot(caller, request, (created) => reply(202, { snapshot: acceptedSnapshotView(created, version) }))
}

/** A uuid may come without its dashes, and in capitals. */
const dashed = (id: string): string =>
  id
    .toLowerCase()
    .replaceAll('-', '')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

export const showSnapshot: Handler<'showSnapshot'> = async ({ path, caller, version, services, reply }) =>
  reply(200, { snapshot: snapshotView(await services.snapshot.showSnapshot(caller, path.snapshot_id), version) })

export const updateSnapshot: Handler<'updateSnapshot'> = async ({ path, body, caller, version, services, reply }) =>
  services.snapshot.updateSnapshot(caller, path.snapshot_id, naming(body.snapshot), (snapshot) =>
    reply(200, { snapshot: acceptedSnapshotView(snapshot, version) }),
  )

export const deleteSnapshot: Handler<'deleteSnapshot'> = async ({ path, caller, services, reply }) => {
  await services.snapshot.deleteSnapshot(caller, path.snapshot_id)
  return reply(202)
}

export const showSnapshotMetadata: Handler<'showSnapshotMetadata'> = async ({ path, caller, services, reply }) =>
  reply(200, { metadata: await services.snapshot.showSnapshotMetadata(caller, path.snapshot_id) })

export const mergeSnapshotMetadata: Handler<'mergeSnapshotMetadata'> = async ({ path, body, caller, services, reply }) =>
  services.snapshot.setSnapshotMetadata(caller, path.snapshot_id, checkedKeys(body.metadata), true, (metadata) => reply(200, { metadata }))

export const replaceSnapshotMetadata: Handler<'replaceSnapshotMetadata'> = async ({ path, body, caller, services, reply }) =>
  services.snapshot.setSnapshotMetadata(caller, path.snapshot_id, checkedKeys(body.metadata), false, (metadata) => reply(200, { metadata }))

export const showSnapshotMetadataItem: Handler<'showSnapshotMetadataItem'> = async ({ path, caller, services, reply }) =>
  reply(200, { meta: { [path.key]: await services.snapshot.showSnapshotMetadataItem(caller, path.snapshot_id, path.key) } })

export const setSnapshotMetadataItem: Handler<'setSnapshotMetadataItem'> = async ({ path, body, caller, services, reply }) => {
  const item = onlyItem(body.meta, path.key)
  return services.snapshot.setSnapshotMetadata(caller, path.snapshot_id, item, true, () => reply(200, { meta: item }))
}

export const deleteSnapshotMetadataItem: Handler<'deleteSnapshotMetadataItem'> = async ({ path, caller, services, reply }) => {
  await services.snapshot.deleteSnapshotMetadataItem(caller, path.snapshot_id, path.key)
  return reply(200)
}

export const snapshotAction = actions<'snapshotAction'>({
  'os-reset_status': async ({ path, input, caller, services, reply }) => {
    await services.snapshot.resetSnapshotStatus(caller, path.snapshot_id, statusWord(input.status, STATUSES, 'Snapshot'))
    return reply(202)
  },
  'os-force_delete': async ({ path, caller, services, reply }) => {
    await services.snapshot.forceDeleteSnapshot(caller, path.snapshot_id)
    return reply(202)
  },
  'os-update_snapshot_status': async ({ path, input, caller, services, reply }) => {
    const status = input.status.toLowerCase()
    await services.snapshot.callBackSnapshotStatus(caller, path.snapshot_id, status, input.progress ?? undefined)
    return reply(202)
  },
})
