/** `strata capabilities`: what each kind of server snapshot captures, costs and leaves behind, and whether this host can take it. */
import { type Column, renderRecord, renderTable } from './text.js'
import type { AddCommands } from './tools.js'

interface Axis {
  readonly value: string
}
interface Kind {
  readonly name: string
  readonly from: readonly string[]
  readonly instant: Axis
  readonly downtime: Axis
  readonly files: { readonly per_disk: number; readonly memory: number }
  readonly third_party_access: Axis
  readonly extent: Axis
  readonly available: boolean | null
  readonly reason: string | null
}
interface Capabilities {
  readonly server_snapshots: readonly Kind[]
  readonly delete_modes: readonly string[]
  readonly host: Readonly<Record<string, string | null>>
}

const COLUMNS: readonly Column<Kind>[] = [
  ['snapshot', (kind) => kind.name],
  ['server', (kind) => kind.from.join(', ')],
  ['captures its', (kind) => kind.instant.value],
  ['downtime', (kind) => kind.downtime.value],
  ['new files', (kind) => `${kind.files.per_disk} a disk${kind.files.memory === 0 ? '' : `, ${kind.files.memory} for memory`}`],
  ['read by', (kind) => kind.third_party_access.value],
  ['holds', (kind) => kind.extent.value],
  ['here', (kind) => (kind.available === null ? 'not known' : kind.available ? 'yes' : `no: ${kind.reason ?? ''}`)],
]

export const addCapabilitiesCommand: AddCommands = (program, tools) => {
  program
    .command('capabilities')
    .description('the kinds of server snapshots side by side, and what this host can do (whole sentences: --format json)')
    .action(async () => {
      const session = await tools.session()
      const { capabilities } = await session.call<{ capabilities: Capabilities }>('strata', 'GET', '/capabilities')
      tools.print(capabilities, () => {
        const host = Object.entries(capabilities.host).map(([name, value]) => [name.replaceAll('_', ' '), value] as const)
        return `${renderTable(capabilities.server_snapshots, COLUMNS)}\n\n${renderRecord([['delete modes', capabilities.delete_modes.join(', ')], ...host])}`
      })
    })
}
