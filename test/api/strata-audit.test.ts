/** The storage audit: tables, files and the guest's graph agree, or the difference has a name. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fileNode, formatNode } from '../../src/domain/names.js'
import type { SeenStorage } from '../../src/ports/auditor.js'
import type { Hypervisor } from '../../src/ports/hypervisor.js'
import { createLayerFiles } from '../../src/qemu/layer-files.js'
import { compare } from '../../src/services/strata/storage-audit.js'
import { createStorageAuditor } from '../../src/worker/auditor.js'
import { covers, openApi } from '../support/api.js'

const DISK = '5a1c9b52-5e0e-4f4d-9d4c-3e6d5b3c2a10'
const TOP = '5a1c9b52-5e0e-4f4d-9d4c-3e6d5b3c2a11'
const BASE = '5a1c9b52-5e0e-4f4d-9d4c-3e6d5b3c2a12'
const OTHER = '5a1c9b52-5e0e-4f4d-9d4c-3e6d5b3c2a13'

const layer = (layerId: string, directory = '/pool') => ({
  layerId,
  path: `${directory}/${layerId}.qcow2`,
  format: 'qcow2' as const,
  virtualSize: 2 ** 20,
})
const told = [
  {
    diskId: DISK,
    volumeId: null,
    chain: [layer(TOP), layer(BASE)],
    states: new Map([
      [TOP, 'top'],
      [BASE, 'sealed'],
    ]),
  },
]
const open = (id: string) =>
  [formatNode(id), fileNode(id)].map((node) => ({
    node,
    driver: 'qcow2',
    file: undefined,
    backing: undefined,
    virtualSize: 1,
    allocated: 1,
  }))
const healthy: SeenStorage = {
  live: true,
  disks: [
    {
      diskId: DISK,
      files: [TOP, BASE].map((layerId) => ({ layerId, exists: true, allocated: 1 })),
      headerProblem: null,
      topNode: formatNode(TOP),
    },
  ],
  nodes: [
    ...open(TOP),
    ...open(BASE),
    { node: 'd-someone', driver: 'x', file: undefined, backing: undefined, virtualSize: 1, allocated: 1 },
  ],
  files: [`/pool/${TOP}.qcow2`, `/pool/${BASE}.qcow2`],
}
const [disk] = healthy.disks
const known = new Set([`${TOP}.qcow2`, `${BASE}.qcow2`])
const kinds = (seen: Partial<SeenStorage>) => compare(told, { ...healthy, ...seen }, known).map(({ kind, subject }) => `${kind} ${subject}`)
const withDisk = (change: object) => ({ disks: [{ ...disk, ...change } as (typeof healthy.disks)[number]] })

describe('the comparison', () => {
  it('finds nothing where all agree', () => {
    expect(kinds({})).toEqual([])
    expect(kinds({ live: false, nodes: [], ...withDisk({ topNode: null }) })).toEqual([])
  })

  it('names each drift', () => {
    expect(
      kinds(
        withDisk({
          files: [
            { layerId: TOP, exists: true, allocated: 1 },
            { layerId: BASE, exists: false, allocated: null },
          ],
        }),
      ),
    ).toEqual([`missing_file ${BASE}`])
    expect(kinds(withDisk({ headerProblem: 'says nonsense' }))).toEqual([`header_differs ${DISK}`])
    expect(kinds(withDisk({ topNode: null }))).toEqual([`not_plugged ${DISK}`])
    expect(kinds(withDisk({ topNode: formatNode(BASE) }))).toEqual([`wrong_top ${DISK}`])
    expect(kinds({ nodes: open(TOP) })).toEqual([`missing_node ${BASE}`])
    expect(kinds({ nodes: [...healthy.nodes, ...open(OTHER)] })).toEqual([
      `orphan_node ${formatNode(OTHER)}`,
      `orphan_node ${fileNode(OTHER)}`,
    ])
    expect(kinds({ files: [...healthy.files, '/pool/stray.qcow2'] })).toEqual(['orphan_file stray.qcow2'])
    expect(compare(told, { ...healthy, files: ['/pool/stray.qcow2'] }, undefined)).toEqual([])
  })
})

describe('the auditor of a host', () => {
  let pool: string
  const files = createLayerFiles()
  const auditor = createStorageAuditor({ files, hypervisor: { find: async () => undefined } as unknown as Hypervisor })
  const look = () =>
    auditor.observe({ serverId: DISK, disks: [{ diskId: DISK, chain: [layer(TOP, pool), layer(BASE, pool)] }], directories: [pool, pool] })
  beforeAll(async () => {
    pool = await mkdtemp('/tmp/strata-audit-')
    await files.create(layer(BASE, pool), null)
    await files.create(layer(TOP, pool), layer(BASE, pool))
  })
  afterAll(() => rm(pool, { recursive: true, force: true }))

  it('sees files, headers and strays', async () => {
    await writeFile(join(pool, 'stray.raw'), '')
    const seen = await look()
    expect(seen).toMatchObject({ live: false, nodes: [], disks: [{ headerProblem: null, topNode: null }] })
    expect([...seen.files].sort()).toEqual([join(pool, `${TOP}.qcow2`), join(pool, `${BASE}.qcow2`), join(pool, 'stray.raw')].sort())
    expect(seen.disks[0]?.files.map((file) => file.exists)).toEqual([true, true])
  })

  it('sees a header that says something else', async () => {
    await files.remove(layer(TOP, pool).path)
    await files.create(layer(TOP, pool), layer(OTHER, pool))
    expect((await look()).disks[0]?.headerProblem).toContain(TOP)
  })

  it('sees what is missing', async () => {
    await files.remove(layer(BASE, pool).path)
    expect((await look()).disks[0]).toMatchObject({ headerProblem: null, files: [{ exists: true }, { exists: false, allocated: null }] })
  })
})

describe('the endpoint', () => {
  it('answers the owner and no other, and says so where the host is out of reach', async () => {
    covers('auditServerStorage', 'success', 'foreign')
    const api = await openApi({
      services: { auditor: { observe: async () => ({ live: false, disks: [], nodes: [], files: ['/pool/stray.qcow2'] }) } },
    })
    const without = await openApi()
    try {
      for (const place of [api, without]) await place.db.transaction((stores) => stores.servers.insert(server(place.projectId('member'))))
      const own = await api.as('member').get(`/strata/v1/servers/${DISK}/storage-audit`).expect(200)
      expect(own.body.audit).toMatchObject({ server_id: DISK, live: false, settled: true, disks: [], findings: [] })
      const admins = await api.as('admin').get(`/strata/v1/servers/${DISK}/storage-audit`).expect(200)
      expect(admins.body.audit.findings).toMatchObject([{ kind: 'orphan_file', subject: 'stray.qcow2' }])
      await api.as('foreign').get(`/strata/v1/servers/${DISK}/storage-audit`).expect(404)
      await without.as('member').get(`/strata/v1/servers/${DISK}/storage-audit`).expect(503)
    } finally {
      await api.close()
      await without.close()
    }
  })
})

const server = (projectId: string) => ({
  id: DISK,
  projectId,
  userId: 'u',
  hostId: 'host-a',
  name: 's',
  description: null,
  vmState: 'stopped' as const,
  taskState: null,
  powerState: 4 as const,
  flavor: {
    id: '1',
    name: 'f',
    vcpus: 1,
    ramMib: 64,
    diskGib: 1,
    ephemeralGib: 0,
    swapMib: 0,
    isPublic: true,
    description: null,
    extraSpecs: {},
  },
  imageId: null,
  kernelLayerId: null,
  ramdiskLayerId: null,
  imageProperties: {},
  rootDeviceName: '/dev/vda',
  metadata: {},
  tags: [],
  availabilityZone: 'nova',
  reservationId: 'r',
  accessIpV4: '',
  accessIpV6: '',
  userData: null,
  keyName: null,
  locked: false,
  fault: null,
  createdAt: 1,
  updatedAt: null,
  launchedAt: null,
  terminatedAt: null,
  deletedAt: null,
})
