import { describe, expect, it } from 'vitest'
import { ANY } from '../../../src/ports/stores.js'
import { covers } from '../../support/api.js'
import { aServer, aVolume, inputOf, settle, useRig } from './rig.js'

const rig = useRig()

const attach = (who: 'member' | 'reader' | 'foreign' | 'admin', server: string, volumeId: string) =>
  rig.call(who, 'POST', `/servers/${server}/os-volume_attachments`, { body: { volumeAttachment: { volumeId, device: null } } })

describe('attaching a volume', () => {
  it('reserves it, names its device and leaves plugging to the job', async () => {
    covers('attachServerVolume', 'success')
    covers('listServerVolumes', 'success')
    covers('showServerVolume', 'success')
    const id = await aServer(rig)
    const [first, second] = [await aVolume(rig), await aVolume(rig)]
    const answer = await attach('member', id, first.id)
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({ volumeAttachment: { id: first.id, volumeId: first.id, serverId: id, device: '/dev/vdb' } })
    expect((await attach('member', id, second.id)).body.volumeAttachment.device).toBe('/dev/vdc')
    expect(await rig.db.read.volumes.find(ANY, first.id)).toMatchObject({ status: 'reserved' })
    const [row] = await rig.db.read.attachments.list(ANY, { where: { volumeId: { is: first.id } } })
    expect(row).toMatchObject({ status: 'attaching', serverId: id, bootIndex: null, deleteOnTermination: false })
    expect(await inputOf(rig.db, 'attach-volume', first.id)).toEqual({
      attachmentId: row?.id,
      volumeId: first.id,
      diskId: first.diskId,
      serverId: id,
    })
    const listed = await rig.call('reader', 'GET', `/servers/${id}/os-volume_attachments`)
    expect(listed.body.volumeAttachments.map((one: { device: string }) => one.device)).toEqual(['/dev/vdb', '/dev/vdc'])
    expect((await rig.call('member', 'GET', `/servers/${id}/os-volume_attachments?limit=1&offset=1`)).body.volumeAttachments).toHaveLength(
      1,
    )
    expect((await rig.call('member', 'GET', `/servers/${id}/os-volume_attachments/${first.id}`)).body).toEqual(answer.body)
    expect((await rig.call('member', 'GET', `/servers/${id}`)).body.server['os-extended-volumes:volumes_attached']).toEqual([
      { id: first.id },
      { id: second.id },
    ])
  })

  it('takes the first free device name again', async () => {
    const id = await aServer(rig, { vmState: 'stopped' })
    const volumes = [await aVolume(rig), await aVolume(rig)]
    for (const volume of volumes) await attach('member', id, volume.id)
    await rig.db.transaction(async (stores) => {
      const [row] = await stores.attachments.list(ANY, { where: { volumeId: { is: volumes[0]?.id ?? '' } } })
      await stores.attachments.remove(row?.id ?? '')
    })
    expect((await attach('member', id, (await aVolume(rig)).id)).body.volumeAttachment.device).toBe('/dev/vdb')
  })

  it('is refused for volumes in use, unknown or foreign, and badly formed requests', async () => {
    covers('attachServerVolume', 'invalid', 'foreign')
    covers('listServerVolumes', 'invalid')
    const id = await aServer(rig)
    const busy = await aVolume(rig, { status: 'in-use' })
    const answer = await attach('member', id, busy.id)
    expect(answer.status).toBe(400)
    expect(answer.body.badRequest.message).toBe(
      `Invalid input received: Invalid volume: Volume ${busy.id} status must be available or downloading to reserve, but the current status is in-use.`,
    )
    const mine = await aVolume(rig)
    await attach('member', id, mine.id)
    expect((await attach('member', id, mine.id)).body.badRequest.message).toBe(`Invalid volume: volume ${mine.id} already attached`)
    const theirs = await aVolume(rig, { projectId: rig.projectId('foreign') })
    expect((await attach('member', id, theirs.id)).body.itemNotFound.message).toBe(`Volume ${theirs.id} could not be found.`)
    expect((await attach('foreign', id, theirs.id)).body.itemNotFound.message).toBe(`Instance ${id} could not be found.`)
    expect((await attach('reader', id, mine.id)).status).toBe(403)
    for (const body of [
      {},
      { volumeAttachment: {} },
      { volumeAttachment: { volumeId: 'x' } },
      { volumeAttachment: { volumeId: mine.id, device: 'vdb' } },
      { volumeAttachment: { volumeId: mine.id, tag: 't' } },
    ])
      expect((await rig.call('member', 'POST', `/servers/${id}/os-volume_attachments`, { body })).status).toBe(400)
    expect((await rig.call('member', 'GET', `/servers/${id}/os-volume_attachments?limit=x`)).status).toBe(400)
  })

  it('is refused while the server is in a wrong state or locked', async () => {
    covers('attachServerVolume', 'wrong state')
    const id = await aServer(rig, { vmState: 'error' })
    const volume = await aVolume(rig)
    expect((await attach('member', id, volume.id)).body.conflictingRequest.message).toBe(
      `Cannot 'attach_volume' instance ${id} while it is in vm_state error`,
    )
    await settle(rig.db, id, { taskState: 'powering-off' })
    expect((await attach('member', id, volume.id)).body.conflictingRequest.message).toBe(
      `Cannot 'attach_volume' instance ${id} while it is in task_state powering-off`,
    )
    await settle(rig.db, id, { patch: { locked: true } })
    expect((await attach('member', id, volume.id)).status).toBe(409)
    expect(await rig.db.read.volumes.find(ANY, volume.id)).toMatchObject({ status: 'available' })
  })
})

describe('detaching a volume', () => {
  it('marks both and leaves unplugging to the job', async () => {
    covers('detachServerVolume', 'success', 'invalid')
    const volume = await aVolume(rig)
    const id = await aServer(rig)
    await attach('member', id, volume.id)
    const path = `/servers/${id}/os-volume_attachments/${volume.id}`
    expect((await rig.call('member', 'DELETE', path)).body.badRequest.message).toBe(
      "Invalid input received: Invalid volume: Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach.",
    )
    await settle(rig.db, id)
    expect((await rig.call('member', 'DELETE', path)).status).toBe(202)
    expect(await rig.db.read.volumes.find(ANY, volume.id)).toMatchObject({ status: 'detaching' })
    const [row] = await rig.db.read.attachments.list(ANY, { where: { volumeId: { is: volume.id } } })
    expect(row?.status).toBe('detaching')
    expect(await inputOf(rig.db, 'detach-volume', volume.id)).toEqual({
      attachmentId: row?.id,
      volumeId: volume.id,
      diskId: volume.diskId,
      serverId: id,
    })
    expect((await rig.call('member', 'DELETE', path)).status).toBe(400)
  })

  it('is refused for a root volume, for one that is not attached, foreign servers, readers and wrong states', async () => {
    covers('detachServerVolume', 'foreign', 'wrong state')
    covers('showServerVolume', 'foreign')
    const root = await aVolume(rig, { bootable: true })
    const other = await aVolume(rig)
    const bdm = { uuid: root.id, source_type: 'volume', destination_type: 'volume', boot_index: '0' }
    const id = await aServer(rig, { body: { block_device_mapping_v2: [bdm] } })
    const path = `/servers/${id}/os-volume_attachments`
    expect((await rig.call('member', 'DELETE', `${path}/${root.id}`)).body.badRequest.message).toBe('Cannot detach a root device volume')
    for (const method of ['GET', 'DELETE'] as const)
      expect((await rig.call('member', method, `${path}/${other.id}`)).body.itemNotFound.message).toBe(
        `Instance ${id} is not attached to volume ${other.id}`,
      )
    await attach('member', id, other.id)
    await settle(rig.db, id)
    expect((await rig.call('reader', 'DELETE', `${path}/${other.id}`)).status).toBe(403)
    expect((await rig.call('foreign', 'DELETE', `${path}/${other.id}`)).status).toBe(404)
    await settle(rig.db, id, { vmState: 'error' })
    expect((await rig.call('member', 'DELETE', `${path}/${other.id}`)).body.conflictingRequest.message).toBe(
      `Cannot 'detach_volume' instance ${id} while it is in vm_state error`,
    )
    await settle(rig.db, id, { patch: { locked: true } })
    expect((await rig.call('member', 'DELETE', `${path}/${other.id}`)).status).toBe(409)
  })
})
