import type { TableShape } from '../dialect.js'

export const hosts: readonly TableShape[] = [
  {
    name: 'hosts',
    columns: [
      'id ID NOT NULL',
      'state WORD NOT NULL',
      'address TEXT NOT NULL',
      'boot_id WORD NOT NULL',
      'capabilities JSON NOT NULL',
      'heartbeat_at INT NOT NULL',
      'created_at INT NOT NULL',
    ],
    indexes: ['unique id'],
  },
  {
    name: 'workers',
    columns: [
      'id ID NOT NULL',
      'host_id ID NOT NULL',
      'pid INT NOT NULL',
      'start_time INT NOT NULL',
      'heartbeat_at INT NOT NULL',
      'created_at INT NOT NULL',
    ],
    indexes: ['unique id', 'index host_id'],
  },
  {
    name: 'pools',
    columns: [
      'id ID NOT NULL',
      'host_id ID NOT NULL',
      'name WORD NOT NULL',
      'path TEXT NOT NULL',
      'is_default BOOL NOT NULL',
      'created_at INT NOT NULL',
    ],
    indexes: ['unique id', 'unique host_id,name'],
  },
  // Which units of work were committed: read only when the answer to a COMMIT was lost (transaction.ts).
  { name: 'transactions', columns: ['id ID NOT NULL', 'created_at INT NOT NULL'], indexes: ['unique id', 'index created_at'] },
]
