/** One cell of the matrix: a fresh world, one operation, one fault, the verdict. */

import { SAVE_CHECKPOINT } from '../../src/steps/checkpoint.js'
import { COPY } from '../../src/steps/copy-disk.js'
import { MEMORY } from '../../src/steps/snapshot-memory.js'
import { SWITCH } from '../../src/steps/switch-top-layers.js'
import { TAKE_TAGS } from '../../src/steps/tags.js'
import { type Drive, type Driven, drive, type Fault, killGuests, writeInGuest } from './engine.js'
import { ANYTHING } from './images.js'
import { guests } from './monitor.js'
import { judge } from './oracle.js'
import { makeClock } from './ports.js'
import { deviceOf, type Scenario, socketOf } from './stage.js'
import { makeWorld, type World } from './world.js'

export interface Verdict {
  readonly wrong: string[]
  readonly driven: Driven
}

export async function runCell(scenario: Scenario, fault: Fault, more: Partial<Drive> & { url?: string } = {}): Promise<Verdict> {
  const { url, ...options } = more
  const world = await makeWorld(makeClock(), { ...(url === undefined ? {} : { url }), smallPool: fault.kind === 'disk-full' })
  try {
    const { writes, afterwards } = await scenario.build(world)
    const write = writes === undefined ? undefined : guestWriter(world, writes, fault)
    await write?.('begin')
    const driven = await drive(world, {
      operation: scenario.operation,
      fault,
      ...(scenario.unplugTimeoutMs === undefined ? {} : { unplugTimeoutMs: scenario.unplugTimeoutMs }),
      ...options,
      ...(write === undefined ? {} : { atGap: write }),
      ...(afterwards === undefined ? {} : { afterwards }),
    })
    const may = { mayLeak: fault.kind.startsWith('qemu-killed'), mayLeaveTags: fault.kind === 'disk-full' }
    return { wrong: await judge(world, may), driven }
  } catch (error) {
    return {
      wrong: [`the engine threw: ${error instanceof Error ? error.stack : error}`],
      driven: { gaps: [], steps: [], struck: true, ended: 'thrown' },
    }
  } finally {
    await killGuests(world.dir)
    await world.destroy()
  }
}

/**
 * The guest's own writes: one flushed block at each gap. What it wrote up to the pivot is in the snapshot too, so the
 * promises that are to be taken are updated as long as their moment has not come.
 */
function guestWriter(
  world: World,
  { serverId, diskId }: { serverId: string; diskId: string },
  fault: Fault,
): (gap: string) => Promise<void> {
  let byte = 0x80
  let isFull = false
  let passed = false
  const first = processOf(world, serverId)
  const promised = [...world.expected.keys()].filter((id) => id !== diskId && world.expected.get(id) === world.expected.get(diskId))
  return async (gap) => {
    if (MOMENTS.has(gap)) passed = true
    // A switch that happened and said it had not is looked at only when the guest has gone on.
    if (gap === `${MEMORY}:left` && 'step' in fault && fault.step === SWITCH && fault.kind !== 'refused-before') passed = true
    // A write that found no room leaves nobody knows what: from then on the guest only reads.
    if (isFull) return
    isFull = fault.kind === 'disk-full' && fault.gap === gap
    const block = 5 + (byte % 3)
    const runs = await processOf(world, serverId)
    const said = await writeInGuest(socketOf(world, serverId), deviceOf(diskId), block, byte).catch(() => 'gone')
    if (said === 'standing') return
    // A guest that was launched since the disk went back writes to another past.
    const isAnother = world.reverted.has(diskId) && runs !== undefined && runs !== (await first)
    const reads = isAnother ? world.reverted : world.expected
    // Killed in between, it is on the disk or it is not: nobody was promised either.
    const now = new Map(reads.get(diskId)).set(block, said === 'written' ? byte : ANYTHING)
    reads.set(diskId, now)
    for (const id of isAnother ? [] : promised)
      if (!passed) world.expected.set(id, now)
      else if (gap.startsWith(`${COPY}:`)) world.expected.set(id, new Map(world.expected.get(id)).set(block, ANYTHING))
    byte = byte === 0xff ? 0x80 : byte + 1
  }
}

const processOf = async (world: World, serverId: string): Promise<number | undefined> => (await guests(world.dir)).get(serverId)

/** From here on what a promise holds is settled; but a copy that is lost then is made anew, of what the disk shows by then. */
const MOMENTS = new Set([SWITCH, TAKE_TAGS, SAVE_CHECKPOINT, COPY].flatMap((step) => [`${step}:after-apply`, `${step}:before-done`]))

/** Milliseconds into a step: before its first command, and among them. */
const AMID = [0, 3] as const
/** Bytes: for nothing, for less than a header, for some of the data. */
const LEFT = [0, 8192, 1_572_864] as const

/** Set for processes that were started in a mount namespace of their own (see sweep-lane.ts). */
const canMount = (): boolean => process.env[OWN_MOUNTS] === '1'
export const OWN_MOUNTS = 'STRATA_CRASH_OWN_MOUNTS'

/** Every fault that can strike the scenario, learnt from a run without any. */
export async function faultsOf(scenario: Scenario): Promise<Fault[]> {
  const { driven, wrong } = await runCell(scenario, { kind: 'none' })
  const { ends = 'done' } = scenario
  if (driven.ended !== ends) throw new Error(`${scenario.name} ends ${driven.ended}, not ${ends}, without any fault`)
  if (wrong.length > 0) throw new Error(`${scenario.name} goes wrong without any fault: ${wrong.join('; ')}`)
  const gaps = [...new Set(driven.gaps)]
  const starts = gaps.filter((gap) => gap.endsWith(':before-apply'))
  const kinds = ['refused-before', 'refused-after', 'unknown-after', 'repeated'] as const
  const writes = Array.from({ length: driven.steps.length + 2 }, (_, write) => write)
  return [
    { kind: 'none' },
    ...writes.flatMap((write) => [true, false].map((committed): Fault => ({ kind: 'database-lost', write, committed }))),
    ...gaps.map((gap): Fault => ({ kind: 'killed', gap })),
    ...gaps.map((gap): Fault => ({ kind: 'killed', gap, cancelled: true })),
    ...(scenario.live ? gaps.map((gap): Fault => ({ kind: 'qemu-killed', gap })) : []),
    ...starts.flatMap((gap) => AMID.map((after): Fault => ({ kind: 'qemu-killed-amid', gap, after }))),
    ...(canMount() ? starts.flatMap((gap) => LEFT.map((left): Fault => ({ kind: 'disk-full', gap, left }))) : []),
    ...driven.steps.flatMap((step) => kinds.map((kind): Fault => ({ kind, step }))),
  ]
}

export const nameOf = (fault: Fault): string =>
  fault.kind === 'database-lost'
    ? `database lost at write ${fault.write}, ${fault.committed ? '' : 'not '}committed`
    : 'gap' in fault
      ? `${fault.kind} at ${fault.gap}${'cancelled' in fault ? ', then cancelled' : ''}${'after' in fault ? ` +${fault.after} ms` : ''}${'left' in fault ? `, ${fault.left} bytes left` : ''}`
      : 'step' in fault
        ? `${fault.kind} ${fault.step}`
        : fault.kind
