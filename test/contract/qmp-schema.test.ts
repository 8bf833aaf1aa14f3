/** Our hand-written commands against what the installed QEMU says it understands. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { COMMANDS, type CommandName } from '../../src/qemu/qmp/commands.js'
import { QmpSession } from '../../src/qemu/qmp/session.js'
import { emulated, guestSpec, makeStateDir, removeStateDir } from '../support/qemu.js'

interface Member {
  name: string
  type: string
  default?: unknown
}
interface Entity {
  name: string
  'meta-type': string
  'arg-type'?: string
  'element-type'?: string
  members?: (Member | string)[]
  variants?: { case: string; type: string }[]
  tag?: string
}

let stateDir: string
let session: QmpSession
const types = new Map<string, Entity>()

beforeAll(async () => {
  stateDir = await makeStateDir()
  const hypervisor = emulated(stateDir)
  const spec = guestSpec([])
  await hypervisor.launch(spec)
  await hypervisor.close()
  const [run = ''] = await readdir(join(stateDir, 'run'))
  // The second monitor is for people, and for tests.
  session = new QmpSession({ path: join(stateDir, 'run', run, 'people.sock') })
  await session.connect()
  for (const entity of await session.execute('query-qmp-schema')) types.set(String(entity['name']), entity as unknown as Entity)
})
afterAll(async () => {
  session.close()
  await removeStateDir(stateDir)
})

const members = (type: string): Member[] =>
  (types.get(type)?.members ?? []).filter((member): member is Member => typeof member === 'object')

/** Members of the type itself and of every variant we use. */
function argumentsOf(command: string, variants: readonly string[]): Member[] {
  const type = types.get(types.get(command)?.['arg-type'] ?? '')
  const used = (type?.variants ?? []).filter((variant) => variants.includes(variant.case))
  return [...members(type?.name ?? ''), ...used.flatMap((variant) => members(variant.type))]
}

const VARIANTS: Partial<Record<CommandName, string[]>> = { 'blockdev-add': ['file', 'qcow2', 'raw'], 'block-export-add': ['nbd'] }
/** The schema leaves a device's own properties out. */
const OF_THE_DEVICE = ['serial', 'drive']

describe('QMP commands', () => {
  it.each(Object.keys(COMMANDS) as CommandName[])('%s exists, with every argument we send', (command) => {
    expect(types.get(command)).toMatchObject({ 'meta-type': 'command' })
    const known = argumentsOf(command, VARIANTS[command] ?? [])
    const names = known.map((member) => member.name)
    const ours = Object.keys(COMMANDS[command]).filter((name) => command !== 'device_add' || !OF_THE_DEVICE.includes(name))
    expect(names).toEqual(expect.arrayContaining(ours))
    const mandatory = known.filter((member) => !('default' in member)).map((member) => member.name)
    expect(ours).toEqual(expect.arrayContaining(mandatory))
  })

  it.each(['SHUTDOWN', 'RESET', 'STOP', 'RESUME', 'DEVICE_DELETED', 'JOB_STATUS_CHANGE', 'BLOCK_JOB_COMPLETED', 'BLOCK_JOB_CANCELLED'])(
    '%s is an event of QEMU',
    (event) => {
      expect(types.get(event)).toMatchObject({ 'meta-type': 'event' })
    },
  )

  it.each([
    ['blockdev-snapshot', 'node', 'overlay'],
    ['blockdev-snapshot-internal-sync', 'device', 'name'],
  ])('may %s within a transaction', (what, ...args) => {
    const actions = members(types.get('transaction')?.['arg-type'] ?? '').find((member) => member.name === 'actions')
    const action = types.get(types.get(actions?.type ?? '')?.['element-type'] ?? '')
    const variant = action?.variants?.find(({ case: name }) => name === what)
    const data = members(variant?.type ?? '').find((member) => member.name === 'data')
    expect(members(data?.type ?? variant?.type ?? '').map((member) => member.name)).toEqual(expect.arrayContaining(args))
  })

  it('have no way to the human monitor anywhere in the source', async () => {
    const root = join(import.meta.dirname, '../..')
    for (const room of ['src', 'api', 'db']) {
      for (const file of await readdir(join(root, room), { recursive: true })) {
        if (!file.endsWith('.ts')) continue
        expect(await readFile(join(root, room, file), 'utf8'), file).not.toContain('human-monitor-command')
      }
    }
  })
})
