import type { Handler } from '../../contract.js'
import { imageSchema, imagesSchema, memberSchema, membersSchema } from '../../views/image/schemas.js'

export const showImageSchema: Handler<'showImageSchema'> = async ({ reply }) => reply(200, imageSchema())
export const showImagesSchema: Handler<'showImagesSchema'> = async ({ reply }) => reply(200, imagesSchema())
export const showImageMemberSchema: Handler<'showImageMemberSchema'> = async ({ reply }) => reply(200, memberSchema())
export const showImageMembersSchema: Handler<'showImageMembersSchema'> = async ({ reply }) => reply(200, membersSchema())

/** Data comes by PUT …/file; no other way in is offered. */
export const showImageImport: Handler<'showImageImport'> = async ({ reply }) =>
  reply(200, { 'import-methods': { description: 'Import methods available.', type: 'array', value: [] } })
