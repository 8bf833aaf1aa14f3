/** What projects may use and hand on: private volume types and defaults, transfers, key pairs; and a server's place in its request. */
import type { TableShape } from '../dialect.js'

export const catalogue: readonly TableShape[] = [
  {
    name: 'volume_type_access',
    columns: ['id ID NOT NULL', 'volume_type_id ID NOT NULL', 'project_id ID NOT NULL', 'created_at INT NOT NULL'],
    indexes: ['unique id', 'unique volume_type_id,project_id', 'index project_id'],
  },
  {
    // The id is the project's.
    name: 'default_volume_types',
    columns: ['id ID NOT NULL', 'volume_type_id ID NOT NULL', 'created_at INT NOT NULL'],
    indexes: ['unique id', 'index volume_type_id'],
  },
  {
    name: 'volume_transfers',
    columns: [
      'id ID NOT NULL',
      'project_id ID NOT NULL',
      'volume_id ID NOT NULL',
      'name TEXT',
      'salt WORD NOT NULL',
      'key_hash WORD NOT NULL',
      'no_snapshots BOOL NOT NULL',
      'created_at INT NOT NULL',
    ],
    indexes: ['unique id', 'index project_id,seq', 'index volume_id'],
  },
  {
    // They belong to a user, whatever project that user works in.
    name: 'keypairs',
    columns: [
      'id ID NOT NULL',
      'user_id ID NOT NULL',
      'name WORD NOT NULL',
      'type WORD NOT NULL',
      'public_key TEXT NOT NULL',
      'fingerprint WORD NOT NULL',
      'created_at INT NOT NULL',
    ],
    indexes: ['unique id', 'unique user_id,name'],
  },
]

export const launchIndex = {
  sqlite: 'ALTER TABLE `servers` ADD COLUMN `launch_index` INTEGER NOT NULL DEFAULT 0',
  mysql: 'ALTER TABLE `servers` ADD COLUMN `launch_index` BIGINT NOT NULL DEFAULT 0',
} as const
