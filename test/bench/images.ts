/** createImage of a running server with 512 MiB of data, against the bare copy and hashes of the same bytes. */
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Service } from '../support/service.js'
import { median, type Row, repeat, timed } from './measure.js'
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
    const floor = await repeat(3, async (index) =>
      timed(async () => {
        await run('qemu-img', ['convert', '-W', '-m', '8', '-f', 'raw', '-O', 'qcow2', raw, join(dir, `copy${index}.qcow2`)])
        for (const name of ['md5', 'sha512']) {
          const hash = createHash(name)
          for await (const chunk of createReadStream(raw)) hash.update(chunk)
        }
      }),
    )
    const serverId = await tenant.server(createReadStream(raw))
    const samples = await repeat(3, async (index) =>
      timed(async () => {
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
      }),
    )
    const against = 'qemu-img convert, then md5 and sha512 one after the other'
    return [
      {
        what: 'createImage of 512 MiB, server running',
        n: 3,
        ours: median(samples),
        floor: median(floor),
        unit: 'ms',
        budget: '< 1000 ms',
        against,
      },
    ]
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
