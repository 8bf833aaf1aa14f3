/** The judge of server snapshots: the tree, the tags inside the files, and what each part of one must read as. */
import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Layer } from '../../src/domain/disk.js'
import type { MemoryState } from '../../src/domain/memory-state.js'
import type { SnapshotKind } from '../../src/domain/server-snapshot.js'
import { ANY } from '../../src/ports/stores.js'
import { ANYTHING, type Content } from './images.js'
import { DISK_MIB, type World } from './world.js'

const run = promisify(execFile)

/** With all guests ended. `mayLeaveTags`: the pool was full, and none can be given up where there is no room to write that down. */
export async function judgeServerSnapshots(world: World, layers: readonly Layer[], mayLeaveTags: boolean): Promise<string[]> {
  const wrong: string[] = []
  const { read } = world.db
  const mine = { projectId: { is: world.projectId } }
  const snapshots = await read.serverSnapshots.list(ANY, { where: mine })
  const parts = await read.diskSnapshots.list(ANY, { where: mine })
  const isThere = (id: string | null, serverId: string): boolean =>
    id === null || snapshots.some((one) => one.id === id && one.serverId === serverId && one.status === 'available')

  for (const { id, status, parentId, serverId } of snapshots) {
    if (status !== 'available' && status !== 'error') wrong.push(`server snapshot ${id} is left ${status}`)
    if (!isThere(parentId, serverId)) wrong.push(`server snapshot ${id} grew from ${parentId}, which is not there`)
  }
  for (const { id, currentSnapshotId, vmState } of await read.servers.list(ANY, { where: mine })) {
    if (!isThere(currentSnapshotId, id)) wrong.push(`server ${id} grew from ${currentSnapshotId}, which is not there`)
    const left = vmState === 'deleted' ? snapshots.filter((one) => one.serverId === id) : []
    for (const one of left) wrong.push(`server snapshot ${one.id} is left of a server that is no more`)
  }

  const memories = await read.memoryStates.list(ANY, { where: mine })
  for (const { id, withMemory, status, kind } of snapshots) {
    const memory = memories.find((one) => one.serverSnapshotId === id)
    if (withMemory && status === 'available' && memory?.status !== 'saved') wrong.push(`the memory of server snapshot ${id} is not kept`)
    if (status === 'error' && memory !== undefined) wrong.push(`server snapshot ${id} failed, and its memory is kept`)
    if (memory !== undefined) wrong.push(...(await holdsMemory(world, memory, kind)).map((one) => `memory ${memory.id}: ${one}`))
  }

  for (const part of parts) {
    const snapshot = snapshots.find((one) => one.id === part.serverSnapshotId)
    const layer = layers.find((one) => one.id === part.layerId)
    if (snapshot === undefined) wrong.push(`part ${part.id} belongs to no server snapshot`)
    if (snapshot?.status !== 'available') continue
    if ((snapshot.kind === 'internal') !== (part.tag !== null)) wrong.push(`part ${part.id} has ${part.tag} for a tag`)
    if (layer === undefined) wrong.push(`part ${part.id} has no layer`)
    else wrong.push(...(await reads(world, layer, part.tag, world.expected.get(part.id))).map((one) => `part ${part.id}: ${one}`))
  }

  for (const layer of layers.filter(({ format }) => format === 'qcow2')) {
    const promised = parts.flatMap((part) => (part.layerId === layer.id && part.tag !== null ? [part.tag] : []))
    const there = await tagsOf(join(world.pool, layer.fileName))
    if (new Set(there).size !== there.length) wrong.push(`layer ${layer.id} has a tag twice`)
    for (const tag of promised) if (!there.includes(tag)) wrong.push(`layer ${layer.id} has lost tag ${tag}`)
    for (const tag of there)
      if (!promised.includes(tag) && !world.deadTags.has(tag) && !mayLeaveTags)
        wrong.push(`tag ${tag} in layer ${layer.id} belongs to nobody`)
  }
  return wrong
}

/** A tag with a machine's state: in the file of its own, or in just one of the disks. */
async function holdsMemory(world: World, memory: MemoryState, kind: SnapshotKind): Promise<string[]> {
  if (memory.binding === null) return ['it is bound to nothing']
  if ((memory.format === 'tag') !== (kind === 'internal')) return [`it is a ${memory.format}`]
  if (memory.format === 'stream') return []
  const inside = await world.db.read.diskSnapshots.list(ANY, { where: { serverSnapshotId: { is: memory.serverSnapshotId } } })
  const layerIds = inside.flatMap(({ layerId }) => layerId ?? [])
  const layers = await world.db.read.layers.list(ANY, { where: { id: { in: layerIds } } })
  const files = memory.format === 'vmstate' ? [memory.fileName] : layers.map((layer) => layer.fileName)
  const sizes = await Promise.all(files.map((name) => stateSizes(join(world.pool, name))))
  const states = sizes.flat().filter((size) => size > 0)
  return states.length === 1 ? [] : [`there are ${states.length} machine states`]
}

async function stateSizes(path: string): Promise<number[]> {
  const { stdout } = await run('qemu-img', ['info', '-f', 'qcow2', '--output=json', path])
  return ((JSON.parse(stdout).snapshots ?? []) as { 'vm-state-size': number }[]).map((one) => one['vm-state-size'])
}

async function tagsOf(path: string): Promise<string[]> {
  const { stdout } = await run('qemu-img', ['info', '-f', 'qcow2', '--output=json', path])
  return ((JSON.parse(stdout).snapshots ?? []) as { name: string }[]).map(({ name }) => name)
}

async function reads(world: World, layer: Layer, tag: string | null, content: Content | undefined): Promise<string[]> {
  if (content === undefined) return ['nobody knows what it must read as']
  const path = join(world.pool, layer.fileName)
  const flat = join(world.dir, 'flat')
  const from = tag === null ? [] : ['-l', `snapshot.name=${tag}`]
  try {
    await run('qemu-img', ['convert', '-f', layer.format, '-O', 'raw', ...from, path, flat])
    const known = Array.from({ length: DISK_MIB }, (_, block) => block).filter((block) => content.get(block) !== ANYTHING)
    const commands = known.flatMap((block) => ['-c', `read -P ${content.get(block) ?? 0} ${block}M 1M`])
    const { stdout } = await run('qemu-io', ['-r', '-f', 'raw', ...commands, flat])
    return /verification failed|error/i.test(stdout) ? [stdout] : []
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    return [`${stdout}${stderr}`]
  } finally {
    await rm(flat, { force: true })
  }
}
