/** What every table keeps: whole rows, tenants apart, statuses by compare-and-set. */
import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import { ANY, Duplicate } from '../../src/ports/stores.js'
import { describeOnEachDatabase } from '../support/databases.js'
import {
  AT,
  diskSnapshotRow,
  imageRow,
  layerRow,
  memoryStateRow,
  serverRow,
  serverSnapshotRow,
  snapshotRow,
  volumeRow,
} from '../support/rows.js'

const NASTY = [
  `quote ' double " back \\ tick \` percent % under _ question ? colon :name`,
  'line\nfeed\r\ttab',
  "'; DROP TABLE volumes; --",
  'snow ☃ pile 💩 ñ e\u0301 \u{10FFFF}',
  'x'.repeat(10_240),
  '',
]

describeOnEachDatabase('stores', (database) => {
  it('gives back every field of every table as it was written', async () => {
    const { db } = database()
    const id = randomUUID()
    const rows = {
      hosts: { id, state: 'up', address: '', bootId: 'b', capabilities: { kvm: false }, heartbeatAt: AT, createdAt: AT },
      workers: { id, hostId: 'h', pid: 12, startTime: 99, heartbeatAt: AT, createdAt: AT },
      pools: { id, hostId: 'h', name: 'default', path: '/p', isDefault: true, createdAt: AT },
      flavors: {
        ...{ id, name: 'm1', vcpus: 1, ramMib: 2, diskGib: 3, ephemeralGib: 0, swapMib: 0 },
        ...{ isPublic: true, description: null, extraSpecs: { a: 'b' } },
      },
      servers: serverRow({ id }),
      disks: {
        ...{ id, hostId: 'h', poolId: 'p', projectId: 'p', kind: 'volume', serverId: null, topLayerId: null },
        ...{ virtualSize: 2 ** 50, createdAt: AT },
      },
      layers: layerRow({ id }),
      volumes: volumeRow({ id, imageMetadata: { os: 'linux' } }),
      attachments: {
        ...{ id, projectId: 'p', volumeId: 'v', diskId: 'd', serverId: 's', device: '/dev/vdb', status: 'attached' },
        ...{ bootIndex: 0, deleteOnTermination: true, tag: null, attachedAt: AT, createdAt: AT },
      },
      volumeTypes: { id, name: 'type', description: null, isPublic: true, extraSpecs: {}, createdAt: AT },
      volumeTypeAccess: { id, volumeTypeId: 't', projectId: 'p', createdAt: AT },
      defaultVolumeTypes: { id, volumeTypeId: 't', createdAt: AT },
      volumeTransfers: {
        ...{ id, projectId: 'p', volumeId: 'v', name: null, salt: 's', keyHash: 'k' },
        ...{ noSnapshots: true, createdAt: AT },
      },
      keypairs: { id, userId: 'u', name: 'k', type: 'ssh', publicKey: 'ssh-rsa A', fingerprint: 'aa:bb', createdAt: AT },
      snapshots: snapshotRow({ id }),
      serverSnapshots: serverSnapshotRow({ id, description: 'before the upgrade', metadata: { k: 'v' }, expiresAt: AT }),
      diskSnapshots: diskSnapshotRow({ id, layerId: 'l', tag: 't' }),
      memoryStates: memoryStateRow({ id, serverSnapshotId: 'ss', size: 2 ** 40, mac: 'ab', keyId: 'k' }),
      chainPolicies: { id, projectId: 'p', softDepth: 16, hardDepth: 32, bytesPerSecond: 0, createdAt: AT },
      images: imageRow({ id, properties: { 'a"b': 'c' }, tags: ['t'] }),
      imageMembers: { id, imageId: 'i', memberId: 'm', status: 'pending', createdAt: AT, updatedAt: AT },
      projects: { id, name: 'p', domainId: 'default', description: '', enabled: true, createdAt: AT },
      users: {
        ...{ id, name: 'u', domainId: 'default', email: null, enabled: true, defaultProjectId: null },
        ...{ passwordHash: 'scrypt$', createdAt: AT },
      },
      roles: { id, name: 'role' },
      roleAssignments: { id, userId: 'u', projectId: 'p', roleId: 'r' },
      tokens: { id, userId: 'u', projectId: null, methods: ['password'], auditIds: ['a'], issuedAt: AT, expiresAt: AT },
      messages: {
        ...{ id, projectId: 'p', requestId: 'r', resourceType: 'VOLUME', resourceId: 'v', eventId: 'e' },
        ...{ level: 'ERROR', userMessage: 'sorry', createdAt: AT, expiresAt: AT },
      },
      instanceActions: {
        ...{ id, serverId: 's', projectId: 'p', userId: 'u', action: 'create', requestId: 'r', message: null },
        ...{ startedAt: AT, updatedAt: AT, finishedAt: null },
      },
      events: { id, projectId: 'p', resourceType: 'volume', resourceId: 'v', kind: 'x', payload: { n: [1, null] }, createdAt: AT },
      artefacts: { id, kind: 'layer-file', hostId: 'h', location: '/x', ownerType: 'layer', ownerId: 'l', createdAt: AT },
      idempotencyKeys: { id, projectId: 'p', key: 'k', requestHash: 'h', status: 202, response: '{}', createdAt: AT },
    } as const
    for (const [name, row] of Object.entries(rows)) {
      // biome-ignore lint/suspicious/noExplicitAny: one loop over stores of different rows
      await db.transaction(async (s) => await (s as any)[name].insert(row))
      // biome-ignore lint/suspicious/noExplicitAny: as above
      const found = await (db.read as any)[name].find(ANY, id)
      const { seq, ...rest } = found
      expect(rest, name).toEqual(row)
      expect(seq === undefined || Number.isInteger(seq), name).toBe(true)
    }
  })

  it.each(NASTY.map((name) => [name.slice(0, 20), name]))('keeps and finds the name %j exactly', async (_, name) => {
    const { db } = database()
    const projectId = randomUUID()
    const row = volumeRow({ projectId, name, metadata: { [name.slice(0, 200)]: name } })
    await db.transaction((s) => s.volumes.insert(row))
    const scope = { projectId }
    expect((await db.read.volumes.find(scope, row.id))?.name).toBe(name)
    expect((await db.read.volumes.list(scope, { where: { name: { is: name } } })).length).toBe(1)
    expect((await db.read.volumes.list(scope, { where: { metadata: { pairs: row.metadata } } }))[0]?.metadata).toEqual(row.metadata)
    expect((await db.read.volumes.list(scope, { where: { name: { is: `${name} ` } } })).length).toBe(0)
    if (name !== '') expect(await db.read.volumes.count(scope, { name: { contains: name.slice(1) } })).toBe(1)
  })

  it('compares names with their case, accents and trailing spaces', async () => {
    const { db } = database()
    const projectId = randomUUID()
    for (const name of ['Vol', 'vol', 'völ', 'vol ']) await db.transaction((s) => s.volumes.insert(volumeRow({ projectId, name })))
    expect((await db.read.volumes.list({ projectId }, { where: { name: { is: 'vol' } } })).map((v) => v.name)).toEqual(['vol'])
    expect(await db.read.volumes.count({ projectId }, { name: { contains: 'VOL' } })).toBe(0)
  })

  it('keeps the names of the snapshots of one server apart', async () => {
    const { db } = database()
    const serverId = randomUUID()
    await db.transaction((s) => s.serverSnapshots.insert(serverSnapshotRow({ serverId, name: 'same' })))
    await db.transaction((s) => s.serverSnapshots.insert(serverSnapshotRow({ serverId: randomUUID(), name: 'same' })))
    await expect(db.transaction((s) => s.serverSnapshots.insert(serverSnapshotRow({ serverId, name: 'same' })))).rejects.toThrow(Duplicate)
  })

  it('never shows a foreign row: not found, not listed, not counted, not a marker', async () => {
    const { db } = database()
    const [mine, theirs] = [{ projectId: randomUUID() }, { projectId: randomUUID() }]
    const rows = {
      volumes: volumeRow(mine),
      snapshots: snapshotRow(mine),
      servers: serverRow(mine),
      images: imageRow(mine),
      layers: layerRow(mine),
      serverSnapshots: serverSnapshotRow(mine),
      diskSnapshots: diskSnapshotRow(mine),
      memoryStates: memoryStateRow(mine),
      chainPolicies: { id: randomUUID(), ...mine, softDepth: 16, hardDepth: 32, bytesPerSecond: 0, createdAt: AT },
    }
    for (const [name, row] of Object.entries(rows)) {
      // biome-ignore lint/suspicious/noExplicitAny: one loop over stores of different rows
      await db.transaction(async (s) => await (s as any)[name].insert(row))
      // biome-ignore lint/suspicious/noExplicitAny: as above
      const store = (db.read as any)[name]
      expect(await store.find(mine, row.id), name).toBeDefined()
      expect(await store.find(theirs, row.id), name).toBeUndefined()
      expect(await store.list(theirs), name).toEqual([])
      expect(await store.count(theirs), name).toBe(0)
      await expect(store.list(theirs, { after: row.id }), name).rejects.toMatchObject({ kind: 'notFound' })
    }
    // A scope that is no scope must never read as "all".
    await expect(db.read.volumes.list({} as never)).rejects.toThrow(TypeError)
    await expect(db.read.volumes.list(undefined as never)).rejects.toThrow(TypeError)
  })

  it('lets exactly one of many parallel transitions win', async () => {
    const { db, open } = database()
    const others = [db, await open(), await open()]
    for (let round = 0; round < 5; round++) {
      const row = snapshotRow({ status: 'available' })
      await db.transaction((s) => s.snapshots.insert(row))
      const won = await Promise.all(
        Array.from({ length: 9 }, (_, i) =>
          others[i % 3]?.transaction((s) =>
            s.snapshots.transition(row.id, ['available', 'error'], { status: 'deleting', name: `by ${i}` }),
          ),
        ),
      )
      expect(won.filter(Boolean)).toHaveLength(1)
      expect((await db.read.snapshots.find(ANY, row.id))?.name).toBe(`by ${won.indexOf(true)}`)
    }
  })

  it('says false to a transition from a status the row is not in, and changes nothing', async () => {
    const { db } = database()
    const row = volumeRow({ status: 'in-use' })
    await db.transaction((s) => s.volumes.insert(row))
    expect(await db.transaction((s) => s.volumes.transition(row.id, ['available'], { status: 'deleting' }))).toBe(false)
    expect(await db.transaction((s) => s.volumes.transition(row.id, [], { status: 'deleting' }))).toBe(false)
    expect(await db.transaction((s) => s.volumes.transition(row.id, ['in-use'], { status: 'in-use' }))).toBe(true)
    expect((await db.read.volumes.find(ANY, row.id))?.status).toBe('in-use')
  })

  it('changes only what a patch names', async () => {
    const { db } = database()
    const row = volumeRow()
    await db.transaction((s) => s.volumes.insert(row))
    await db.transaction((s) => s.volumes.update(row.id, { name: null, metadata: { b: 'c' } }))
    await db.transaction((s) => s.volumes.update(row.id, {}))
    const { seq: _, ...found } = (await db.read.volumes.find(ANY, row.id)) ?? { seq: 0 }
    expect(found).toEqual({ ...row, name: null, metadata: { b: 'c' } })
    await expect(db.transaction((s) => s.volumes.update(row.id, { nonsense: 1 } as never))).rejects.toThrow('no field')
    await db.transaction((s) => s.volumes.remove(row.id))
    expect(await db.read.volumes.find(ANY, row.id)).toBeUndefined()
  })

  it('tells a taken name or id from every other failure', async () => {
    const { db } = database()
    const type = { id: randomUUID(), name: `t-${randomUUID()}`, description: null, isPublic: true, extraSpecs: {}, createdAt: AT }
    await db.transaction((s) => s.volumeTypes.insert(type))
    await expect(db.transaction((s) => s.volumeTypes.insert({ ...type, id: randomUUID() }))).rejects.toThrow(Duplicate)
    await expect(db.transaction((s) => s.volumeTypes.insert({ ...type, name: 'other' }))).rejects.toThrow(Duplicate)
  })

  it('answers each kind of condition', async () => {
    const { db } = database()
    const projectId = randomUUID()
    for (const [name, sizeGib, metadata] of [
      ['a', 1, { x: '1', y: '2' }],
      ['b', 2, { x: '1' }],
      [null, 3, {}],
    ] as const)
      await db.transaction((s) => s.volumes.insert(volumeRow({ projectId, name, sizeGib, metadata })))
    const sizes = async (where: object): Promise<number[]> =>
      (await db.read.volumes.list({ projectId }, { where, sort: [{ key: 'sizeGib', dir: 'asc' }] })).map((v) => v.sizeGib)
    expect(await sizes({ name: { is: null } })).toEqual([3])
    expect(await sizes({ name: { not: null } })).toEqual([1, 2])
    expect(await sizes({ name: { not: 'a' } })).toEqual([2, 3])
    expect(await sizes({ name: { in: ['a', 'b', 'z'] } })).toEqual([1, 2])
    expect(await sizes({ name: { in: [] } })).toEqual([])
    expect(await sizes({ sizeGib: { atLeast: 2 } })).toEqual([2, 3])
    expect(await sizes({ sizeGib: { atLeast: 2, atMost: 2 } })).toEqual([2])
    expect(await sizes({ metadata: { pairs: { x: '1' } } })).toEqual([1, 2])
    expect(await sizes({ metadata: { pairs: { y: '2', x: '1' } } })).toEqual([1])
    expect(await sizes({ metadata: { pairs: { x: '' } } })).toEqual([])
    expect(await sizes({ metadata: { pairs: {} } })).toEqual([1, 2, 3])
    expect(await sizes({ bootable: { is: true }, name: { contains: 'b' } })).toEqual([2])
    expect(await sizes({ readonly: { is: true } })).toEqual([])
  })
})
