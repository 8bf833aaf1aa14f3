/** Servers: two status fields that change together, as Nova's expected_task_state. */
import type { ServerStore } from '../../src/ports/stores.js'
import type { Session } from '../session.js'
import { createRecords, patchRow } from './records.js'
import { servers } from './tables.js'
import { type Clause, conditions } from './where.js'

export function createServerStore(session: Session): ServerStore {
  return {
    ...createRecords(session, servers),
    async transition(id, expected, patch) {
      const clauses: Clause[] = [{ text: '`id` = ?', bindings: [id] }]
      if (expected.vmState !== undefined) clauses.push(...conditions(servers, { vmState: { in: expected.vmState } }))
      if (expected.taskState !== undefined) clauses.push(taskIn(expected.taskState))
      return (await patchRow(session, servers, patch, clauses)) > 0
    },
  }
}

/** `null` (no task) is one of the values that may be expected, which SQL's IN would never match. */
function taskIn(tasks: readonly (string | null)[]): Clause {
  const named = conditions(servers, { taskState: { in: tasks.filter((t) => t !== null) } })[0] as Clause
  return tasks.includes(null) ? { text: `(${named.text} OR \`task_state\` IS NULL)`, bindings: named.bindings } : named
}
