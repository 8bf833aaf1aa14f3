/**
 * The judge. It opens disks and monitors itself and imports nothing of the engine but names. After any fault: tables =
 * live graph = headers on disk, images sound, contents as promised, nothing left over, quotas as counted.
 */
import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { deviceName, formatNode, shortId } from '../../src/domain/names.js'
import { ANY } from '../../src/ports/stores.js'
import { ANYTHING, type Content } from './images.js'
import { guests, openMonitor } from './monitor.js'
import { judgeServerSnapshots } from './oracle-server-snapshots.js'
import { daemons, end } from './ports.js'
import type { World } from './world.js'
import { DISK_MIB } from './world.js'

const run = promisify(execFile)

/** `qemu-img check` found clusters that nothing uses, and nothing worse. */
const LEAKS_ONLY = 3

/**
 * Everything that is wrong, in words; empty is well. Ends the guests: their disks are read closed. `mayLeak`: QEMU was killed,
 * perhaps between counting a cluster and using it, which costs that cluster and no data.
 */
export async function judge(world: World, { mayLeak = false, mayLeaveTags = false } = {}): Promise<string[]> {
  const wrong: string[] = []
  const { read } = world.db
  const mine = { projectId: { is: world.projectId } }
  const jobs = (await read.jobs.list(ANY, { where: mine })).filter((job) => !['done', 'failed', 'cancelled'].includes(job.state))
  for (const job of jobs) wrong.push(`job ${job.operation} is ${job.state}: ${job.error?.detail ?? ''}`)
  const layers = await read.layers.list(ANY, { where: { poolId: { is: world.poolId } } })
  const disks = await read.disks.list(ANY, { where: mine })
  const servers = await read.servers.list(ANY, { where: mine })
  const alive = await guests(world.dir)
  const fileOf = new Map(layers.map((layer) => [layer.id, layer.fileName]))
  const chain = (id: string | null): string[] => (id === null ? [] : [id, ...chain(layers.find((l) => l.id === id)?.parentId ?? null)])

  // Layers: settled states, each with a reason to be.
  const tagged = (await read.diskSnapshots.list(ANY, { where: mine })).filter((part) => part.tag !== null)
  for (const layer of layers) {
    if (layer.state !== 'top' && layer.state !== 'sealed') wrong.push(`layer ${layer.id} is left ${layer.state}`)
    const children = layers.filter((l) => l.parentId === layer.id).length
    const pins = (await read.layers.pins(layer.id)).length
    if (layer.state === 'top' && disks.filter((d) => d.topLayerId === layer.id).length !== 1)
      wrong.push(`layer ${layer.id} is the top of no disk`)
    // Below a tag that is somebody's snapshot nothing may be merged: it waits for that one's deletion.
    const waits = tagged.some((part) => layers.some((l) => l.id === part.layerId && l.parentId === layer.id))
    if (layer.state === 'sealed' && layer.origin === 'disk' && pins === 0 && children < 2 && !waits)
      wrong.push(`layer ${layer.id} is kept by nothing`)
  }
  for (const disk of disks)
    if (layers.find((l) => l.id === disk.topLayerId)?.state !== 'top' && disk.topLayerId !== null)
      wrong.push(`disk ${disk.id} is not on a top`)

  // Processes and sockets.
  for (const server of servers) {
    const should = server.vmState === 'active' || server.vmState === 'paused'
    if (should !== alive.has(server.id))
      wrong.push(`server ${server.id} is ${server.vmState}, its QEMU ${alive.has(server.id) ? 'runs' : 'does not run'}`)
    if (server.taskState !== null) wrong.push(`server ${server.id} is left ${server.taskState}`)
  }
  for (const pid of await daemons(world.dir)) wrong.push(`storage daemon ${pid} is left`)
  const sockets = await readdir(join(world.dir, 'run')).catch(() => [] as string[])
  const known = new Set([...alive.keys()].map(shortId))
  for (const name of sockets) if (!known.has(name)) wrong.push(`${name} is left in the run directory`)
  for (const name of await readdir(join(world.dir, 'staging'))) wrong.push(`${name} is left in staging`)

  // The live graph, through the monitor for people.
  for (const [serverId, pid] of alive) {
    const monitor = await openMonitor(join(world.dir, 'run', shortId(serverId), 'people.sock'))
    const plugged = disks.filter((disk) => disk.serverId === serverId)
    const nodes = await monitor.ask<{ 'node-name': string; backing_file?: string }[]>('query-named-block-nodes', { flat: true })
    const formats = nodes.map((n) => n['node-name']).filter((name) => name.startsWith('q-'))
    const want = new Set(plugged.flatMap((disk) => chain(disk.topLayerId).map(formatNode)))
    for (const name of formats) if (!want.has(name)) wrong.push(`node ${name} is open, the tables do not say so`)
    for (const name of want) if (!formats.includes(name)) wrong.push(`node ${name} is not open`)
    if (nodes.filter((n) => !/^[qf]-/.test(n['node-name'])).length > 0) wrong.push('a node without our name is open')
    const blocks = await monitor.ask<{ qdev?: string; inserted?: { 'node-name': string; backing_file_depth: number } }[]>('query-block')
    for (const disk of plugged) {
      const block = blocks.find((b) => b.qdev?.includes(deviceName(disk.id)))
      if (block?.inserted?.['node-name'] !== formatNode(disk.topLayerId ?? ''))
        wrong.push(`disk ${disk.id} is on ${block?.inserted?.['node-name']}`)
      else if (block.inserted.backing_file_depth !== chain(disk.topLayerId).length - 1) wrong.push(`disk ${disk.id} has another depth live`)
    }
    for (const job of await monitor.ask<{ id: string; status: string }[]>('query-jobs'))
      wrong.push(`block job ${job.id} is left ${job.status}`)
    const { status } = await monitor.ask<{ status: string }>('query-status')
    const vmState = servers.find((s) => s.id === serverId)?.vmState
    if ((vmState === 'active') !== (status === 'running')) wrong.push(`server ${serverId} is ${vmState}, its guest ${status}`)
    await monitor.ask('quit').catch(() => {})
    monitor.close()
    await end(pid)
  }

  // Files: exactly those of the tables, sound, standing where the tables say.
  const files = (await readdir(world.pool)).sort()
  const memories = await read.memoryStates.list(ANY, { where: mine })
  const named = [...fileOf.values(), ...memories.map((memory) => memory.fileName)]
  for (const name of files) if (!named.includes(name)) wrong.push(`file ${name} belongs to nothing`)
  for (const memory of memories) {
    const vmState = servers.find((server) => server.id === memory.serverId)?.vmState
    if (memory.status !== 'saved') wrong.push(`memory ${memory.id} is left ${memory.status}`)
    if (memory.serverSnapshotId === null && vmState !== 'suspended' && vmState !== 'stopped')
      wrong.push(`memory ${memory.id} is kept for a server that is ${vmState}`)
    if (memory.format === 'stream')
      await run('zstd', ['-tq', join(world.pool, memory.fileName)]).catch((e) =>
        wrong.push(`memory ${memory.id} is not whole: ${e.stderr}`),
      )
  }
  for (const { id, vmState } of servers)
    if (vmState === 'suspended' && !memories.some((memory) => memory.serverId === id && memory.serverSnapshotId === null))
      wrong.push(`server ${id} is suspended, and its memory is not there`)
  for (const layer of layers) {
    if (!files.includes(layer.fileName)) {
      wrong.push(`layer ${layer.id} (${layer.state}) has no file`)
      continue
    }
    const path = join(world.pool, layer.fileName)
    const info = JSON.parse((await run('qemu-img', ['info', '-f', layer.format, '--output=json', path])).stdout)
    const parent = layer.parentId === null ? undefined : fileOf.get(layer.parentId)
    if (info['backing-filename'] !== parent) wrong.push(`${layer.fileName} stands on ${info['backing-filename']}, not ${parent}`)
    if (info['virtual-size'] !== layer.virtualSize) wrong.push(`${layer.fileName} has another size`)
    if (layer.format === 'qcow2')
      await run('qemu-img', ['check', '-q', '-f', 'qcow2', path]).catch(({ code, stdout, stderr }) => {
        if (!mayLeak || code !== LEAKS_ONLY) wrong.push(`${layer.fileName} is damaged (${code}): ${stdout}${stderr}`)
      })
  }

  // Contents: every promise and every disk.
  const reads = async (what: string, layerId: string | null, content: Content | undefined): Promise<void> => {
    const name = layerId === null ? undefined : fileOf.get(layerId)
    if (content === undefined) return
    if (name === undefined) return void wrong.push(`${what} has no layer`)
    const known = Array.from({ length: DISK_MIB }, (_, block) => block).filter((block) => content.get(block) !== ANYTHING)
    const commands = known.flatMap((block) => ['-c', `read -P ${content.get(block) ?? 0} ${block}M 1M`])
    const format = name.endsWith('.raw') ? 'raw' : 'qcow2'
    const said = await run('qemu-io', ['-r', '-f', format, ...commands, join(world.pool, name)]).catch((e) => ({
      stdout: `${e.stdout}${e.stderr}`,
    }))
    if (/verification failed|error|can't/i.test(said.stdout))
      wrong.push(`${what} does not read as it must: ${said.stdout.match(/.*(verification failed|error|can't).*/gi)?.join('; ')}`)
  }
  const past = await hasReverted(world)
  for (const disk of disks) {
    const content = past ? (world.reverted.get(disk.id) ?? world.expected.get(disk.id)) : world.expected.get(disk.id)
    if (disk.topLayerId !== null) await reads(`disk ${disk.id}`, disk.topLayerId, content)
  }
  for (const snapshot of await read.snapshots.list(ANY, { where: mine })) {
    if (snapshot.status === 'available') await reads(`snapshot ${snapshot.id}`, snapshot.layerId, world.expected.get(snapshot.id))
    else if (snapshot.status !== 'error') wrong.push(`snapshot ${snapshot.id} is left ${snapshot.status}`)
  }
  wrong.push(...(await judgeServerSnapshots(world, layers, mayLeaveTags)))
  for (const image of await read.images.list(ANY, { where: mine })) {
    if (image.status === 'active') await reads(`image ${image.id}`, image.layerId, world.expected.get(image.id))
    else if (image.status !== 'queued') wrong.push(`image ${image.id} is left ${image.status}`)
  }

  // Volumes and quotas.
  const volumes = await read.volumes.list(ANY, { where: mine })
  for (const volume of volumes)
    if (!['available', 'in-use', 'error', 'error_extending'].includes(volume.status))
      wrong.push(`volume ${volume.id} is left ${volume.status}`)
  const snapshots = await read.snapshots.list(ANY, { where: mine })
  const used = await read.quotas.usage(world.projectId)
  const counted = {
    volumes: volumes.length,
    snapshots: snapshots.length + (await read.serverSnapshots.count(ANY, mine)),
    gigabytes: [...volumes, ...snapshots].reduce((sum, one) => sum + one.sizeGib, 0),
    instances: servers.filter((s) => s.deletedAt === null).length,
    images: await read.images.count(ANY, mine),
  }
  for (const [resource, count] of Object.entries(counted))
    if ((used[resource] ?? 0) !== count) wrong.push(`quota of ${resource} is ${used[resource]}, counted ${count}`)
  return wrong
}

/** A revert that is done has reverted; one that failed may have, and the server was not started: then it says so. */
async function hasReverted(world: World): Promise<boolean> {
  const where = { projectId: { is: world.projectId }, operation: { in: ['revert-server', 'revert-volume'] } }
  const [job] = await world.db.read.jobs.list(ANY, { where })
  return job?.state === 'done' || (job?.state === 'failed' && job.error?.message.startsWith('The disks were reverted') === true)
}
