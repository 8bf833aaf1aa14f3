/**
 * The QMP commands we may send, by hand, with the arguments and results we rely on. This is the allow-list
 * (SEC-23): the session sends nothing else, and the escape hatch to the human monitor is not in it. A test
 * holds every name here against the running QEMU's `query-qmp-schema`.
 */
import type {
  AddNode,
  BlockDevice,
  BlockGraph,
  BlockJobInfo,
  CheckpointOptions,
  ExportInfo,
  JobInfo,
  JobOptions,
  NamedNode,
  ReopenNode,
  TransactionAction,
} from './block-types.js'

type Empty = Record<never, never>
type Command<Arguments extends object, Result> = { readonly arguments: Arguments; readonly result: Result }
type Bitmap = { node: string; name: string }

interface MigrationInfo {
  /** Of none so far there is none. */
  status?: string
  'error-desc'?: string
  ram?: { transferred: number; remaining: number; total: number; 'dirty-sync-count': number }
}

interface Commands {
  qmp_capabilities: Command<Empty, Empty>
  'query-version': Command<Empty, { qemu: { major: number; minor: number; micro: number }; package: string }>
  'query-qmp-schema': Command<Empty, readonly Readonly<Record<string, unknown>>[]>
  quit: Command<Empty, Empty>

  'query-status': Command<Empty, { running: boolean; status: string }>
  'query-kvm': Command<Empty, { enabled: boolean; present: boolean }>
  'query-name': Command<Empty, { name?: string }>
  cont: Command<Empty, Empty>
  stop: Command<Empty, Empty>
  system_reset: Command<Empty, Empty>
  system_powerdown: Command<Empty, Empty>
  device_add: Command<{ driver: string; id: string; drive: string; serial: string }, Empty>
  device_del: Command<{ id: string }, Empty>
  'qom-list': Command<{ path: string }, readonly { name: string; type: string }[]>
  'qom-get': Command<{ path: string; property: string }, unknown>

  'query-pci': Command<Empty, readonly { bus: number; devices: readonly { slot: number; qdev_id: string }[] }[]>

  'migrate-set-capabilities': Command<{ capabilities: readonly { capability: 'events'; state: boolean }[] }, Empty>
  'migrate-set-parameters': Command<{ 'max-bandwidth'?: number; 'downtime-limit'?: number }, Empty>
  migrate: Command<{ uri: string }, Empty>
  'migrate-incoming': Command<{ uri: string }, Empty>
  migrate_cancel: Command<Empty, Empty>
  'query-migrate': Command<Empty, MigrationInfo>

  'blockdev-add': Command<AddNode, Empty>
  'blockdev-del': Command<{ 'node-name': string }, Empty>
  'blockdev-reopen': Command<{ options: readonly ReopenNode[] }, Empty>
  'query-block': Command<Empty, readonly BlockDevice[]>
  'query-named-block-nodes': Command<{ flat: true }, readonly NamedNode[]>
  'x-debug-query-block-graph': Command<Empty, BlockGraph>
  block_resize: Command<{ 'node-name': string; size: number }, Empty>
  transaction: Command<{ actions: readonly TransactionAction[] }, Empty>
  'blockdev-snapshot-delete-internal-sync': Command<{ device: string; name: string }, Readonly<Record<string, unknown>>>
  'block-dirty-bitmap-add': Command<Bitmap & { persistent?: boolean; granularity?: number; disabled?: boolean }, Empty>
  'block-dirty-bitmap-remove': Command<Bitmap, Empty>

  'block-commit': Command<JobOptions & { 'top-node': string; 'base-node': string; 'backing-file'?: string }, Empty>
  'blockdev-mirror': Command<JobOptions & { target: string; sync: 'full'; 'copy-mode': 'background' }, Empty>
  'block-stream': Command<JobOptions & { 'base-node'?: string; 'backing-file'?: string }, Empty>
  'query-jobs': Command<Empty, readonly JobInfo[]>
  'query-block-jobs': Command<Empty, readonly BlockJobInfo[]>
  'job-finalize': Command<{ id: string }, Empty>
  'job-complete': Command<{ id: string }, Empty>
  'job-cancel': Command<{ id: string }, Empty>
  'job-dismiss': Command<{ id: string }, Empty>
  'job-pause': Command<{ id: string }, Empty>
  'job-resume': Command<{ id: string }, Empty>
  'block-job-set-speed': Command<{ device: string; speed: number }, Empty>
  'block-job-cancel': Command<{ device: string; force: false }, Empty>

  'snapshot-save': Command<CheckpointOptions & { vmstate: string }, Empty>
  'snapshot-load': Command<CheckpointOptions & { vmstate: string }, Empty>
  'snapshot-delete': Command<CheckpointOptions, Empty>

  'nbd-server-start': Command<{ addr: { type: 'unix'; data: { path: string } }; 'max-connections'?: number }, Empty>
  'nbd-server-stop': Command<Empty, Empty>
  'block-export-add': Command<{ type: 'nbd'; id: string; 'node-name': string; name?: string; writable?: boolean }, Empty>
  'block-export-del': Command<{ id: string; mode?: 'safe' | 'hard' }, Empty>
  'query-block-exports': Command<Empty, readonly ExportInfo[]>
}

export type CommandName = keyof Commands
export type Arguments<C extends CommandName> = Commands[C]['arguments']
export type Result<C extends CommandName> = Commands[C]['result']

type KeysOf<T> = T extends unknown ? keyof T : never
type Table = { readonly [C in CommandName]: Readonly<Record<KeysOf<Arguments<C>>, true>> }

const ID = { id: true } as const
const JOB = { 'job-id': true, device: true, speed: true, 'auto-finalize': true, 'auto-dismiss': true } as const
const CHECKPOINT = { 'job-id': true, tag: true, devices: true } as const

/** The same list at run time, argument by argument: the compiler keeps the two alike. */
export const COMMANDS: Table = {
  qmp_capabilities: {},
  'query-version': {},
  'query-qmp-schema': {},
  quit: {},
  'query-status': {},
  'query-kvm': {},
  'query-name': {},
  cont: {},
  stop: {},
  system_reset: {},
  system_powerdown: {},
  // `drive` and `serial` belong to the device, so the schema knows only the rest.
  device_add: { driver: true, id: true, drive: true, serial: true },
  device_del: ID,
  'qom-list': { path: true },
  'qom-get': { path: true, property: true },
  'query-pci': {},
  'migrate-set-capabilities': { capabilities: true },
  'migrate-set-parameters': { 'max-bandwidth': true, 'downtime-limit': true },
  migrate: { uri: true },
  'migrate-incoming': { uri: true },
  migrate_cancel: {},
  'query-migrate': {},
  'blockdev-add': {
    driver: true,
    'node-name': true,
    filename: true,
    file: true,
    backing: true,
    discard: true,
    'read-only': true,
    'auto-read-only': true,
  },
  'blockdev-del': { 'node-name': true },
  'blockdev-reopen': { options: true },
  'query-block': {},
  'query-named-block-nodes': { flat: true },
  'x-debug-query-block-graph': {},
  block_resize: { 'node-name': true, size: true },
  transaction: { actions: true },
  'blockdev-snapshot-delete-internal-sync': { device: true, name: true },
  'block-dirty-bitmap-add': { node: true, name: true, persistent: true, granularity: true, disabled: true },
  'block-dirty-bitmap-remove': { node: true, name: true },
  'block-commit': { ...JOB, 'top-node': true, 'base-node': true, 'backing-file': true },
  'blockdev-mirror': { ...JOB, target: true, sync: true, 'copy-mode': true },
  'block-stream': { ...JOB, 'base-node': true, 'backing-file': true },
  'query-jobs': {},
  'query-block-jobs': {},
  'job-finalize': ID,
  'job-complete': ID,
  'job-cancel': ID,
  'job-dismiss': ID,
  'job-pause': ID,
  'job-resume': ID,
  'block-job-set-speed': { device: true, speed: true },
  'snapshot-save': { ...CHECKPOINT, vmstate: true },
  'snapshot-load': { ...CHECKPOINT, vmstate: true },
  'snapshot-delete': CHECKPOINT,
  'block-job-cancel': { device: true, force: true },
  'nbd-server-start': { addr: true, 'max-connections': true },
  'nbd-server-stop': {},
  'block-export-add': { type: true, id: true, 'node-name': true, name: true, writable: true },
  'block-export-del': { id: true, mode: true },
  'query-block-exports': {},
}

/** Events we act upon, with the data we read. */
interface Events {
  SHUTDOWN: { guest: boolean; reason: string }
  RESET: { guest: boolean; reason: string }
  MIGRATION: { status: string }
  STOP: Empty
  RESUME: Empty
  DEVICE_DELETED: { device?: string; path: string }
  JOB_STATUS_CHANGE: { id: string; status: string }
  BLOCK_JOB_COMPLETED: { device: string; error?: string }
  BLOCK_JOB_CANCELLED: { device: string }
}

export type QmpEvent = {
  [E in keyof Events]: {
    readonly event: E
    readonly data: Events[E]
    readonly timestamp?: { readonly seconds: number; readonly microseconds: number }
  }
}[keyof Events]
