/** `strata chain …`: the layers a disk reads from, who keeps each, and moving data between them. */
import type { Command } from 'commander'
import { Failure } from './errors.js'
import { findServer, findVolume, isUuid } from './find.js'
import { type SnapshotTree, snapshotsPath } from './server-snapshot.js'
import type { Session } from './session.js'
import { type Column, renderRecord, renderTable, sizeText } from './text.js'
import { type AddCommands, afterJob, choice, pictureOption, type Tools, waitOption } from './tools.js'
import { byteCount } from './values.js'

interface Chain {
  readonly disk_id: string
  readonly volume_id: string | null
  readonly server_id: string | null
  readonly depth: number
  readonly policy: { readonly soft_depth: number; readonly hard_depth: number; readonly from: string }
  readonly jobs: readonly string[]
  readonly layers: readonly Layer[]
}
interface Layer {
  readonly id: string
  readonly state: string
  readonly format: string
  readonly pool: string
  readonly allocated_bytes: number | null
  readonly children: number
  readonly pinned_by: readonly { readonly kind: string; readonly id: string | null; readonly name: string | null }[]
  readonly internal_snapshots: readonly string[]
}
interface MoveOptions {
  readonly top?: string
  readonly base?: string
  readonly pool?: string
  readonly toFormat?: string
  readonly keep?: boolean
  readonly name?: string
  readonly speed?: number
  readonly wait?: boolean
}

const DISK = 'a volume by name or id, or a disk of a server: vm:vda'

export const addChainCommands: AddCommands = (program, tools) => {
  const group = program.command('chain').description('the layers a disk reads from, and moving data between them')

  group
    .command('show')
    .argument('<disk>', DISK)
    .description('from the layer it writes to down, and who keeps each')
    .addOption(pictureOption())
    .action(async (disk: string, options: { svg?: boolean }) => {
      const session = await tools.session()
      const path = await chainPath(session, disk)
      if (options.svg === true) return tools.printRaw(await session.text('strata', `${path}.svg`))
      const { chain } = await session.call<{ chain: Chain }>('strata', 'GET', path)
      tools.print(chain, () => chainText(chain))
    })

  move(group, tools, 'commit', 'bring what a layer holds down into one below it, which takes its place')
    .option('--top <layer>', "what goes down; the disk's own top where it is not given")
    .option('--base <layer>', 'what it goes into; the next below where it is not given')
  move(group, tools, 'pull', "bring what lower layers hold up into the disk's top").option(
    '--base <layer>',
    'what the top stands on then; nothing where it is not given',
  )
  move(group, tools, 'copy', 'copy what the disk shows into one new file; the disk moves there')
    .option('--pool <name>', 'where to; its own where it is not given')
    .addOption(choice('--to-format <format>', 'of the file', ['qcow2', 'raw']))
    .option('--keep', 'the disk stays: the copy becomes a volume, as the disk was when the copying ended')
    .option('--name <name>', 'of the volume that is kept')
}

/** What starts a block job, live or not. */
function move(group: Command, tools: Tools, verb: 'commit' | 'pull' | 'copy', meaning: string): Command {
  return group
    .command(verb)
    .argument('<disk>', DISK)
    .description(meaning)
    .option('--speed <bytes>', 'at most so many a second: 64m', byteCount)
    .addOption(waitOption())
    .action(async (disk: string, options: MoveOptions) => {
      const session = await tools.session()
      const wishes = {
        top: options.top,
        base: options.base,
        pool: options.pool,
        format: options.toFormat,
        keep: options.keep,
        name: options.name,
        bytes_per_second: options.speed,
      }
      const body = Object.fromEntries(Object.entries(wishes).filter(([, value]) => value !== undefined))
      type Accepted = { job_id: string; volume_id: string | null }
      const accepted = await session.call<Accepted>('strata', 'POST', `${await chainPath(session, disk)}/${verb}`, body)
      await afterJob(session, tools, accepted.job_id, options.wait)
      tools.printRecord(accepted, [
        ...(accepted.volume_id === null ? [] : [['volume', accepted.volume_id] as const]),
        ['job', accepted.job_id],
      ])
    })
}

/** The disk of a server's root is no volume: the tree knows its id. */
async function chainPath(session: Session, disk: string): Promise<string> {
  const [, serverName, device] = /^(.+):(vd[a-z]+)$/.exec(disk) ?? []
  if (serverName === undefined || device === undefined)
    return `/volumes/${isUuid(disk) ? disk : (await findVolume(session, disk)).id}/chain`
  const server = await findServer(session, serverName)
  const { tree } = await session.call<{ tree: SnapshotTree }>('strata', 'GET', `${snapshotsPath(server.id)}/tree`)
  const found = tree.present.disks.find((one) => one.device === device)
  if (found === undefined)
    throw new Failure(`server ${serverName} has no disk ${device}: ${tree.present.disks.map((one) => one.device).join(', ')}`)
  return `/volumes/${found.volume_id ?? found.disk_id}/chain`
}

const COLUMNS: readonly Column<Layer>[] = [
  ['layer', (layer) => layer.id],
  ['state', (layer) => layer.state],
  ['format', (layer) => layer.format],
  ['pool', (layer) => layer.pool],
  ['takes', (layer) => (layer.allocated_bytes === null ? null : sizeText(layer.allocated_bytes))],
  ['children', (layer) => layer.children],
  ['kept by', keepers],
]

function keepers({ pinned_by, internal_snapshots }: Layer): string | null {
  const pins = pinned_by.map(({ kind, id, name }) => `${kind} ${name ?? id ?? 'of another project'}`)
  const all = [...pins, ...internal_snapshots.map((name) => `internal snapshot ${name}`)]
  return all.length === 0 ? null : all.join(', ')
}

function chainText({ policy, ...chain }: Chain): string {
  const record = renderRecord([
    ['disk', chain.disk_id],
    ['volume', chain.volume_id],
    ['server', chain.server_id],
    ['depth', `${chain.depth} (shortened beyond ${policy.soft_depth}, refused at ${policy.hard_depth}: rule of the ${policy.from})`],
    ...(chain.jobs.length === 0 ? [] : [['jobs', chain.jobs.join(', ')] as const]),
  ])
  return `${record}\n\n${renderTable(chain.layers, COLUMNS)}`
}
