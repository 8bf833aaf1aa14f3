/** The storage audit: tables, files and the guest's graph agree, or the difference has a name. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { refused } from '../../src/domain/errors.js'
import { fileNode, formatNode } from '../../src/domain/names.js'
import type { SeenStorage, StorageAuditor } from '../../src/ports/auditor.js'
import type { Hypervisor } from '../../src/ports/hypervisor.js'
import { ANY } from '../../src/ports/stores.js'
import { createLayerFiles } from '../../src/qemu/layer-files.js'
import { compare } from '../../src/services/strata/storage-audit.js'
import { createStorageAuditor } from '../../src/worker/auditor.js'
import { covers, HOST_ID, measuredNothing, openApi, type TestApi } from '../support/api.js'
import { freshDatabase, type TestDatabase } from '../support/databases.js'
import { createImportWorker, type ImportWorker } from '../support/import-worker.js'
import { layerRow, serverRow } from '../support/rows.js'

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
    tags: [],
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
    { node: 'd-someone', driver: 'x', file: undefined, backing: undefined, virtualSize: 1, allocated: 1, tags: [] },
  ],
  files: [],
}
const [disk] = healthy.disks
const kinds = (seen: Partial<SeenStorage>) => compare(told, { ...healthy, ...seen }).map(({ kind, subject }) => `${kind} ${subject}`)
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
    expect(kinds({ files: ['/pool/stray.qcow2'] })).toEqual(['orphan_file stray.qcow2'])
  })
})

describe('the auditor of a host', () => {
  let pool: string
  const files = createLayerFiles()
  let database: TestDatabase
  const look = () => {
    const auditor = createStorageAuditor({ db: database.db, files, hypervisor: { find: async () => undefined } as unknown as Hypervisor })
    const disks = [{ diskId: DISK, chain: [layer(TOP, pool), layer(BASE, pool)] }]
    return auditor.observe({ serverId: DISK, disks, directories: [pool, pool] })
  }
  beforeAll(async () => {
    database = await freshDatabase('sqlite')
    await database.db.transaction(async (stores) => {
      for (const id of [TOP, BASE]) await stores.layers.insert(layerRow({ id }))
    })
    pool = await mkdtemp('/tmp/strata-audit-')
    await files.create(layer(BASE, pool), null)
    await files.create(layer(TOP, pool), layer(BASE, pool))
  })
  afterAll(async () => {
    await rm(pool, { recursive: true, force: true })
    await database.close()
  })

  it('sees files, headers and strays', async () => {
    await writeFile(join(pool, 'stray.raw'), '')
    const seen = await look()
    expect(seen).toMatchObject({ live: false, nodes: [], disks: [{ headerProblem: null, topNode: null }] })
    expect(seen.files).toEqual([join(pool, 'stray.raw')])
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

describe('the endpoint of a process without a worker', () => {
  const path = `/strata/v1/servers/${DISK}/storage-audit`
  const seen = { live: false, disks: [], nodes: [] }
  let api: TestApi
  let worker: ImportWorker | undefined
  beforeEach(async () => {
    api = await openApi()
    await api.db.transaction((stores) =>
      stores.servers.insert(serverRow({ id: DISK, projectId: api.projectId('member'), hostId: HOST_ID, vmState: 'stopped' })),
    )
  })
  afterEach(async () => {
    await worker?.stop()
    worker = undefined
    await api.close()
  })
  const work = async (observe: StorageAuditor['observe']): Promise<void> => {
    worker = createImportWorker({ auditor: { observe, measure: measuredNothing } })
    await worker.start(api.db, HOST_ID)
  }

  it('answers the owner and no other with what the worker of the host has seen', async () => {
    covers('auditServerStorage', 'success', 'foreign')
    await work(async ({ directories }) => ({ ...seen, files: directories.length > 0 ? ['/pool/stray.qcow2'] : [] }))
    const own = await api.as('member').get(path).expect(200)
    expect(own.body.audit).toMatchObject({ server_id: DISK, live: false, settled: true, disks: [], findings: [] })
    const admins = await api.as('admin').get(path).expect(200)
    expect(admins.body.audit.findings).toMatchObject([{ kind: 'orphan_file', subject: 'stray.qcow2' }])
    await api.as('foreign').get(path).expect(404)
  })

  it('says so when nobody works there, and leaves no job that would still look', async () => {
    await api.as('member').get(path).expect(503)
    expect(await jobs()).toMatchObject([{ state: 'queued', cancelRequested: true }])
  })

  it('makes one job for all of a project that ask while it is unfinished', async () => {
    const all = await Promise.all([1, 2, 3].map(() => api.as('member').get(path)))
    expect(all.map((answer) => answer.status)).toEqual([503, 503, 503])
    expect(await jobs()).toHaveLength(1)
  })

  it('says so when the worker cannot look', async () => {
    await work(async () => {
      throw refused('no such directory')
    })
    await api.as('member').get(path).expect(503)
    expect(await jobs()).toMatchObject([{ state: 'failed' }])
  })
  const jobs = () => api.db.read.jobs.list(ANY, { where: { operation: { is: 'observe-storage' } } })
})
