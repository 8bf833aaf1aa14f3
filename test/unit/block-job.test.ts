/**
 * A guest runs several block jobs at once. The end of one must not touch what another works on: a reopen repeats what was
 * read before it, and would put a backing back that the other job is just taking away.
 */
import { expect, it } from 'vitest'
import { formatNode } from '../../src/domain/names.js'
import { waitForBlockJob } from '../../src/qemu/block-job.js'
import type { QmpSession } from '../../src/qemu/qmp/session.js'

const [MINE, OTHER, BELOW] = [
  '11111111-1111-4111-8111-111111111111',
  '22222222-2222-4222-8222-222222222222',
  '33333333-3333-4333-8333-333333333333',
] as const

/** A guest with two writable disks; one's job is through, and another's is not. */
function guest(status: 'concluded' | 'pending', reopened: string[]): QmpSession {
  let now: string = status
  const node = (layerId: string) => ({ 'node-name': formatNode(layerId), drv: 'qcow2', ro: false, file: '', image: { 'virtual-size': 1 } })
  const answers: Record<string, (args: { options?: { 'node-name': string }[] }) => unknown> = {
    'query-jobs': () => [{ id: 'mine', type: 'commit', status: now, 'current-progress': 1, 'total-progress': 1 }],
    'query-named-block-nodes': () => [MINE, OTHER, BELOW].map(node),
    'x-debug-query-block-graph': () => ({
      nodes: [
        { id: 1, type: 'block-driver', name: formatNode(MINE) },
        { id: 2, type: 'block-driver', name: formatNode(OTHER) },
        { id: 3, type: 'block-driver', name: formatNode(BELOW) },
        { id: 4, type: 'block-job', name: 'mine' },
      ],
      edges: [
        { parent: 2, child: 3, name: 'backing' },
        { parent: 4, child: 1, name: 'main node' },
      ],
    }),
    'job-finalize': () => {
      now = 'concluded'
    },
    'blockdev-reopen': ({ options = [] }) => void reopened.push(...options.map((one) => one['node-name'])),
  }
  return {
    execute: async (command: string, args = {}) => answers[command]?.(args),
    onEvent: () => () => {},
    onState: () => () => {},
  } as unknown as QmpSession
}

const wait = { signal: new AbortController().signal, until: 'concluded' } as const

it('a job found concluded has what it wrote flushed, and nothing else', async () => {
  const reopened: string[] = []
  await waitForBlockJob(guest('concluded', reopened), 'mine', { ...wait, writes: [MINE] })
  expect(reopened).toEqual([formatNode(MINE)])
})

it('a job that waits to be finalized is asked what it wrote where nobody says so', async () => {
  const reopened: string[] = []
  await waitForBlockJob(guest('pending', reopened), 'mine', wait)
  expect(new Set(reopened)).toEqual(new Set([formatNode(MINE)]))
})
