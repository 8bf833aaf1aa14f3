/**
 * The kinds of server snapshots, told apart by what matters when one is chosen: which instant it holds, what the guest
 * notices, how many files it makes, who else can read it, and whether it is whole by itself. Facts of how they work, on
 * any host; what they cost on one is measured.
 */
import type { CapturedPower, SnapshotKind } from './server-snapshot.js'

export interface Axis<V extends string> {
  readonly value: V
  readonly sentence: string
}

export interface KindFacts {
  readonly name: 'external_disk' | 'external_system' | 'internal_disk' | 'internal_system'
  readonly kind: SnapshotKind
  readonly memory: boolean
  /** What the server may be doing. */
  readonly from: readonly CapturedPower[]
  readonly instant: Axis<'start' | 'end'>
  readonly downtime: Axis<'none' | 'short' | 'whole'>
  readonly files: { readonly perDisk: number; readonly memory: number; readonly sentence: string }
  readonly thirdParty: Axis<'files' | 'tags' | 'none'>
  readonly extent: Axis<'partial' | 'full'>
}

const PER_DISK = 'Each disk goes on in one new file.'
const SEALED: Axis<'files'> = {
  value: 'files',
  sentence: 'What it holds is sealed qcow2 or raw files that any tool of QEMU can read, also while the server runs.',
}
const TAGGED: Axis<'tags'> = {
  value: 'tags',
  sentence: 'Tools of QEMU can read the tags of a server that is off; while it runs its disks are locked.',
}
const DELTA: Axis<'partial'> = {
  value: 'partial',
  sentence: 'Each file holds what changed since the one below it; it is whole only together with those.',
}
const WITHIN: Axis<'full'> = {
  value: 'full',
  sentence: 'The disk’s own file holds all of it, shared with the present cluster by cluster; only what that file stands on is elsewhere.',
}

export const SNAPSHOT_KINDS: readonly KindFacts[] = [
  {
    name: 'external_disk',
    kind: 'external',
    memory: false,
    from: ['running', 'paused', 'stopped'],
    instant: {
      value: 'start',
      sentence: 'When the job switches the disks, all in one transaction, after the guest was frozen where that was asked.',
    },
    downtime: { value: 'none', sentence: 'None that can be measured. Writes wait while file systems are frozen, where that was asked.' },
    files: { perDisk: 1, memory: 0, sentence: PER_DISK },
    thirdParty: SEALED,
    extent: DELTA,
  },
  {
    name: 'external_system',
    kind: 'external',
    memory: true,
    from: ['running', 'paused'],
    instant: { value: 'end', sentence: 'When the last of the memory was written: the disks are switched at that very instant.' },
    downtime: {
      value: 'short',
      sentence: 'Memory is written while the guest runs; it stands still for the last of it and longer the faster it changes its memory.',
    },
    files: { perDisk: 1, memory: 1, sentence: `${PER_DISK} The memory has a compressed file of its own.` },
    thirdParty: { ...SEALED, sentence: `${SEALED.sentence} The memory file is sealed with a key of this host.` },
    extent: { value: 'partial', sentence: 'The memory is whole; of the disks each file holds what changed since the one below it.' },
  },
  {
    name: 'internal_disk',
    kind: 'internal',
    memory: false,
    from: ['running', 'paused', 'stopped'],
    instant: { value: 'start', sentence: 'When the job writes the tags, all in one transaction.' },
    downtime: {
      value: 'short',
      sentence: 'The guest’s disks stand still while the tags are written: longer the more data the files hold.',
    },
    files: { perDisk: 0, memory: 0, sentence: 'None: a tag inside each disk’s qcow2 file.' },
    thirdParty: TAGGED,
    extent: WITHIN,
  },
  {
    name: 'internal_system',
    kind: 'internal',
    memory: true,
    from: ['running', 'paused'],
    instant: { value: 'start', sentence: 'When the job begins to save: the guest is stopped until all is written.' },
    downtime: { value: 'whole', sentence: 'The guest stands still until its whole memory is written into the first disk’s file.' },
    files: { perDisk: 0, memory: 0, sentence: 'None: tags inside the disks’ qcow2 files, the memory in that of the first.' },
    thirdParty: TAGGED,
    extent: WITHIN,
  },
]
