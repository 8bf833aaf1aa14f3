/** Layers: a forest by `parent_id`, walked in SQL; and who pins one. */
import type { ChainLink } from '../../src/domain/chain-rules.js'
import type { LayerPin, LayerStore } from '../../src/ports/stores.js'
import { asText, marks, type Session } from '../session.js'
import { createGuarded } from './records.js'
import { layers } from './tables.js'

const mine = layers.fields.map((f) => `l.${f.column}`).join(', ')

/** UNION, not UNION ALL, over bare ids: a cycle, which must not be, ends the walk instead of filling the disk. */
const CHAIN = `WITH RECURSIVE walk (id) AS (SELECT id FROM layers WHERE id = ?
  UNION SELECT l.parent_id FROM walk w JOIN layers l ON l.id = w.id WHERE l.parent_id IS NOT NULL)
  SELECT ${mine} FROM walk w JOIN layers l ON l.id = w.id`

const DESCENDANTS = `WITH RECURSIVE walk (id) AS (SELECT id FROM layers WHERE parent_id = ?
  UNION SELECT l.id FROM walk w JOIN layers l ON l.parent_id = w.id)
  SELECT ${mine} FROM walk w JOIN layers l ON l.id = w.id ORDER BY l.seq`

const PINS = `SELECT 'snapshot' AS kind, id FROM snapshots WHERE layer_id = ? AND status <> 'deleted'
  UNION SELECT 'disk_snapshot', id FROM disk_snapshots WHERE layer_id = ?
  UNION SELECT 'image', id FROM images WHERE layer_id = ? AND status <> 'deleted'
  UNION SELECT 'image', id FROM images WHERE source_layer_id = ? AND status <> 'deleted'
  UNION SELECT 'disk', id FROM disks WHERE top_layer_id = ?
  UNION SELECT 'server', id FROM servers WHERE kernel_layer_id = ? AND vm_state <> 'deleted'
  UNION SELECT 'server', id FROM servers WHERE ramdisk_layer_id = ? AND vm_state <> 'deleted'
  ORDER BY kind, id`

/** What a pin is, once more, as conditions on a layer `l`. */
const PINNED_BY = [
  "SELECT 1 FROM snapshots p WHERE p.layer_id = l.id AND p.status <> 'deleted'",
  'SELECT 1 FROM disk_snapshots p WHERE p.layer_id = l.id',
  "SELECT 1 FROM images p WHERE p.layer_id = l.id AND p.status <> 'deleted'",
  "SELECT 1 FROM images p WHERE p.source_layer_id = l.id AND p.status <> 'deleted'",
  'SELECT 1 FROM disks p WHERE p.top_layer_id = l.id',
  "SELECT 1 FROM servers p WHERE p.kernel_layer_id = l.id AND p.vm_state <> 'deleted'",
  "SELECT 1 FROM servers p WHERE p.ramdisk_layer_id = l.id AND p.vm_state <> 'deleted'",
]
const UNPINNED = PINNED_BY.map((pin) => `NOT EXISTS (${pin})`).join(' AND ')

const TAGGED = `SELECT d.layer_id AS layer_id, s.name AS name FROM disk_snapshots d JOIN server_snapshots s ON s.id = d.server_snapshot_id
  WHERE d.tag IS NOT NULL AND d.layer_id IN`

export function createLayerStore(session: Session): LayerStore {
  return {
    /** As many questions as layers, twice: for those who change a chain or show it. */
    async links(layerId) {
      const chain = await this.chain(layerId)
      if (chain.length === 0) return []
      const ids = chain.map((layer) => layer.id)
      const tags = await session.rows(`${TAGGED} (${marks(ids.length)}) ORDER BY d.seq`, ids)
      const links: ChainLink[] = []
      for (const layer of chain) {
        const own = tags.filter((row) => asText(row['layer_id']) === layer.id).map((row) => asText(row['name']))
        links.push({ layer, pins: await this.pins(layer.id), children: await this.children(layer.id), tags: own })
      }
      return links
    },
    ...createGuarded(session, layers, 'state'),
    async chain(layerId) {
      const found = (await session.rows(CHAIN, [layerId])).map((row) => layers.fromRow(row))
      // The engines promise no order for the walk: follow the parents.
      const byId = new Map(found.map((layer) => [layer.id, layer]))
      const chain = []
      for (let layer = byId.get(layerId); layer !== undefined; layer = byId.get(layer.parentId ?? '')) {
        byId.delete(layer.id)
        chain.push(layer)
      }
      return chain
    },
    async children(layerId) {
      const rows = await session.rows(`SELECT ${layers.columns} FROM layers WHERE parent_id = ? ORDER BY seq`, [layerId])
      return rows.map((row) => layers.fromRow(row))
    },
    descendants: async (layerId) => (await session.rows(DESCENDANTS, [layerId])).map((row) => layers.fromRow(row)),
    async unneeded(poolId) {
      const rows = await session.rows(
        `SELECT ${mine} FROM layers l WHERE l.pool_id = ? AND l.state IN ('sealed', 'merging') AND ${UNPINNED} ORDER BY l.seq`,
        [poolId],
      )
      return rows.map((row) => layers.fromRow(row))
    },
    async pins(layerId) {
      const rows = await session.rows(
        PINS,
        PINNED_BY.map(() => layerId),
      )
      return rows.map((row) => ({ kind: asText(row['kind']) as LayerPin, id: asText(row['id']) }))
    },
  }
}
