/** Pictures over HTTP: what comes back is an image, of one's own things only, which may run nothing. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { covers, measuredNothing, openApi, type TestApi } from '../support/api.js'
import { type Machine, machine, takeSnapshot, V1 } from '../support/server-snapshots.js'

let api: TestApi
let server: Machine
beforeAll(async () => {
  const observe = async () => ({ live: false, disks: [], nodes: [], files: [] })
  api = await openApi({ services: { auditor: { observe, measure: (_, request) => measuredNothing(request) } } })
  server = await machine(api)
  await takeSnapshot(api, server.serverId, { name: '<script>alert("before")</script>' })
  await takeSnapshot(api, server.serverId, { name: 'after' })
})
afterAll(() => api.close())

async function drawn(path: string): Promise<string> {
  const { headers, body } = await api.as('reader').get(path).buffer(true).expect(200)
  expect(headers).toMatchObject({ 'content-type': 'image/svg+xml; charset=utf-8', 'x-content-type-options': 'nosniff' })
  expect(headers['content-security-policy']).toContain("default-src 'none'")
  const text = (body as Buffer).toString('utf8')
  expect(text).toMatch(/^<svg xmlns/)
  expect(text).not.toContain('<script')
  await api.as('foreign').get(path).expect(404)
  return text
}

it('draws the tree of a server’s snapshots', async () => {
  covers('drawServerSnapshotTree', 'success', 'foreign')
  const text = await drawn(`${V1}/servers/${server.serverId}/snapshots/tree.svg`)
  for (const words of ['&lt;script&gt;', 'after', 'current', 'the present', 'vda: 3 layers, vdb: 3 layers']) expect(text).toContain(words)
})

it('draws the chain of a volume, and of a root disk', async () => {
  covers('drawChain', 'success', 'foreign')
  const text = await drawn(`${V1}/volumes/${server.volumeId}/chain.svg`)
  for (const words of ['Layers of data', 'shortened beyond 16, at most 32', 'the present writes here', 'server snapshot &quot;after&quot;'])
    expect(text).toContain(words)
  expect(await drawn(`${V1}/volumes/${server.rootDiskId}/chain.svg`)).toContain('3 layers')
})
