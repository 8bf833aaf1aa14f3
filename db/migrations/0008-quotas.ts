import type { TableShape } from '../dialect.js'

export const quotas: readonly TableShape[] = [
  {
    // project_id '' holds the defaults.
    name: 'quota_limits',
    columns: ['project_id ID NOT NULL', 'resource WORD NOT NULL', 'amount INT NOT NULL'],
    indexes: ['unique project_id,resource'],
  },
  {
    name: 'quota_usages',
    columns: ['project_id ID NOT NULL', 'resource WORD NOT NULL', 'used INT NOT NULL'],
    indexes: ['unique project_id,resource'],
  },
  {
    name: 'quota_reservations',
    columns: ['object_id ID NOT NULL', 'project_id ID NOT NULL', 'resource WORD NOT NULL', 'amount INT NOT NULL'],
    indexes: ['unique object_id,project_id,resource'],
  },
]
