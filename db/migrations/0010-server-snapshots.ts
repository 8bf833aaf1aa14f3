/** Snapshots of whole servers, saved memory, and how long chains may get. */
import type { TableShape } from '../dialect.js'

/** Of the first day, and never written to: it comes back below with what it needs. */
const emptied = 'DROP TABLE IF EXISTS `server_snapshots`'
export const firstServerSnapshots = { sqlite: emptied, mysql: emptied } as const

export const serverSnapshots: readonly TableShape[] = [
  {
    name: 'server_snapshots',
    columns: [
      'id ID NOT NULL',
      'project_id ID NOT NULL',
      'user_id ID NOT NULL',
      'server_id ID NOT NULL',
      'name WORD NOT NULL',
      'description TEXT',
      'status WORD NOT NULL',
      'kind WORD NOT NULL',
      'with_memory BOOL NOT NULL',
      'parent_id ID',
      'power_state WORD',
      'metadata JSON NOT NULL',
      'report JSON',
      'protected BOOL NOT NULL',
      'expires_at INT',
      'created_at INT NOT NULL',
      'updated_at INT',
    ],
    indexes: ['unique id', 'unique server_id,name', 'index project_id,seq', 'index parent_id', 'index expires_at'],
  },
  {
    name: 'disk_snapshots',
    columns: [
      'id ID NOT NULL',
      'project_id ID NOT NULL',
      'server_snapshot_id ID NOT NULL',
      'disk_id ID NOT NULL',
      'volume_id ID',
      'device WORD NOT NULL',
      'layer_id ID',
      'tag WORD',
      'virtual_size INT NOT NULL',
      'created_at INT NOT NULL',
    ],
    indexes: ['unique id', 'index server_snapshot_id', 'index disk_id', 'index layer_id', 'index project_id,seq'],
  },
  {
    name: 'memory_states',
    columns: [
      'id ID NOT NULL',
      'project_id ID NOT NULL',
      'host_id ID NOT NULL',
      'server_id ID NOT NULL',
      'server_snapshot_id ID',
      'format WORD NOT NULL',
      'pool_id ID NOT NULL',
      'file_name WORD NOT NULL',
      'status WORD NOT NULL',
      'size INT',
      'mac WORD',
      'key_id WORD',
      'binding JSON',
      'resume_at_start BOOL NOT NULL',
      'was_running BOOL NOT NULL',
      'created_at INT NOT NULL',
    ],
    indexes: ['unique id', 'index server_id', 'index server_snapshot_id', 'index project_id,seq', 'index host_id'],
  },
  {
    // The id is the project's or the server's.
    name: 'chain_policies',
    columns: [
      'id ID NOT NULL',
      'project_id ID NOT NULL',
      'soft_depth INT NOT NULL',
      'hard_depth INT NOT NULL',
      'bytes_per_second INT NOT NULL',
      'created_at INT NOT NULL',
    ],
    indexes: ['unique id', 'index project_id'],
  },
]

export const currentSnapshot = {
  sqlite: 'ALTER TABLE `servers` ADD COLUMN `current_snapshot_id` TEXT',
  mysql: 'ALTER TABLE `servers` ADD COLUMN `current_snapshot_id` VARCHAR(255)',
} as const

export const autostart = {
  sqlite: 'ALTER TABLE `servers` ADD COLUMN `autostart` INTEGER NOT NULL DEFAULT 1',
  mysql: 'ALTER TABLE `servers` ADD COLUMN `autostart` SMALLINT NOT NULL DEFAULT 1',
} as const
