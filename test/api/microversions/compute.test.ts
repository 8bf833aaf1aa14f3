/**
 * Every microversion of Compute up to the maximum that changes something we serve: a probe's answer just below it, at it
 * and at the maximum. What is not served at all is no row here but a line in README.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { RANGES } from '../../../api/versions.js'
import type { Role } from '../../support/api.js'
import { aServer, useRig } from '../compute/rig.js'

const rig = useRig()
let server = ''
beforeAll(async () => {
  server = await aServer(rig, { body: { name: 'vm', metadata: { a: 'b' } }, patch: { tags: ['red', 'blue'] } })
})

const MAX = RANGES.compute?.max ?? 0
type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'
type Answer = Awaited<ReturnType<typeof rig.call>>
type Ask = (method: Method, path: string, body?: object, role?: Role) => Promise<Answer>
const at =
  (minor: number): Ask =>
  (method, path, body, role = 'member') =>
    rig.call(role, method, path, { version: `2.${minor}`, ...(body === undefined ? {} : { body }) })

const status = async (answer: Promise<Answer>): Promise<number> => (await answer).status
const has = async (answer: Promise<Answer>, key: string, field: string): Promise<boolean> => {
  const { body } = await answer
  return Object.hasOwn(Array.isArray(body[key]) ? body[key][0] : body[key], field)
}
const listed = async (answer: Promise<Answer>): Promise<number> => {
  const { body, status } = await answer
  return status === 200 ? body.servers.length : status
}
const shown = (ask: Ask, role: Role = 'member') => ask('GET', `/servers/${server}`, undefined, role)
/** Refused at last for its flavor, or before for a word that is not there. */
const creating = async (ask: Ask, more: object): Promise<'words' | 'flavor'> => {
  const { body, status } = await ask('POST', '/servers', {
    server: { name: 'x', imageRef: '70a599e0-31e7-49b7-b260-868f441e862b', flavorRef: 'none', networks: [], ...more },
  })
  expect(status).toBe(400)
  return /^Flavor none|^Bad network|^Network /.test(body.badRequest.message) ? 'flavor' : 'words'
}
const device = { boot_index: 0, source_type: 'volume', destination_type: 'volume', uuid: 'x', tag: 'disk' }

type Row = readonly [minor: number, what: string, probe: (ask: Ask) => Promise<unknown>, before: unknown, from: unknown, atMax?: unknown]
const TABLE: readonly Row[] = [
  [3, 'the reservation, for admins', (ask) => has(shown(ask, 'admin'), 'server', 'OS-EXT-SRV-ATTR:reservation_id'), false, true],
  [3, 'the launch index, for admins', (ask) => has(shown(ask, 'admin'), 'server', 'OS-EXT-SRV-ATTR:launch_index'), false, true],
  [5, 'servers by a long address', (ask) => listed(ask('GET', '/servers?ip6=::1')), 1, 0],
  [9, 'locked', (ask) => has(shown(ask), 'server', 'locked'), false, true],
  [16, 'the state of the host, for admins', (ask) => has(shown(ask, 'admin'), 'server', 'host_status'), false, true],
  [19, 'the description', (ask) => has(shown(ask), 'server', 'description'), false, true],
  [19, 'a description of a new server', (ask) => creating(ask, { description: 'd' }), 'words', 'flavor'],
  [19, 'a new description', (ask) => status(ask('PUT', `/servers/${server}`, { server: { description: 'd' } })), 400, 200],
  [26, 'tags', (ask) => has(shown(ask), 'server', 'tags'), false, true],
  [26, 'the tags of a server', (ask) => status(ask('GET', `/servers/${server}/tags`)), 404, 200],
  [26, 'servers by all tags', (ask) => listed(ask('GET', '/servers?tags=red,green')), 1, 0],
  [26, 'servers by any tag', (ask) => listed(ask('GET', '/servers?tags-any=green,grey')), 1, 0],
  [26, 'servers without all tags', (ask) => listed(ask('GET', '/servers?not-tags=red,blue')), 1, 0],
  [26, 'servers without any tag', (ask) => listed(ask('GET', '/servers?not-tags-any=red,green')), 1, 0],
  [32, 'tags of block devices', (ask) => creating(ask, { block_device_mapping_v2: [device] }), 'words', 'flavor'],
  [32, 'tags of networks', (ask) => creating(ask, { networks: [{ tag: 'net' }] }), 'words', 'flavor'],
  [33, 'no tags of block devices any more', (ask) => creating(ask, { block_device_mapping_v2: [device] }), 'flavor', 'words', 'flavor'],
  [36, 'no images any more', (ask) => status(ask('GET', '/images')), 200, 404],
  [
    36,
    'no limits of networks any more',
    async (ask) => Object.hasOwn((await ask('GET', '/limits')).body.limits.absolute, 'maxTotalFloatingIps'),
    true,
    false,
  ],
  [37, 'that networks are named', (ask) => creating(ask, { networks: undefined }), 'flavor', 'words'],
  [37, 'networks auto and none', (ask) => creating(ask, { networks: 'none' }), 'words', 'flavor'],
  [37, 'no tags of networks any more', (ask) => creating(ask, { networks: [{ tag: 'net' }] }), 'flavor', 'words', 'flavor'],
  [38, 'a status that is none', (ask) => listed(ask('GET', '/servers?status=odd')), 0, 400],
  [38, 'nothing for a status among others', (ask) => listed(ask('GET', '/servers?status=odd&status=active')), 1, 1],
  [39, 'no metadata of images any more', (ask) => status(ask('GET', '/images/70a599e0-31e7-49b7-b260-868f441e862b/metadata/a')), 404, 404],
  [
    39,
    'no limit of image metadata any more',
    async (ask) => Object.hasOwn((await ask('GET', '/limits')).body.limits.absolute, 'maxImageMeta'),
    true,
    false,
  ],
  [42, 'tags of block devices again', (ask) => creating(ask, { block_device_mapping_v2: [device] }), 'words', 'flavor'],
  [42, 'tags of networks again', (ask) => creating(ask, { networks: [{ tag: 'net' }] }), 'words', 'flavor'],
  [47, 'the flavor itself', (ask) => shown(ask).then(({ body }) => Object.hasOwn(body.server.flavor, 'vcpus')), false, true],
  [
    49,
    'a tag of an attached volume (there is none to attach, and words come first)',
    (ask) => status(ask('POST', `/servers/${server}/os-volume_attachments`, { volumeAttachment: { volumeId: server, tag: 'x' } })),
    400,
    404,
  ],
  [51, 'events of actions, for everybody', (ask) => eventsOf(ask), false, true],
  [52, 'tags of a new server', (ask) => creating(ask, { tags: ['x'] }), 'words', 'flavor'],
  [55, 'the description of a flavor', (ask) => has(ask('GET', '/flavors'), 'flavors', 'description'), false, true],
  [55, 'a new description of a flavor', (ask) => status(ask('PUT', '/flavors/1', { flavor: { description: 'd' } }, 'admin')), 404, 200],
  [57, 'no files for a new server', (ask) => creating(ask, { personality: [] }), 'flavor', 'words'],
  [
    57,
    'no limit of files any more',
    async (ask) => Object.hasOwn((await ask('GET', '/limits')).body.limits.absolute, 'maxPersonality'),
    true,
    false,
  ],
  [
    58,
    'when an action was updated',
    (ask) => has(ask('GET', `/servers/${server}/os-instance-actions`), 'instanceActions', 'updated_at'),
    false,
    true,
  ],
  [58, 'actions by time', (ask) => status(ask('GET', `/servers/${server}/os-instance-actions?changes-since=odd`)), 200, 400],
]

async function eventsOf(ask: Ask): Promise<boolean> {
  const { body } = await ask('GET', `/servers/${server}/os-instance-actions`)
  const { body: one } = await ask('GET', `/servers/${server}/os-instance-actions/${body.instanceActions[0].request_id}`)
  return Object.hasOwn(one.instanceAction, 'events')
}

describe('Compute', () => {
  it.each(TABLE.map(([minor, what, probe, before, from, atMax = from]) => ({ minor, what, probe, before, from, atMax })))(
    '2.$minor brings $what',
    async ({ minor, probe, before, from, atMax }) => {
      expect(await probe(at(minor - 1))).toEqual(before)
      expect(await probe(at(minor))).toEqual(from)
      expect(await probe(at(MAX))).toEqual(atMax)
    },
  )

  it('shows the actions of a server that is gone from 2.21', async () => {
    const gone = await aServer(rig, { body: { name: 'gone' }, vmState: 'deleted' })
    expect(await status(at(20)('GET', `/servers/${gone}/os-instance-actions`))).toBe(404)
    expect(await status(at(21)('GET', `/servers/${gone}/os-instance-actions`))).toBe(200)
  })

  it('describes a server by its name below 2.19', async () => {
    const { body } = await at(18)('POST', '/servers', {
      server: { name: 'old', imageRef: (await shown(at(1))).body.server.image.id, flavorRef: '1' },
    })
    expect((await at(19)('GET', `/servers/${body.server.id}`)).body.server.description).toBe('old')
  })

  it('names the image of a server in the Location below 2.45, and in the body from there on', async () => {
    const old = await at(44)('POST', `/servers/${server}/action`, { createImage: { name: 'one' } })
    expect(old).toMatchObject({ status: 202, body: {} })
    expect(old.headers['location']).toMatch(/\/images\/[0-9a-f-]{36}$/)
    const other = await aServer(rig, { body: { name: 'other' } })
    const late = await at(45)('POST', `/servers/${other}/action`, { createImage: { name: 'two' } })
    expect(late.body.image_id).toMatch(/^[0-9a-f-]{36}$/)
    expect(late.headers['location']).toBeUndefined()
  })

  it('gives each server of one request its place', async () => {
    const imageRef = (await shown(at(1))).body.server.image.id
    const { body } = await at(1)('POST', '/servers', {
      server: { name: 'many', imageRef, flavorRef: '1', min_count: 2, return_reservation_id: true },
    })
    const { body: all } = await at(3)('GET', `/servers/detail?all_tenants=1&reservation_id=${body.reservation_id}`, undefined, 'admin')
    const places = all.servers.map((one: Record<string, unknown>) => one['OS-EXT-SRV-ATTR:launch_index'])
    expect(places.sort()).toEqual([0, 1])
  })
})
