/** Guests: launching QEMU, finding it again after any crash, and talking to it. */
import type { BlockHost, Chain } from './block.js'
import type { Checkpoints } from './checkpoints.js'

export interface GuestDisk {
  readonly diskId: string
  /** Shown to the guest as the drive's serial: first 20 characters of the volume's id. */
  readonly serial: string
  readonly chain: Chain
  readonly readonly?: boolean
  /** Where on the bus it was when the memory was saved that is to be loaded; else wherever there is room. */
  readonly slot?: number
}

export interface GuestSpec {
  readonly serverId: string
  readonly vcpus: number
  readonly ramMib: number
  readonly disks: readonly GuestDisk[]
  /** Direct boot. */
  readonly kernel?: { readonly path: string; readonly initrd?: string; readonly cmdline: string }
}

/** QEMU's run state in its own words, plus ours for a process that does not answer. */
export type RunState =
  | 'running'
  | 'paused'
  | 'prelaunch'
  | 'shutdown'
  | 'io-error'
  | 'internal-error'
  | 'inmigrate'
  | 'postmigrate'
  | 'other'

export interface MachineFacts {
  readonly qemuVersion: string
  readonly machine: string
  readonly accel: string
  readonly cpu: string
}

export interface GuestFacts extends MachineFacts {
  /** By disk id, of those that are plugged in. */
  readonly slots: Readonly<Record<string, number>>
}

export interface SaveOptions {
  /** Stops it at once and asks QEMU nothing more: what is left is found by its run state and by what is at the path. */
  readonly signal: AbortSignal
  readonly onProgress?: (progress: { readonly bytesDone: number; readonly bytesTotal: number }) => void
}

export interface MemorySaveOptions extends SaveOptions {
  /** A guest that is to run on afterwards: the copy takes longer, so that it stands for less time at its end. */
  readonly goesOn?: boolean
}

export interface MemorySaved {
  /** How long a guest that was running has been stopped by then; 0 for one that was stopped before. */
  readonly stoppedForMicros: number
}

export interface Guest {
  readonly serverId: string
  readonly blocks: BlockHost
  readonly checkpoints: Checkpoints
  runState(): Promise<RunState>
  /** QMP `cont`. */
  resume(): Promise<void>
  /** QMP `stop`. */
  pause(): Promise<void>
  reset(): Promise<void>
  /** ACPI power button. */
  pressPowerButton(): Promise<void>
  /** Resolves true at run state `shutdown` or when the process is gone, false after `timeoutMs`. */
  waitForShutdown(timeoutMs: number, signal?: AbortSignal): Promise<boolean>
  /** Guest devices by disk id. */
  devices(): Promise<string[]>
  /** Chain must be open. Of a device already there: succeeds. */
  plug(disk: GuestDisk): Promise<void>
  /** Asks the guest to let go and waits; false: it has not within `timeoutMs` (it may still, later). */
  unplug(diskId: string, timeoutMs: number): Promise<boolean>
  facts(): Promise<GuestFacts>
  /**
   * Memory and devices, compressed, to `<path>.part`, whole once this resolves; not durable and not under its name yet
   * (MemoryFiles.publish). A running guest runs on until the last moment; then it stands in `postmigrate` until `resume`.
   * Refused: not saved, and a guest that ran runs on. One that was stopped may stand in `postmigrate` even so, from where
   * only `resume` leads on: no further save is taken of it before.
   */
  saveMemory(path: string, options: MemorySaveOptions): Promise<MemorySaved>
  /** Ends a save that is under way (whoever began it) and waits for its end; of none succeeds. */
  cancelSave(): Promise<void>
  /** Into a guest launched as `incoming`. Resolves with it stopped where it was saved. Refused: QEMU is gone. */
  loadMemory(path: string, options: SaveOptions): Promise<void>
  /** Clean end: flushes, closes images, exits. Resolves when the process is gone. */
  quit(): Promise<void>
}

export interface Hypervisor {
  /**
   * Starts the guest stopped (-S), in its own session so that it outlives us. Resolves when its monitor answers. Running
   * already: Refused. `incoming`: it waits in run state `inmigrate` for its memory, and touches no disk before.
   */
  launch(spec: GuestSpec, options?: { readonly incoming?: boolean }): Promise<void>
  /** Of the next guest. */
  facts(): Promise<MachineFacts>
  /** Is there a process of this server (pid file, pid and start time)? */
  isRunning(serverId: string): Promise<boolean>
  /** The guest, over a cached session; undefined when no process. Unavailable when it does not answer. */
  find(serverId: string): Promise<Guest | undefined>
  /** Ends the process whatever its state and removes its sockets; of none succeeds. */
  kill(serverId: string): Promise<void>
  /** Server ids with a process on this host. */
  running(): Promise<string[]>
  /** Fires when a guest's run state may have changed (shutdown, reset, stop, lost). A hint: the truth is runState(). */
  onChange(listener: (serverId: string) => void): () => void
  /** The serial log, newest last; `lines` undefined = all that is kept. */
  console(serverId: string, lines?: number): Promise<string>
  /** Cuts the serial log of a running guest once it is too long; what `console` shows stays. */
  boundConsole(serverId: string): Promise<void>
  /** Removes run directory and log of a deleted server. */
  forget(serverId: string): Promise<void>
  /** Closes our sessions; guests go on. */
  close(): Promise<void>
}
