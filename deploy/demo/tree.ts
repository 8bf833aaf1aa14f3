/**
 * The second half of the story: snapshots of the whole server that grow into a tree. The guest counts in its memory what it
 * writes, so a revert with memory shows in the counter: it goes on from its old value, and no boot is on the console. Then
 * a snapshot that two others stand on is deleted, after the plan said what that moves.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lastAcknowledged, untilAcknowledged } from './journal.js'
import type { Row } from './table.js'
import type { Tenant } from './tenant.js'

export interface Telling {
  say(text: string): void
  prove(claim: string, holds: boolean, facts: string): void
  timed<T>(operation: string, work: () => Promise<T>, more?: (result: T) => Partial<Row> | Promise<Partial<Row>>): Promise<T>
}

interface Shown {
  readonly id: string
  readonly status: string
  readonly consistency: { readonly reached: string; readonly paused_seconds: number | null; readonly frozen_seconds: number | null } | null
  readonly memory_state?: { readonly size: number | null } | null
}
interface Node {
  readonly id: string
  readonly name: string
  readonly memory: boolean
  readonly children: readonly string[]
  readonly is_current: boolean
}
interface Plan {
  readonly hash: string
  readonly bytes_to_copy: number
  readonly reclaimable_bytes: number
  readonly disks: readonly { readonly device: string | null; readonly direction: string; readonly bytes_to_copy: number }[]
}

/** Where the picture of the tree lies. */
export async function tellOfTree(tenant: Tenant, server: string, stateDir: string, { say, prove, timed }: Telling): Promise<string> {
  const of = `/strata/v1/servers/${server}/snapshots`
  const pauseOf = ({ consistency }: Shown): Partial<Row> => {
    const seconds = consistency?.paused_seconds ?? consistency?.frozen_seconds
    return { note: consistency?.reached ?? '', ...(seconds == null ? {} : { pauseMillis: seconds * 1000 }) }
  }
  const take = async (name: string, body: object): Promise<Shown> => {
    const made = await tenant.call<{ server_snapshot: { id: string } }>('POST', of, { name, ...body })
    return (await tenant.until(
      `/strata/v1/server-snapshots/${made.server_snapshot.id}`,
      'server_snapshot',
      'available',
    )) as unknown as Shown
  }
  const count = (): Promise<number> => lastAcknowledged(tenant, server, 'vdb')
  const writeOn = async (): Promise<void> => void (await untilAcknowledged(tenant, server, 'vdb', (await count()) + 15))

  say('\nsnapshots of the whole server: a tree')
  await timed('server snapshot "base", disks only', () => take('base', {}), pauseOf)
  await writeOn()
  const least = await count()
  const checkpoint = await timed('server snapshot "checkpoint", with memory', () => take('checkpoint', { memory: true }), pauseOf)
  const most = (await count()) + 2
  await writeOn()
  await timed('server snapshot "later", disks only', () => take('later', {}), pauseOf)
  await writeOn()
  const present = await count()
  await timed('revert to "checkpoint", with memory', async () => {
    const { job_id } = await tenant.call<{ job_id: string }>('POST', `/strata/v1/server-snapshots/${checkpoint.id}/revert`, {
      memory: true,
    })
    await ended(tenant, job_id)
  })
  await untilAcknowledged(tenant, server, 'vdb', least + 5)
  const console = await tenant.console(server)
  const first = Number(/^ACK vdb (\d+)/m.exec(console)?.[1] ?? 0)
  prove(
    "the counter in the guest's memory goes on from its old value, without a boot",
    first > least && first <= most && !/^READY/m.test(console),
    `${present} before, then ${first}; ${least} when the snapshot was asked for`,
  )
  await timed('server snapshot "branch", disks only', () => take('branch', {}), pauseOf)
  await writeOn()
  await draw(tenant, of, say)

  say('\nwhat deleting "checkpoint" would do, merged into each of the two that stand on it')
  const path = `/strata/v1/server-snapshots/${checkpoint.id}`
  const { plan } = await tenant.call<{ plan: Plan }>('POST', `${path}/delete-plan`, { mode: 'merge', children: 'each' })
  for (const disk of plan.disks) say(`  ${disk.device}: ${disk.direction}, ${disk.bytes_to_copy.toLocaleString('en')} bytes to copy`)
  const deletion = `${path}?mode=merge&children=each&plan=${plan.hash}`
  await timed(
    'delete "checkpoint", bound to the plan, merges included',
    async () => {
      await tenant.call('DELETE', deletion)
      await tenant.untilGone(path)
      await idle(tenant)
    },
    () => ({ bytes: plan.bytes_to_copy }),
  )
  await draw(tenant, of, say)
  const picture = join(stateDir, 'tree.svg')
  await writeFile(picture, await tenant.text(`${of}/tree.svg`))
  await writeOn()
  return picture
}

async function draw(tenant: Tenant, path: string, say: (text: string) => void): Promise<void> {
  const { tree } = await tenant.call<{ tree: { roots: readonly string[]; nodes: readonly Node[] } }>('GET', `${path}/tree`)
  const line = (id: string, depth: number): void => {
    const node = tree.nodes.find((one) => one.id === id)
    if (node === undefined) return
    say(`  ${'    '.repeat(depth)}${node.name}${node.memory ? ' (memory)' : ''}${node.is_current ? '  <- the present' : ''}`)
    for (const child of node.children) line(child, depth + 1)
  }
  for (const root of tree.roots) line(root, 0)
}

async function ended(tenant: Tenant, jobId: string): Promise<void> {
  for (const deadline = Date.now() + 120_000; ; await sleep(5)) {
    const { job } = await tenant.call<{ job: { state: string; error: string | null } }>('GET', `/strata/v1/jobs/${jobId}`)
    if (job.state === 'done') return
    if (!['queued', 'running'].includes(job.state) || Date.now() > deadline) throw new Error(`job ${jobId} is ${job.state}: ${job.error}`)
  }
}

async function idle(tenant: Tenant): Promise<void> {
  for (const state of ['queued', 'running', 'queued'])
    for (const deadline = Date.now() + 120_000; ; await sleep(20)) {
      const { jobs } = await tenant.call<{ jobs: object[] }>('GET', `/strata/v1/jobs?limit=1&state=${state}`)
      if (jobs.length === 0) break
      if (Date.now() > deadline) throw new Error(`a job is still ${state}`)
    }
}
