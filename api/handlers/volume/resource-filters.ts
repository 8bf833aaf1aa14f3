import type { Handler } from '../../contract.js'
import { filterNames } from './list-query.js'
import { messageRules, snapshotRules, typeRules, volumeRules } from './list-rules.js'

/** What members may filter each list by at the caller's version: made of the rules the lists are read by. */
export const listResourceFilters: Handler<'listResourceFilters'> = async ({ query, version, reply }) => {
  const all: Readonly<Record<string, string[]>> = {
    volume: filterNames(volumeRules, version),
    snapshot: filterNames(snapshotRules, version),
    message: filterNames(messageRules, version),
    pool: version.atLeast(35) ? ['name', 'volume_type'] : ['name'],
    volume_type: ['is_public', ...filterNames(typeRules, version)],
  }
  const asked = Object.entries(all).filter(([name]) => query.resource === undefined || query.resource === name)
  return reply(200, { resource_filters: asked.map(([resource, filters]) => ({ resource, filters })) })
}
