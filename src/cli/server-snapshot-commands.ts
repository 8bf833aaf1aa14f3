/** `strata server-snapshot …`: all disks of a server at one instant, and going back to it. */
import { Failure, UsageError } from './errors.js'
import { findServer, type Named, onlyOne } from './find.js'
import { addPlanCommands, CHILDREN, MODES, POWER_STATES } from './plan-commands.js'
import {
  COLUMNS,
  findSnapshot,
  listSnapshots,
  type ServerSnapshot,
  type SnapshotTree,
  snapshotsPath,
  snapshotText,
  treeText,
} from './server-snapshot.js'
import type { Session } from './session.js'
import { type Column, renderTable } from './text.js'
import { type AddCommands, afterJob, choice, pictureOption, type Tools, waitOption } from './tools.js'
import { collect, type DiskChoice, diskChoice } from './values.js'

interface CreateOptions {
  readonly description?: string
  readonly kind?: string
  readonly memory?: boolean
  readonly quiesce?: string
  readonly disk?: readonly DiskChoice[]
  readonly protect?: boolean
  readonly expires?: string
  readonly wait?: boolean
}

export const addServerSnapshotCommands: AddCommands = (program, tools) => {
  const group = program.command('server-snapshot').description('all disks of a server at one instant, with or without its memory')

  group
    .command('create <server> [name]')
    .description('take one; without a name it is made up')
    .option('--description <text>')
    .addOption(choice('--kind <kind>', 'a new file per disk (the default), or a tag inside each qcow2', ['external', 'internal']))
    .option('--memory', 'of the running or paused guest too')
    .addOption(choice('--quiesce <how>', 'the default is what its image asks for', ['required', 'best_effort', 'none']))
    .option('--disk <spec>', 'one disk: vda[,snapshot=external|internal|no][,pool=<name>]; may be repeated', collect(diskChoice))
    .option('--protect', 'against being deleted')
    .option('--expires <time>', 'the service may delete it then: 2026-12-24T18:00:00Z')
    .addOption(waitOption())
    .action(async (serverName: string, name: string | undefined, options: CreateOptions) => {
      const session = await tools.session()
      const server = await findServer(session, serverName)
      const body = {
        ...(name === undefined ? {} : { name }),
        ...(options.description === undefined ? {} : { description: options.description }),
        ...(options.kind === undefined ? {} : { kind: options.kind }),
        ...(options.memory === true ? { memory: true } : {}),
        ...(options.quiesce === undefined ? {} : { quiesce: options.quiesce }),
        ...(options.disk === undefined ? {} : { disks: options.disk }),
        ...(options.protect === true ? { protected: true } : {}),
        ...(options.expires === undefined ? {} : { expires_at: options.expires }),
      }
      type Accepted = { server_snapshot: ServerSnapshot; job_id: string }
      const accepted = await session.call<Accepted>('strata', 'POST', snapshotsPath(server.id), body)
      await afterJob(session, tools, accepted.job_id, options.wait)
      const all = await listSnapshots(session, server.id)
      const made = all.find(({ id }) => id === accepted.server_snapshot.id) ?? accepted.server_snapshot
      tools.print({ ...made, job_id: accepted.job_id }, () => `${snapshotText(made, all)}\n\njob  ${accepted.job_id}`)
    })

  group
    .command('list <server>')
    .description('oldest first')
    .addOption(choice('--view <which>', 'roots have no parent, leaves no children', ['list', 'roots', 'leaves']))
    .option('--descendants-of <snapshot>', 'only what was taken after it, on branches that begin at it')
    .action(async (serverName: string, options: { view?: string; descendantsOf?: string }) => {
      const session = await tools.session()
      const server = await findServer(session, serverName)
      const query = new URLSearchParams(options.view === undefined ? {} : { view: options.view })
      if (options.descendantsOf !== undefined)
        query.set('descendants_of', (await findSnapshot(session, server.id, options.descendantsOf)).id)
      tools.printList(await listSnapshots(session, server.id, `?${query}`), COLUMNS)
    })

  group
    .command('tree <server>')
    .description('which grew from which, and where the present does')
    .addOption(pictureOption())
    .action(async (serverName: string, options: { svg?: boolean }) => {
      const session = await tools.session()
      const server = await findServer(session, serverName)
      if (options.svg === true) return tools.printRaw(await session.text('strata', `${snapshotsPath(server.id)}/tree.svg`))
      const { tree } = await session.call<{ tree: SnapshotTree }>('strata', 'GET', `${snapshotsPath(server.id)}/tree`)
      tools.print(tree, () => treeText(tree))
    })

  group
    .command('show <server> <snapshot>')
    .description('its disks, and the consistency it got')
    .action(async (serverName: string, name: string) => {
      const { session, found } = await locate(tools, serverName, name)
      const all = await listSnapshots(session, found.server_id)
      tools.print(found, () => snapshotText(found, all))
    })

  group
    .command('set <server> <snapshot>')
    .description('rename, describe, protect or set to expire')
    .option('--name <name>')
    .option('--description <text>')
    .option('--protect', 'against being deleted')
    .option('--no-protect', 'no longer')
    .option('--expires <time>', 'the service may delete it then')
    .option('--no-expires', 'never')
    .action(async (serverName: string, name: string, options: SetOptions) => {
      const { session, found } = await locate(tools, serverName, name)
      const change = {
        ...(options.name === undefined ? {} : { name: options.name }),
        ...(options.description === undefined ? {} : { description: options.description }),
        ...(options.protect === undefined ? {} : { protected: options.protect }),
        ...(options.expires === undefined ? {} : { expires_at: options.expires === false ? null : options.expires }),
      }
      if (Object.keys(change).length === 0) throw new UsageError('nothing to set: see strata server-snapshot set --help')
      type Answer = { server_snapshot: ServerSnapshot }
      const { server_snapshot: set } = await session.call<Answer>('strata', 'PATCH', onePath(found.id), change)
      const all = await listSnapshots(session, set.server_id)
      tools.print(set, () => snapshotText(set, all))
    })

  group
    .command('revert <server> <snapshot>')
    .description('its disks become what they were then; what was written since is given up')
    .addOption(choice('--power-state <state>', 'what the server does afterwards; needed unless it is off', POWER_STATES))
    .option('--keep-current', 'first take the present into a snapshot of its own')
    .option('--plan <hash>', 'only if all is still as it was planned with')
    .addOption(waitOption())
    .action(async (serverName: string, name: string, options: RevertOptions) => {
      const { session, found } = await locate(tools, serverName, name)
      const body = {
        ...(options.powerState === undefined ? {} : { power_state: options.powerState }),
        ...(options.keepCurrent === true ? { keep_current: true } : {}),
        ...(options.plan === undefined ? {} : { plan: options.plan }),
      }
      type Accepted = { job_id: string; power_state: string; kept_in: { server_snapshot_id: string } | null }
      const accepted = await session.call<Accepted>('strata', 'POST', `${onePath(found.id)}/revert`, body)
      const job = await afterJob(session, tools, accepted.job_id, options.wait)
      tools.printRecord(accepted, [
        ['server', serverName],
        [job === undefined ? 'goes back to' : 'went back to', found.name],
        ['then', accepted.power_state],
        ...(accepted.kept_in === null ? [] : [['present kept in', accepted.kept_in.server_snapshot_id] as const]),
        ['job', accepted.job_id],
      ])
    })

  group
    .command('delete <server> [snapshots...]')
    .description('what the others and the present hold stays as it is')
    .option('--all', 'every snapshot of the server')
    .addOption(
      choice(
        '--mode <mode>',
        'merge (the default): it alone goes. discard: refused if others grew from it. discard_force: they go too',
        MODES,
      ),
    )
    .addOption(choice('--children <how>', 'bytes that several need: one hidden copy for all (the default), or merged into each', CHILDREN))
    .option('--plan <hash>', 'of one snapshot: only if all is still as it was planned with')
    .addOption(waitOption())
    .action(async (serverName: string, names: readonly string[], options: DeleteOptions) => {
      if ((names.length === 0) !== (options.all === true)) throw new UsageError('name the snapshots, or say --all')
      if (options.plan !== undefined && names.length !== 1) throw new UsageError('a plan is of one snapshot')
      const session = await tools.session()
      const server = await findServer(session, serverName)
      const all = await listSnapshots(session, server.id)
      const chosen = names.map((name) => onlyOne('snapshot of the server', all, name))
      const query = new URLSearchParams(chosen.length > 1 ? chosen.map(({ id }) => ['id', id] as [string, string]) : [])
      if (options.mode !== undefined) query.set('mode', options.mode)
      if (options.children !== undefined) query.set('children', options.children)
      if (options.plan !== undefined) query.set('plan', options.plan)
      const [only] = chosen
      const path = only !== undefined && chosen.length === 1 ? onePath(only.id) : snapshotsPath(server.id)
      const deletion = await session.call<Deletion>('strata', 'DELETE', `${path}?${query}`)
      await afterJob(session, tools, deletion.job_id, options.wait)
      const results = deletion.results ?? (deletion.deleting ?? []).map((one) => ({ ...one, outcome: 'accepted', message: null }))
      tools.print(deletion, () =>
        results.length === 0 ? 'there is nothing to delete' : `${renderTable(results, RESULT_COLUMNS)}\n\njob  ${deletion.job_id ?? '-'}`,
      )
      const kept = results.filter(({ outcome }) => outcome !== 'accepted')
      if (kept.length > 0) throw new Failure(`${kept.length} of ${results.length} snapshots are not deleted`)
    })

  addPlanCommands(group, tools)
}

interface SetOptions {
  readonly name?: string
  readonly description?: string
  readonly protect?: boolean
  readonly expires?: string | false
}
interface RevertOptions {
  readonly powerState?: string
  readonly keepCurrent?: boolean
  readonly plan?: string
  readonly wait?: boolean
}
interface DeleteOptions {
  readonly all?: boolean
  readonly plan?: string
  readonly mode?: string
  readonly children?: string
  readonly wait?: boolean
}
/** Of one, or of several. */
interface Deletion {
  readonly job_id: string | null
  readonly deleting?: readonly Named[]
  readonly results?: readonly Result[]
}
interface Result extends Named {
  readonly outcome: string
  readonly message: string | null
}

const RESULT_COLUMNS: readonly Column<Result>[] = [
  ['id', (one) => one.id],
  ['name', (one) => one.name],
  ['deletion', (one) => one.outcome],
  ['because', (one) => one.message],
]

const onePath = (id: string): string => `/server-snapshots/${id}`

async function locate(tools: Tools, serverName: string, name: string): Promise<{ session: Session; found: ServerSnapshot }> {
  const session = await tools.session()
  const server = await findServer(session, serverName)
  return { session, found: await findSnapshot(session, server.id, name) }
}
