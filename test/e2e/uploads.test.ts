/**
 * An upload that does not come to its end: its client leaves, the service is asked to end, or is killed. The image waits
 * for bytes again, nothing is left of those that came, and nobody is told of a fault.
 */
import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { type ClientRequest, request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createCloud, type Seen } from '../support/cloud.js'
import { type Service, startService } from '../support/service.js'
import { until } from '../support/until.js'

const TIMEOUT = 120_000

let service: Service
const cloud = createCloud(() => service)
beforeEach(async () => {
  service = await startService()
}, TIMEOUT)
afterEach(async () => await service?.stop(), TIMEOUT)

const staging = (): string[] => readdirSync(join(service.stateDir, 'staging'))
const ended = async (): Promise<number | null> => await new Promise((resolve) => service.process.once('exit', (code) => resolve(code)))
const isQueued = async (id: string): Promise<void> => {
  await until(async () => (await cloud.image(id)).status === 'queued', { what: 'the image to be queued again' })
  expect(staging()).toEqual([])
}

/** Some bytes are on the disk, more are to come. */
async function begun(): Promise<{ id: string; request: ClientRequest; answer: Promise<number | string> }> {
  const made = await cloud.call<Seen>('POST', '/image/v2/images', { name: 'cut', disk_format: 'raw', container_format: 'bare' })
  const headers = { 'x-auth-token': await service.token(), 'content-type': 'application/octet-stream', 'content-length': '10000000' }
  const request = httpRequest(`${service.url}/image/v2/images/${made.id}/file`, { method: 'PUT', headers })
  const answer = new Promise<number | string>((resolve) => {
    request.once('response', (response) => resolve(response.resume().statusCode ?? 0))
    request.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'broken'))
  })
  request.write(randomBytes(100_000))
  await until(() => staging().length === 1, { what: 'the staging file' })
  expect((await cloud.image(made.id)).status).toBe('saving')
  return { id: made.id, request, answer }
}

it(
  'whose client leaves is no error of the service',
  async () => {
    const { id, request } = await begun()
    request.destroy()
    await isQueued(id)
    await until(() => /"operationId":"uploadImageData".*"status":4\d\d/.test(service.log()), { what: 'the end of the request in the log' })
    expect(service.log()).not.toMatch(/"level":(50|60|"error"|"fatal")/)
  },
  TIMEOUT,
)

it(
  'is answered and given up when the service is asked to end, before it ends',
  async () => {
    const { id, answer } = await begun()
    const code = ended()
    service.process.kill('SIGTERM')
    expect(await answer).toBe(503)
    expect(await code).toBe(0)
    expect(staging()).toEqual([])
    expect(service.log()).not.toMatch(/"level":(50|60|"error"|"fatal")/)
    service = await startService({ stateDir: service.stateDir })
    expect((await cloud.image(id)).status).toBe('queued')
  },
  TIMEOUT,
)

it(
  'is given up at the next start when the service was killed, and the next upload succeeds',
  async () => {
    const { id, request } = await begun()
    const gone = ended()
    service.process.kill('SIGKILL')
    await gone
    request.destroy()
    expect(staging()).toHaveLength(1)
    service = await startService({ stateDir: service.stateDir })
    await isQueued(id)
    const headers = { 'x-auth-token': await service.token(), 'content-type': 'application/octet-stream' }
    const again = await fetch(`${service.url}/image/v2/images/${id}/file`, { method: 'PUT', headers, body: 'whole' })
    expect(again.status).toBe(204)
    expect(await cloud.image(id)).toMatchObject({ status: 'active', size: 5 })
  },
  TIMEOUT,
)
