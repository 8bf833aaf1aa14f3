/** `strata server-snapshot plan …`: what a delete or a revert would do, before anything is done. */
import type { Command } from 'commander'
import { findServer, type Named } from './find.js'
import { findSnapshot } from './server-snapshot.js'
import { type Cell, type Column, renderRecord, renderTable, sizeText } from './text.js'
import { choice, type Tools } from './tools.js'

interface Plan {
  readonly hash: string
  readonly possible: boolean
  readonly exact: boolean
  readonly deletes: readonly Named[]
  readonly victims: readonly Named[]
  readonly disks: readonly DiskPlan[]
  readonly bytes_to_copy: number
  readonly extra_bytes_at_peak: number
  readonly reclaimable_bytes: number
  readonly pause_seconds: number
  readonly restarts_guest: boolean
  readonly preconditions: readonly { readonly met: boolean; readonly refuses: boolean; readonly sentence: string }[]
  readonly waits_for: readonly { readonly job_id: string; readonly operation: string }[]
}
interface DiskPlan {
  readonly disk_id: string
  readonly device: string | null
  readonly direction: string
  readonly reason: string | null
  readonly way_back: string | null
  readonly bytes_to_copy: number
  readonly extra_bytes_at_peak: number
  readonly reclaimable_bytes: number
}

export const MODES = ['merge', 'merge_force', 'discard', 'discard_force']
export const CHILDREN = ['share', 'each']
export const POWER_STATES = ['running', 'paused', 'stopped']

export function addPlanCommands(group: Command, tools: Tools): void {
  const plans = group.command('plan').description('what it would do: directions, bytes, room, pause, who would go with it')

  const show = async (path: string, body: object, session: Awaited<ReturnType<Tools['session']>>): Promise<void> => {
    const { plan } = await session.call<{ plan: Plan }>('strata', 'POST', path, body)
    tools.print(plan, () => planText(plan))
  }

  plans
    .command('delete <server> <snapshot>')
    .addOption(choice('--mode <mode>', 'as for delete', MODES))
    .addOption(choice('--children <how>', 'as for delete', CHILDREN))
    .action(async (serverName: string, name: string, options: { mode?: string; children?: string }) => {
      const session = await tools.session()
      const found = await findSnapshot(session, (await findServer(session, serverName)).id, name)
      await show(`/server-snapshots/${found.id}/delete-plan`, { ...options }, session)
    })

  plans
    .command('revert <server> <snapshot>')
    .addOption(choice('--power-state <state>', 'as for revert', POWER_STATES))
    .option('--no-memory', 'of a snapshot that has it')
    .option('--keep-current', 'as for revert')
    .action(async (serverName: string, name: string, options: { powerState?: string; memory: boolean; keepCurrent?: boolean }) => {
      const session = await tools.session()
      const found = await findSnapshot(session, (await findServer(session, serverName)).id, name)
      const body = {
        ...(options.powerState === undefined ? {} : { power_state: options.powerState }),
        ...(options.memory ? {} : { memory: false }),
        ...(options.keepCurrent === true ? { keep_current: true } : {}),
      }
      await show(`/server-snapshots/${found.id}/revert-plan`, body, session)
    })

  plans
    .command('consolidate <server>')
    .description('of removing all layers that nobody keeps')
    .addOption(choice('--children <how>', 'as for delete', CHILDREN))
    .action(async (serverName: string, options: { children?: string }) => {
      const session = await tools.session()
      await show(`/servers/${(await findServer(session, serverName)).id}/consolidate-plan`, { ...options }, session)
    })
}

const COLUMNS: readonly Column<DiskPlan>[] = [
  ['disk', (disk) => disk.device ?? disk.disk_id],
  ['direction', (disk) => disk.way_back ?? disk.direction],
  ['copies', (disk) => sizeText(disk.bytes_to_copy)],
  ['room at most', (disk) => sizeText(disk.extra_bytes_at_peak)],
  ['given back', (disk) => givenBack(disk.reclaimable_bytes)],
  ['because', (disk) => disk.reason],
]

const givenBack = (bytes: number): string => (bytes < 0 ? `-${sizeText(-bytes)}` : sizeText(bytes))
const names = (some: readonly Named[]): Cell => (some.length === 0 ? null : some.map(({ name }) => name).join(', '))

function planText(plan: Plan): string {
  const unmet = plan.preconditions.filter(({ met }) => !met)
  const record = renderRecord([
    ['possible', plan.possible ? 'yes' : 'no'],
    ...unmet.map((one) => [one.refuses ? 'refused' : 'put off', one.sentence] as const),
    ['deletes', names(plan.deletes)],
    ...(plan.victims.length === 0 ? [] : [['takes along', names(plan.victims)] as const]),
    ['copies', `${sizeText(plan.bytes_to_copy)}${plan.exact ? '' : ' or a little more'}`],
    ['room at most', sizeText(plan.extra_bytes_at_peak)],
    ['given back', givenBack(plan.reclaimable_bytes)],
    ['guest paused', `${Math.round(plan.pause_seconds * 1000)} ms`],
    ['guest restarts', plan.restarts_guest ? 'yes' : null],
    ...(plan.waits_for.length === 0
      ? []
      : [['waits for', plan.waits_for.map((one) => `${one.operation} ${one.job_id}`).join(', ')] as const]),
    ['plan', plan.hash],
  ])
  return plan.disks.length === 0 ? record : `${record}\n\n${renderTable(plan.disks, COLUMNS)}`
}
