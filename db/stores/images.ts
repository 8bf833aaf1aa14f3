/** Images: Glance's rules of who sees what, as SQL. A deleted image is seen by nobody here. */
import type { Image } from '../../src/domain/image.js'
import { ANY, type ImageStore } from '../../src/ports/stores.js'
import type { Session } from '../session.js'
import { createGuarded, findRow, listRows } from './records.js'
import { images } from './tables.js'
import { all, type Clause, pairs } from './where.js'

type ListQuery = Parameters<ImageStore['listVisible']>[1]

const MEMBER = "`visibility` = 'shared' AND `id` IN (SELECT `image_id` FROM `image_members` WHERE `member_id` = ?"
const NOT_DELETED: Clause = { text: "`status` <> 'deleted'", bindings: [] }

export function createImageStore(session: Session): ImageStore {
  return {
    ...createGuarded(session, images, 'status'),
    findVisible: async (projectId, id) => await findRow(session, images, [visible(projectId), NOT_DELETED], id),
    async listVisible(projectId, query) {
      const more: Clause[] = [projectId === ANY ? ofAnyProject(query) : listed(projectId, query)]
      if (query.where?.status === undefined) more.push(NOT_DELETED)
      if (query.where?.hidden === undefined) more.push({ text: '`hidden` = 0', bindings: [] })
      if (query.properties !== undefined) more.push(pairs('`properties`', query.properties))
      for (const tag of query.tags ?? []) more.push(tagged(tag))
      return await listRows<Image>(session, images, projectId === ANY ? [] : [visible(projectId)], query, more)
    },
  }
}

/** Own, public, community, or shared with this project whatever it answered: what a GET by id shows. */
const visible = (projectId: string): Clause => ({
  text: `(\`project_id\` = ? OR \`visibility\` IN ('public', 'community') OR (${MEMBER})))`,
  bindings: [projectId, projectId],
})

/** What a list shows: community images and unanswered offers only to who asks for them. */
function listed(projectId: string, { visibility, memberStatus = 'accepted' }: ListQuery): Clause {
  const own: Clause = { text: '`project_id` = ?', bindings: [projectId] }
  const shared: Clause =
    memberStatus === 'all'
      ? { text: `(${MEMBER}))`, bindings: [projectId] }
      : { text: `(${MEMBER} AND \`status\` = ?))`, bindings: [projectId, memberStatus] }
  const isOpen = (kind: 'public' | 'community'): Clause => ({ text: '`visibility` = ?', bindings: [kind] })
  switch (visibility) {
    case 'public':
    case 'community':
      return isOpen(visibility)
    case 'private':
      return all([own, { text: "`visibility` = 'private'", bindings: [] }])
    case 'shared':
      return either([all([own, { text: "`visibility` = 'shared'", bindings: [] }]), shared])
    case 'all':
      return either([own, isOpen('public'), isOpen('community'), shared])
    default:
      return either([own, isOpen('public'), shared])
  }
}

/** What an admin sees: every project's, whoever they are shared with. */
const ofAnyProject = ({ visibility }: ListQuery): Clause =>
  visibility === undefined || visibility === 'all' ? all([]) : { text: '`visibility` = ?', bindings: [visibility] }

const either = (clauses: readonly Clause[]): Clause => ({
  text: `(${clauses.map((c) => `(${c.text})`).join(' OR ')})`,
  bindings: clauses.flatMap((c) => c.bindings),
})

/** Tags are a JSON array of strings as JSON.stringify wrote it: an element follows `[` or `,`. */
const tagged = (tag: string): Clause => ({
  text: '(INSTR(`tags`, ?) > 0 OR INSTR(`tags`, ?) > 0)',
  bindings: [`[${JSON.stringify(tag)}`, `,${JSON.stringify(tag)}`],
})
