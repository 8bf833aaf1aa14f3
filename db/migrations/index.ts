/**
 * Every migration there ever was, in order. Never change or reorder one that was released: append. One table or one
 * statement each (MariaDB cannot roll DDL back), and safe to repeat.
 *
 * Every table begins with `seq`, given by the engine within the accepting transaction: order of acceptance, and in
 * InnoDB the order on disk, so that any index on (a, b) is one on (a, b, seq) too.
 */
import type { TableShape } from '../dialect.js'
import { hosts } from './0001-hosts.js'
import { identity } from './0002-identity.js'
import { compute } from './0003-compute.js'
import { storage } from './0004-storage.js'
import { images } from './0005-images.js'
import { jobs } from './0006-jobs.js'
import { ledger } from './0007-ledger.js'
import { quotas } from './0008-quotas.js'
import { catalogue, launchIndex } from './0009-catalogue.js'
import { autostart, currentSnapshot, firstServerSnapshots, serverSnapshots } from './0010-server-snapshots.js'

export type Migration =
  | { readonly name: string; readonly table: TableShape }
  | { readonly name: string; readonly sql: { readonly sqlite: string; readonly mysql: string } }

const tables = (prefix: string, shapes: readonly TableShape[]): Migration[] =>
  shapes.map((table) => ({ name: `${prefix}-${table.name}`, table }))

export const MIGRATIONS: readonly Migration[] = [
  ...tables('0001', hosts),
  ...tables('0002', identity),
  ...tables('0003', compute),
  ...tables('0004', storage),
  ...tables('0005', images),
  ...tables('0006', jobs),
  ...tables('0007', ledger),
  ...tables('0008', quotas),
  ...tables('0009', catalogue),
  { name: '0009-launch_index', sql: launchIndex },
  { name: '0010-first_server_snapshots', sql: firstServerSnapshots },
  ...tables('0010', serverSnapshots),
  { name: '0010-current_snapshot', sql: currentSnapshot },
  { name: '0010-autostart', sql: autostart },
]
