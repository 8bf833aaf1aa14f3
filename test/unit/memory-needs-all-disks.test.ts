/** Memory that is brought back beside a disk that has gone on would destroy what is on it: both kinds refuse to save it. */
import { expect, it } from 'vitest'
import { saveCheckpoint } from '../../src/steps/checkpoint.js'
import { prepareMemory } from '../../src/steps/snapshot-memory.js'
import type { Tools } from '../../src/steps/tools.js'

const guest = { devices: async () => ['root', 'plugged in since'], runState: async () => 'running' }
const tools = { hypervisor: { find: async () => guest } } as unknown as Tools

const kinds = [
  ['internal', saveCheckpoint({ serverId: 's', memoryStateId: 'm', diskIds: ['root'], tag: 't' })],
  ['external', prepareMemory({ serverId: 's', memoryStateId: 'm', diskIds: ['root'] })],
] as const

it.each(kinds)('memory of the %s kind is not kept without a disk that was plugged in since', async (_, step) => {
  await expect(step.apply({} as never, tools)).rejects.toThrow('with all disks of the server, or not at all')
})
