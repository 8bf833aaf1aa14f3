/** Sharing: the owner names projects, each accepts or rejects for itself. Only the owner sees all of them. */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Image, ImageMember } from '../../domain/image.js'
import { ANY, type Stores } from '../../ports/stores.js'
import { changeableImage, type ImageDeps, isOwner, mayWrite, visibleImage } from './rules.js'

const STATUSES: readonly string[] = ['pending', 'accepted', 'rejected'] satisfies ImageMember['status'][]

export function createImageMembers({ db, clock }: ImageDeps) {
  return {
    async listMembers(caller: Caller, imageId: string): Promise<ImageMember[]> {
      const image = await visibleImage(db.read, caller, imageId)
      sharedOnly(image)
      const members = await membersOf(db.read, imageId)
      return isOwner(caller, image) ? members : members.filter((member) => member.memberId === caller.projectId)
    },

    async showMember(caller: Caller, imageId: string, memberId: string): Promise<ImageMember> {
      const image = await visibleImage(db.read, caller, imageId)
      return await visibleMember(db.read, caller, image, memberId)
    },

    async addMember<R>(caller: Caller, imageId: string, memberId: string, reply: (member: ImageMember) => R): Promise<R> {
      return await db.transaction(async (stores) => {
        const image = await changeableImage(stores, caller, imageId, 'add_member')
        sharedOnly(image)
        const members = await membersOf(stores, imageId)
        if (members.some((member) => member.memberId === memberId))
          throw new DomainError('busy', `Member ${memberId} is duplicated for image ${imageId}`)
        if (members.length >= 128)
          throw new DomainError(
            'tooLarge',
            'The limit has been exceeded on the number of allowed image members for this image. Maximum: 128',
          )
        const now = clock.now()
        const member: ImageMember = { id: randomUUID(), imageId, memberId, status: 'pending', createdAt: now, updatedAt: now }
        await stores.imageMembers.insert(member)
        return reply(member)
      })
    },

    /** The member's own decision: not the owner's to make. */
    async updateMember<R>(
      caller: Caller,
      imageId: string,
      memberId: string,
      status: string,
      reply: (member: ImageMember) => R,
    ): Promise<R> {
      return await db.transaction(async (stores) => {
        const image = await visibleImage(stores, caller, imageId)
        const member = await visibleMember(stores, caller, image, memberId)
        mayWrite(caller, 'modify_member')
        if (!STATUSES.includes(status))
          throw new DomainError('invalid', `Invalid status: ${status}. Must be one of: pending, accepted, rejected`)
        if (!caller.isAdmin && member.memberId !== caller.projectId)
          throw new DomainError('forbidden', `You are not permitted to modify the status of member ${memberId} of this image.`)
        const changed: ImageMember = { ...member, status: status as ImageMember['status'], updatedAt: clock.now() }
        await stores.imageMembers.update(member.id, { status: changed.status, updatedAt: changed.updatedAt })
        return reply(changed)
      })
    },

    async removeMember(caller: Caller, imageId: string, memberId: string): Promise<void> {
      await db.transaction(async (stores) => {
        const image = await changeableImage(stores, caller, imageId, 'delete_member')
        sharedOnly(image)
        await stores.imageMembers.remove((await visibleMember(stores, caller, image, memberId)).id)
      })
    },
  }
}

function sharedOnly(image: Image): void {
  if (image.visibility !== 'shared') throw new DomainError('forbidden', 'Only shared images have members.')
}

async function membersOf(stores: Stores, imageId: string): Promise<ImageMember[]> {
  return await stores.imageMembers.list(ANY, { where: { imageId: { is: imageId } }, sort: [{ key: 'createdAt', dir: 'asc' }] })
}

async function visibleMember(stores: Stores, caller: Caller, image: Image, memberId: string): Promise<ImageMember> {
  const member = (await membersOf(stores, image.id)).find((one) => one.memberId === memberId)
  if (member === undefined || !(isOwner(caller, image) || memberId === caller.projectId))
    throw new DomainError('notFound', `${memberId} not found in the member list of the image ${image.id}.`)
  return member
}
