import type { Handler } from '../../contract.js'
import { memberView } from '../../views/image/image.js'

export const listImageMembers: Handler<'listImageMembers'> = async ({ path, caller, services, reply }) => {
  const members = await services.image.listMembers(caller, path.image_id)
  return reply(200, { members: members.map(memberView), schema: '/v2/schemas/members' })
}

export const showImageMember: Handler<'showImageMember'> = async ({ path, caller, services, reply }) =>
  reply(200, memberView(await services.image.showMember(caller, path.image_id, path.member_id)))

export const createImageMember: Handler<'createImageMember'> = async ({ path, body, caller, services, reply }) =>
  services.image.addMember(caller, path.image_id, body.member, (member) => reply(200, memberView(member)))

export const updateImageMember: Handler<'updateImageMember'> = async ({ path, body, caller, services, reply }) =>
  services.image.updateMember(caller, path.image_id, path.member_id, body.status, (member) => reply(200, memberView(member)))

export const deleteImageMember: Handler<'deleteImageMember'> = async ({ path, caller, services, reply }) => {
  await services.image.removeMember(caller, path.image_id, path.member_id)
  return reply(204)
}
