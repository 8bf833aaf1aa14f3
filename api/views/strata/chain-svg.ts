/** A disk's chain as a picture: the layer that is written to at the top, each on what it reads from, and beside each who keeps it. */
import type { Pin, ShownChain, ShownLayer } from '../../../src/services/strata/chain-view.js'
import { bar, box, path, picture, size, text } from './svg.js'

const MARGIN = 24
const HEAD = 56
const WIDTH = 300
const SIDE = 340
const GAP = 30
/** More of them would make a picture of names. */
const MOST = 6

export function chainSvg({ disk, volume, layers, policy }: ShownChain): string {
  const most = Math.max(1, ...layers.map(({ allocated }) => allocated ?? 0))
  const parts: string[] = []
  let y = HEAD
  for (const [index, layer] of layers.entries()) {
    const notes = notesOf(layer, index === 0)
    const height = Math.max(74, 26 + notes.length * 17)
    parts.push(drawn(layer, { y, height, most, isTop: index === 0, notes }))
    if (index < layers.length - 1) parts.push(arrow(y + height))
    y += height + GAP
  }
  const name = volume?.name ?? volume?.id ?? `disk ${disk.id}`
  const depth = `${layers.length} ${layers.length === 1 ? 'layer' : 'layers'}, shortened beyond ${policy.softDepth}, at most ${policy.hardDepth}`
  const width = MARGIN + WIDTH + 20 + SIDE + MARGIN
  return picture(`Layers of ${name}`, width, Math.max(y - GAP, HEAD) + MARGIN, [
    text({ x: MARGIN, y: 26, text: `Layers of ${name}`, size: 15, bold: true, room: width - 2 * MARGIN }),
    text({ x: MARGIN, y: 44, text: depth, look: 'faint', room: width - 2 * MARGIN }),
    ...parts,
  ])
}

interface Place {
  readonly y: number
  readonly height: number
  readonly most: number
  readonly isTop: boolean
  readonly notes: readonly string[]
}

function drawn({ layer, allocated, pool, open }: ShownLayer, { y, height, most, isTop, notes }: Place): string {
  const room = WIDTH - 24
  const state = [layer.format, layer.origin === 'image' ? 'of an image' : layer.state, `pool ${pool}`, ...(open ? ['open'] : [])].join(
    ' · ',
  )
  const taken = allocated === null ? 'its file is missing' : `${size(allocated)} of ${size(layer.virtualSize)}`
  return [
    box(MARGIN, y, WIDTH, height, isTop ? 'present' : 'box'),
    text({ x: MARGIN + 12, y: y + 20, text: layer.id, size: 11, bold: true, room }),
    text({ x: MARGIN + 12, y: y + 37, text: state, look: 'faint', size: 11, room }),
    text({ x: MARGIN + 12, y: y + 53, text: taken, room }),
    bar(MARGIN + 12, y + 60, (room * (allocated ?? 0)) / most),
    ...notes.map((note, index) =>
      text({ x: MARGIN + WIDTH + 20, y: y + 20 + index * 17, text: note, look: index === 0 && isTop ? 'accent' : 'text', room: SIDE }),
    ),
  ].join('')
}

function notesOf({ pinnedBy, children, internalSnapshots }: ShownLayer, isTop: boolean): string[] {
  const kept = pinnedBy.slice(0, MOST).map(pinText)
  const more = pinnedBy.length - kept.length
  const beside = children - (isTop ? 0 : 1)
  return [
    ...(isTop ? ['the present writes here'] : []),
    ...kept,
    ...(more > 0 ? [`and ${more} more`] : []),
    ...(kept.length === 0 ? ['nobody keeps it'] : []),
    ...(beside > 0 ? [`${beside} other ${beside === 1 ? 'layer stands' : 'layers stand'} on it`] : []),
    ...(internalSnapshots.length > 0 ? [`${internalSnapshots.length} internal: ${internalSnapshots.join(', ')}`] : []),
  ]
}

const pinText = ({ kind, id, name }: Pin): string =>
  id === null ? `${words(kind)} of another project` : `${words(kind)} ${name === null ? id : `"${name}"`}`
const words = (kind: Pin['kind']): string => kind.replaceAll('_', ' ')

function arrow(y: number): string {
  const x = MARGIN + WIDTH / 2
  const end = y + GAP - 2
  return path(`M${x} ${y}V${end}M${x - 5} ${end - 7}L${x} ${end}L${x + 5} ${end - 7}`)
}
