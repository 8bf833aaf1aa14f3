/**
 * A QEMU without an operating system, and disks whose every byte we know. Files are made, written and read
 * with qemu-img and qemu-io, never with our own code: harness and engine must not share a mistake.
 */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { layerFileName } from '../../src/domain/names.js'
import type { Chain, LayerFile } from '../../src/ports/block.js'
import type { GuestDisk, GuestSpec, Hypervisor } from '../../src/ports/hypervisor.js'
import { createHypervisor } from '../../src/qemu/hypervisor.js'

const run = promisify(execFile)

export const MIB = 1024 * 1024

/** `[offset, length, byte]`, the first two in MiB. */
export type Pattern = readonly [offset: number, length: number, byte: number]

/** Short, for socket paths. */
export const makeStateDir = (): Promise<string> => mkdtemp('/tmp/sq-')

/** A qcow2 file on `backing`, or blank. */
export async function makeLayer(dir: string, sizeMib: number, backing?: LayerFile): Promise<LayerFile> {
  const layerId = randomUUID()
  const layer: LayerFile = { layerId, path: join(dir, layerFileName(layerId, 'qcow2')), format: 'qcow2', virtualSize: sizeMib * MIB }
  const beside = backing !== undefined && dirname(backing.path) === dir
  const on = backing === undefined ? [] : ['-F', backing.format, '-b', beside ? basename(backing.path) : backing.path]
  await run('qemu-img', ['create', '-q', '-u', '-f', 'qcow2', ...on, layer.path, String(layer.virtualSize)])
  return layer
}

/** A chain of `patterns.length` layers, given base first and written through the overlays above it; returned top first. */
export async function makeChain(dir: string, sizeMib: number, patterns: readonly (readonly Pattern[])[]): Promise<Chain> {
  const chain: LayerFile[] = []
  for (const written of patterns) {
    const layer = await makeLayer(dir, sizeMib, chain[0])
    await writePatterns(layer.path, written)
    chain.unshift(layer)
  }
  return chain
}

/** Into a closed image. */
export async function writePatterns(path: string, patterns: readonly Pattern[]): Promise<void> {
  if (patterns.length === 0) return
  const commands = patterns.flatMap(([offset, length, byte]) => ['-c', `write -P ${byte} ${offset}M ${length}M`])
  await run('qemu-io', ['-f', 'qcow2', ...commands, path])
}

/** What a closed image reads as, or an open one that nobody writes: the patterns that do not match. */
export async function mismatches(path: string, patterns: readonly Pattern[]): Promise<Pattern[]> {
  const wrong: Pattern[] = []
  for (const pattern of patterns) {
    const [offset, length, byte] = pattern
    // Exit status 1 as well as the sentence on a mismatch; unreadable images reject.
    const read = run('qemu-io', ['-r', '-U', '-f', 'qcow2', '-c', `read -P ${byte} ${offset}M ${length}M`, path])
    const said = await read.catch((error: { stdout?: string; stderr?: string }) => {
      if (error.stdout?.includes('Pattern verification failed')) return { stdout: error.stdout }
      throw error
    })
    if (said.stdout.includes('Pattern verification failed')) wrong.push(pattern)
  }
  return wrong
}

/** The same of what a tag in a closed image holds. */
export async function taggedMismatches(path: string, tag: string, patterns: readonly Pattern[]): Promise<Pattern[]> {
  const flat = `${path}.of-${tag}`
  await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'qcow2', '-l', `snapshot.name=${tag}`, path, flat])
  const wrong = await mismatches(flat, patterns)
  await rm(flat)
  return wrong
}

export interface Header {
  readonly 'virtual-size': number
  readonly 'backing-filename'?: string
  readonly 'backing-filename-format'?: string
}

export async function header(path: string): Promise<Header> {
  const { stdout } = await run('qemu-img', ['info', '-U', '-f', 'qcow2', '--output=json', path])
  return JSON.parse(stdout) as Header
}

/** Throws when `qemu-img check` finds a fault in a closed image. */
export async function checkImage(path: string): Promise<void> {
  await run('qemu-img', ['check', '-q', '-f', 'qcow2', path])
}

export const diskOf = (chain: Chain): GuestDisk => {
  const diskId = randomUUID()
  return { diskId, serial: diskId.slice(0, 20), chain }
}

/** Without an operating system: it stays stopped until resumed, and then the firmware finds nothing to boot. */
export const guestSpec = (disks: readonly GuestDisk[]): GuestSpec => ({ serverId: randomUUID(), vcpus: 1, ramMib: 32, disks })

export const emulated = (stateDir: string): Hypervisor => createHypervisor({ stateDir, accel: async () => 'tcg' })

/** Ends every guest below `stateDir`, then removes it. */
export async function removeStateDir(stateDir: string): Promise<void> {
  const hypervisor = emulated(stateDir)
  for (const serverId of await hypervisor.running()) await hypervisor.kill(serverId)
  await rm(stateDir, { recursive: true, force: true })
}
