/**
 * Why the world said no, as far as that may be told to whoever asked: no path, no address, no word of a guest's or a tool's.
 * An adapter that knows names the reason; whatever else it has to say stays in the error's message, for operators.
 */
export const REASONS = {
  'no-space': 'There is no space left in the storage pool.',
  'pool-away': 'The storage pool is not available.',
  'pool-readonly': 'The storage pool cannot be written.',
  'pool-io': 'The storage pool reported an input or output error.',
  'file-missing': 'A file of the disk is missing from the storage pool.',
  'file-changed': 'A file of the disk is not as it was left, and was not touched.',
  'program-missing': 'A program this needs is not installed on the host.',
  'qemu-silent': 'The hypervisor process of the server does not answer.',
  'qemu-start': 'The hypervisor process of the server could not be started.',
  'qemu-memory': 'The hypervisor process of the server could not be started: the host has not enough memory.',
  'qemu-lock': 'The hypervisor process of the server could not be started: another process has one of its disks open.',
  'qemu-accelerator': 'The hypervisor process of the server could not be started: hardware acceleration is not available.',
  'memory-unreadable': 'The saved memory of the server cannot be loaded.',
  'no-slot': 'The server has no free slot for another device.',
  'device-kept': 'The guest did not release the device in time.',
  'agent-silent': 'The guest agent does not answer.',
  'agent-refused': 'The guest agent did not freeze the file systems.',
  unwritable: 'The outcome could not be recorded yet.',
} as const

export type Reason = keyof typeof REASONS

/** What was not there to be asked, and may be there again. */
export const AWAY: ReadonlySet<Reason> = new Set(['pool-away', 'qemu-silent'])
