/**
 * qemu-img, as far as we need it. Every image is named to it by a `json:` object built here: format and backing are
 * said at each level, down to `backing: null`, so nothing is probed and no header's reference is ever followed.
 */
import { constants, promises as fs } from 'node:fs'
import type { ExportFormat } from '../domain/image.js'
import type { Chain, LayerFile } from '../ports/block.js'
import { runTool } from './tool.js'

const INFO_LIMITS = { addressSpace: 1024 ** 3, cpuSeconds: 30, wallMillis: 60_000 }

export interface ImageInfo {
  readonly format: string
  readonly virtualSize: number
  readonly refersToOthers: boolean
  readonly encrypted: boolean
  readonly corrupt: boolean
  readonly snapshots: number
}

/** What qemu-img, under limits of memory and time, says of one file. */
export async function imageInfo(path: string, format: LayerFile['format']): Promise<ImageInfo> {
  const args = ['info', '--output=json', imageSpec([{ path, format }])]
  const text = await runTool({ program: 'qemu-img', args, limits: INFO_LIMITS })
  const info = JSON.parse(text) as Record<string, unknown>
  const specific = ((info['format-specific'] as Record<string, unknown> | undefined)?.['data'] ?? {}) as Record<string, unknown>
  return {
    format: String(info['format']),
    virtualSize: Number(info['virtual-size']),
    refersToOthers: info['backing-filename'] !== undefined || specific['data-file'] !== undefined || specific['extents'] !== undefined,
    encrypted: info['encrypted'] === true || specific['encrypt'] !== undefined,
    corrupt: specific['corrupt'] === true,
    snapshots: Array.isArray(info['snapshots']) ? info['snapshots'].length : 0,
  }
}

/** Names of the internal snapshots in a closed file; a file in use is refused. */
export async function imageTags(layer: NamedFile): Promise<string[]> {
  const text = await runTool({ program: 'qemu-img', args: ['info', '--output=json', imageSpec([layer])] })
  const { snapshots = [] } = JSON.parse(text) as { snapshots?: readonly { name: string }[] }
  return snapshots.map(({ name }) => name)
}

/** The tool takes a name twice: whoever calls has looked. */
export async function changeTag(layer: NamedFile, change: 'create' | 'delete' | 'apply', name: string): Promise<void> {
  const flag = { create: '-c', delete: '-d', apply: '-a' }[change]
  await runTool({ program: 'qemu-img', args: ['snapshot', '-q', flag, name, imageSpec([layer])] })
}

/** Frees what is counted and not used; with that right, the marks of what is used once only are set anew. */
export async function mendImage(layer: NamedFile): Promise<void> {
  await runTool({ program: 'qemu-img', args: ['check', '-q', '-r', 'leaks', imageSpec([layer])] })
}

/** The header's backing is not opened: an overlay must not be shorter than what it stands on before it is grown. */
export async function resizeImage(layer: LayerFile, bytes: number): Promise<void> {
  await runTool({ program: 'qemu-img', args: ['resize', '-q', imageSpec([layer]), String(bytes)] })
}

/** Metadata only (`-u`): neither the old nor the new backing file is opened. */
export async function rewriteBacking(layer: LayerFile, backing: { name: string; format: string } | null): Promise<void> {
  const target = backing === null ? ['-b', ''] : ['-F', backing.format, '-b', backing.name]
  await runTool({ program: 'qemu-img', args: ['rebase', '-q', '-u', '-f', layer.format, ...target, layer.path] })
}

/** QEMU's names where they are others. A VHD is as large as its disk only if told so: else its geometry rounds it up. */
const OUTPUT: Partial<Record<ExportFormat, readonly string[]>> = {
  vhd: ['-O', 'vpc', '-o', 'force_size=on'],
  ploop: ['-O', 'parallels'],
}

/**
 * Copies what the chain's top shows into the existing file `to`. The source goes through the page cache, where a
 * running guest's recent writes are; the target past it, so that syncing it afterwards costs nothing.
 */
export async function convertImage(chain: Chain, to: string, options: ConvertOptions & { readonly format: ExportFormat }): Promise<void> {
  const cache = (await takesDirectWrites(to)) ? 'none' : 'writeback'
  const output = OUTPUT[options.format] ?? ['-O', options.format]
  await convert([...output, '-W', '-m', '8', '-t', cache, imageSpec(chain), to], options)
}

/**
 * Copies what a tag in the first of the source's layers holds into the target, an empty overlay on the second: what the
 * tag's view takes from below is not copied, since the target takes it from there, too. That it does is all that is said
 * with `-B`; where to find it the target says for itself.
 */
export async function convertTag(source: Chain, tag: string, target: Chain, options: ConvertOptions): Promise<void> {
  const cache = (await takesDirectWrites(target[0]?.path ?? '')) ? 'none' : 'writeback'
  const below = target[1] === undefined ? [] : ['-F', target[1].format, '-B', target[1].path]
  const args = ['-n', '-O', 'qcow2', ...below, '-l', `snapshot.name=${tag}`, '-W', '-m', '8', '-t', cache]
  await convert([...args, imageSpec(source), imageSpec(target)], options)
}

interface ConvertOptions {
  readonly signal: AbortSignal
  readonly onProgress?: (fraction: number) => void
}

async function convert(args: readonly string[], { signal, onProgress }: ConvertOptions): Promise<void> {
  await runTool({
    program: 'qemu-img',
    args: ['convert', '-p', ...args],
    signal,
    onOutput: (text) => {
      const percent = [...text.matchAll(/\((\d+\.\d+)\/100%\)/g)].at(-1)?.[1]
      if (percent !== undefined) onProgress?.(Number(percent) / 100)
    },
  })
}

type NamedFile = Pick<LayerFile, 'path' | 'format'>

export function imageSpec(chain: readonly NamedFile[]): string {
  if (chain.length === 0) throw new RangeError('a chain has at least one layer')
  const nested = chain.reduceRight<object | null>((backing, layer) => {
    const node = { driver: layer.format, file: { driver: 'file', filename: layer.path } }
    return layer.format === 'raw' ? node : { ...node, backing }
  }, null)
  return `json:${JSON.stringify(nested)}`
}

async function takesDirectWrites(path: string): Promise<boolean> {
  try {
    await (await fs.open(path, constants.O_RDWR | constants.O_DIRECT)).close()
    return true
  } catch {
    return false
  }
}
