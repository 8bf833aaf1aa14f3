/** `strata managed-save …`: a guest's memory in a file, from which the server's next start goes on. */
import { UsageError } from './errors.js'
import { findServer } from './find.js'
import type { Json } from './session.js'
import { type Cell, sizeText, timeText } from './text.js'
import { type AddCommands, afterJob, waitOption } from './tools.js'

interface SavedState {
  readonly id: string
  readonly server_id: string
  readonly status: string
  readonly size: number | null
  readonly was: string
  readonly resume_at_start: boolean
  readonly bound_to: { readonly qemu_version: string; readonly machine: string; readonly ram_mib: number; readonly vcpus: number } | null
  readonly created_at: string
}
interface WithJob extends Json {
  readonly job_id: string
}

export const addManagedSaveCommands: AddCommands = (program, tools) => {
  const group = program.command('managed-save').description("a guest's memory in a file; `openstack server start` goes on from it")

  group
    .command('save <server>')
    .description('save its memory and end its QEMU')
    .addOption(waitOption())
    .action(async (serverName: string, options: { wait?: boolean }) => {
      const session = await tools.session()
      const path = savedPath((await findServer(session, serverName)).id)
      const accepted = await session.call<WithJob & { managed_save: SavedState }>('strata', 'POST', path)
      const job = await afterJob(session, tools, accepted.job_id, options.wait)
      const state = job === undefined ? accepted : await session.call<{ managed_save: SavedState }>('strata', 'GET', path)
      tools.printRecord({ ...state.managed_save, job_id: accepted.job_id }, [...fields(state.managed_save), ['job', accepted.job_id]])
    })

  group
    .command('show <server>')
    .description('what its next start goes on from')
    .action(async (serverName: string) => {
      const session = await tools.session()
      const path = savedPath((await findServer(session, serverName)).id)
      const { managed_save: state } = await session.call<{ managed_save: SavedState }>('strata', 'GET', path)
      tools.printRecord(state, fields(state))
    })

  group
    .command('discard <server>')
    .description('give it up: the next start is one from power-off')
    .addOption(waitOption())
    .action(async (serverName: string, options: { wait?: boolean }) => {
      const session = await tools.session()
      const accepted = await session.call<WithJob>('strata', 'DELETE', savedPath((await findServer(session, serverName)).id))
      await afterJob(session, tools, accepted.job_id, options.wait)
      tools.printRecord(accepted, [['job', accepted.job_id]])
    })

  group
    .command('autostart <server> <on|off>')
    .description('whether it comes back with the service of its host when that saved it')
    .action(async (serverName: string, word: string) => {
      if (word !== 'on' && word !== 'off') throw new UsageError('say on or off')
      const session = await tools.session()
      const { id } = await findServer(session, serverName)
      const answer = await session.call<{ autostart: boolean }>('strata', 'PUT', `/servers/${id}/autostart`, { autostart: word === 'on' })
      tools.printRecord(answer, [['autostart', answer.autostart ? 'on' : 'off']])
    })
}

const savedPath = (serverId: string): string => `/servers/${serverId}/managed-save`

const fields = (state: SavedState): (readonly [string, Cell])[] => [
  ['id', state.id],
  ['status', state.status],
  ['size', state.size === null ? null : sizeText(state.size)],
  ['guest was', state.was],
  ['resumed at start', state.resume_at_start ? 'yes' : null],
  ...(state.bound_to === null ? [] : [['needs', needs(state.bound_to)] as const]),
  ['saved', timeText(state.created_at)],
]

const needs = ({ qemu_version, machine, vcpus, ram_mib }: NonNullable<SavedState['bound_to']>): string =>
  `QEMU ${qemu_version}, ${machine}, ${vcpus} CPUs, ${ram_mib} MiB`
