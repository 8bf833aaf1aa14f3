/**
 * What one image holds itself, by its map: qemu-img reads the format's tables, never the data. The backing is said to be
 * none, so what is not there is told apart from what says zeroes. Also while a guest writes it; then it is what the guest
 * flushed last that is seen.
 */
import type { Extent } from '../domain/holdings.js'
import type { LayerFile } from '../ports/block.js'
import { imageSpec } from './image-tool.js'
import { runTool } from './tool.js'

/** What our overlays are made of, and so what is copied at once. */
const CLUSTER = 65536
const LIMITS = { addressSpace: 2 * 1024 ** 3, cpuSeconds: 60, wallMillis: 120_000 }

interface Told {
  readonly start: number
  readonly length: number
  readonly present: boolean
  readonly zero: boolean
  readonly data: boolean
}

export async function mapImage({ path, format }: Pick<LayerFile, 'path' | 'format'>): Promise<Extent[]> {
  const extents: Extent[] = []
  let rest = ''
  // One extent a line. A large and scattered image has very many: each is read as it comes.
  const read = (line: string): void => {
    const object = /\{.*\}/.exec(line)?.[0]
    const told = object === undefined ? undefined : (JSON.parse(object) as Told)
    if (told?.data) add(extents, told, 'd')
    // Below a raw file is nothing that its zeroes could hide.
    else if (told?.present && told.zero && format === 'qcow2') add(extents, told, 'z')
  }
  await runTool({
    program: 'qemu-img',
    args: ['map', '-U', '--output=json', imageSpec([{ path, format }])],
    limits: LIMITS,
    onOutput: (text) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) read(line)
    },
  })
  read(rest)
  return extents
}

/** In whole clusters: a raw file's holes are finer, and a cluster with some data in it is copied whole. */
function add(extents: Extent[], { start, length }: Told, hold: Extent['hold']): void {
  const last = extents.at(-1)
  const end = last === undefined ? 0 : last.start + last.length
  const from = Math.max(Math.floor(start / CLUSTER) * CLUSTER, end)
  const to = Math.ceil((start + length) / CLUSTER) * CLUSTER
  if (to <= from) return
  if (last?.hold === hold && end === from) extents[extents.length - 1] = { ...last, length: to - last.start }
  else extents.push({ start: from, length: to - from, hold })
}
