/**
 * System checkpoints as QEMU itself makes them: the machine's state is written into one qcow2 node, and a tag of one
 * name is put into each of the nodes. The guest stands for as long as that takes. QEMU's answer to the command says
 * nothing: how it ended is in its list of jobs alone, where it stays until it is dismissed.
 */
import type { Micros } from '../domain/time.js'
import type { LayerFile } from './block.js'

export interface Checkpoint {
  /** QEMU's job, named after ids: what is listed under it is ours and is adopted. */
  readonly jobId: string
  readonly tag: string
  /** Layers (or a file of machine state, by its id) that are open and writable. A save puts the machine's state into the first. */
  readonly holders: readonly string[]
}

/** What is listed of a checkpoint's job; `absent` also once it was dismissed. */
export type CheckpointJob = 'absent' | 'running' | 'done' | 'failed'

export interface Checkpoints {
  /**
   * Saves, or waits for the save that is listed. Refused while a block job works on a chain: the tag might go with a layer
   * that is being given up. A guest that ran runs again afterwards, whatever came of it. Tells how long it stood, if seen.
   */
  save(checkpoint: Checkpoint): Promise<Micros | undefined>
  /**
   * The machine and what the nodes read become what they were. Only of a guest that was launched and never ran: a load that
   * fails halfway leaves a machine that must not go on. It stays stopped in any case.
   */
  load(checkpoint: Checkpoint): Promise<void>
  /**
   * The same from a file that holds nothing but machine state, which is not changed: it is read through the file at `scratch`,
   * an empty overlay on its bytes, where what QEMU writes as it loads goes. Both are closed again.
   */
  loadFrom(file: LayerFile, scratch: string, checkpoint: Omit<Checkpoint, 'holders'>): Promise<void>
  /** Takes the tag away; of none succeeds. Its job is dismissed at once: a repetition does no harm. */
  remove(checkpoint: Checkpoint): Promise<void>
  job(jobId: string): Promise<CheckpointJob>
  /** Forgets a job once its result is recorded; one that is still at work ends first. Of none succeeds. */
  dismiss(jobId: string): Promise<void>
}
