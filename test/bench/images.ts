/** createImage of a running server with 512 MiB of data, against the bare copy and hashes of the same bytes. */
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Service } from '../support/service.js'
import { below, median, type Row, timed } from './measure.js'
import type { Tenant } from './tenant.js'

const run = promisify(execFile)
const MIB = 1024 * 1024

export async function imageOf512MiB(service: Service, tenant: Tenant): Promise<Row[]> {
  const dir = await mkdtemp('/tmp/strata-img-')
  try {
    const raw = join(dir, 'data.raw')
    const file = await open(raw, 'w')
    for (let index = 0; index < 64; index++) await file.write(randomBytes(8 * MIB))
    await file.sync()
    await file.close()
    const byHand = async (index: number): Promise<void> => {
      const copy = join(dir, `copy${index}.qcow2`)
      await run('qemu-img', ['convert', '-W', '-m', '8', '-f', 'raw', '-O', 'qcow2', raw, copy])
      const written = await open(copy, 'r+')
      await written.sync()
      await written.close()
      for (const name of ['md5', 'sha512']) {
        const hash = createHash(name)
        for await (const chunk of createReadStream(copy)) hash.update(chunk)
      }
      await rm(copy)
    }
    const serverId = await tenant.server(createReadStream(raw))
    const asked = async (index: number): Promise<void> => {
      const made = await service.call<{ image_id: string }>(
        'POST',
        `/compute/v2.1/servers/${serverId}/action`,
        { createImage: { name: `bench-${index}` } },
        { 'openstack-api-version': 'compute 2.45' },
      )
      for (;;) {
        const { status } = await service.call<{ status: string }>('GET', `/image/v2/images/${made.image_id}`)
        if (status === 'active') return
        if (status !== 'queued' && status !== 'saving') throw new Error(`the image is ${status}`)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
    const floor: number[] = []
    const samples: number[] = []
    for (let index = 0; index < 4; index++) {
      const [hand, ours] = [await timed(() => byHand(index)), await timed(() => asked(index))]
      // The first of each warms the caches.
      if (index > 0) floor.push(hand)
      if (index > 0) samples.push(ours)
    }
    const against = 'qemu-img convert and fsync, then md5 and sha512 one after the other'
    return [
      {
        what: 'createImage of 512 MiB, server running',
        n: 3,
        ours: median(samples),
        floor: median(floor),
        unit: 'ms',
        budget: [below(1000)],
        against,
      },
    ]
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
