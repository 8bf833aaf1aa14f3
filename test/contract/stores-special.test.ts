/** Servers, layers, images and quotas: what is more than a table. */
import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import { pullChain } from '../../src/domain/chain-operations.js'
import { dropLayer } from '../../src/domain/operations.js'
import { ANY, type Database } from '../../src/ports/stores.js'
import { describeOnEachDatabase } from '../support/databases.js'
import { AT, diskSnapshotRow, imageRow, layerRow, serverRow, serverSnapshotRow, snapshotRow } from '../support/rows.js'

describeOnEachDatabase('special stores', (database) => {
  it('moves a server only from the states and tasks expected, no task among them', async () => {
    const { db } = database()
    const row = serverRow({ vmState: 'active', taskState: null })
    await db.transaction((s) => s.servers.insert(row))
    type Expected = Parameters<typeof db.read.servers.transition>[1]
    const move = async (expected: Expected, patch: object): Promise<boolean> =>
      await db.transaction((s) => s.servers.transition(row.id, expected, patch))
    expect(await move({ taskState: ['deleting'] }, { name: 'x' })).toBe(false)
    expect(await move({ vmState: ['stopped'], taskState: [null] }, { name: 'x' })).toBe(false)
    expect(await move({ vmState: ['active'], taskState: [null, 'deleting'] }, { taskState: 'powering-off' })).toBe(true)
    expect(await move({ taskState: [null] }, { name: 'x' })).toBe(false)
    expect(await move({ taskState: [] }, { name: 'x' })).toBe(false)
    expect(await move({ taskState: ['powering-off'] }, { taskState: null, vmState: 'stopped' })).toBe(true)
    expect(await db.read.servers.find(ANY, row.id)).toMatchObject({ name: 'a server', vmState: 'stopped', taskState: null })
  })

  it('tells who holds a token: user, project and roles by name, or none of them', async () => {
    const { db } = database()
    const ids = { user: randomUUID(), project: randomUUID(), scoped: randomUUID(), bare: randomUUID(), orphan: randomUUID() }
    const token = (id: string, userId: string, projectId: string | null) => ({
      ...{ id, userId, projectId, methods: ['password'], auditIds: ['a'], issuedAt: AT, expiresAt: AT },
    })
    await db.transaction(async (s) => {
      const user = { name: ids.user, domainId: 'default', email: null, enabled: false, defaultProjectId: null, passwordHash: 'x' }
      await s.users.insert({ id: ids.user, ...user, createdAt: AT })
      await s.projects.insert({ id: ids.project, name: ids.project, domainId: 'd', description: '', enabled: true, createdAt: AT })
      for (const name of ['zebra', 'ant']) {
        const roleId = randomUUID()
        await s.roles.insert({ id: roleId, name: `${name}-${ids.user}` })
        await s.roleAssignments.insert({ id: randomUUID(), userId: ids.user, projectId: ids.project, roleId })
      }
      await s.tokens.insert(token(ids.scoped, ids.user, ids.project))
      await s.tokens.insert(token(ids.bare, ids.user, null))
      await s.tokens.insert(token(ids.orphan, randomUUID(), ids.project))
    })
    const held = await db.read.tokens.holder(ids.scoped)
    expect(held).toMatchObject({ token: token(ids.scoped, ids.user, ids.project), user: { id: ids.user, enabled: false } })
    expect(held?.project).toEqual(await db.read.projects.find(ANY, ids.project))
    expect(held?.roles.map((role) => role.name)).toEqual([`ant-${ids.user}`, `zebra-${ids.user}`])
    expect(await db.read.tokens.holder(ids.bare)).toMatchObject({ user: { id: ids.user }, project: undefined, roles: [] })
    expect(await db.read.tokens.holder(ids.orphan)).toBeUndefined()
    expect(await db.read.tokens.holder(randomUUID())).toBeUndefined()
  })

  it('tells of each layer of a chain who keeps it, what stands on it, and which snapshots are inside', async () => {
    const { db } = database()
    const base = layerRow()
    const top = layerRow({ parentId: base.id })
    const branch = layerRow({ parentId: base.id })
    const whole = serverSnapshotRow({ name: 'inside' })
    const part = diskSnapshotRow({ serverSnapshotId: whole.id, layerId: base.id, tag: 't' })
    const other = serverSnapshotRow({ name: 'beside' })
    const untagged = diskSnapshotRow({ serverSnapshotId: other.id, layerId: top.id, tag: null })
    const snapshot = snapshotRow({ layerId: base.id, status: 'available' })
    await db.transaction(async (s) => {
      for (const layer of [base, top, branch]) await s.layers.insert(layer)
      for (const row of [whole, other]) await s.serverSnapshots.insert(row)
      for (const row of [part, untagged]) await s.diskSnapshots.insert(row)
      await s.snapshots.insert(snapshot)
    })
    const pins = [
      { kind: 'disk_snapshot', id: part.id },
      { kind: 'snapshot', id: snapshot.id },
    ]
    expect(await db.read.layers.links(top.id)).toMatchObject([
      { layer: { id: top.id }, pins: [{ kind: 'disk_snapshot', id: untagged.id }], children: [], tags: [] },
      { layer: { id: base.id }, pins, children: [{ id: top.id }, { id: branch.id }], tags: ['inside'] },
    ])
    expect(await db.read.layers.links(randomUUID())).toEqual([])
  })

  it('changes the limit of a job that has one and is not over, within its project', async () => {
    const { db } = database()
    const [hostId, projectId]: [string, string] = [randomUUID(), randomUUID()]
    const options = { hostId, origin: { projectId, userId: 'u', requestId: 'r' } }
    const input = { diskId: randomUUID(), baseLayerId: null, bytesPerSecond: 0 }
    const id = await db.transaction((s) => s.jobs.enqueue(pullChain, input, options))
    const unlimited = await db.transaction((s) => s.jobs.enqueue(dropLayer, { layerId: randomUUID() }, options))
    const limit = async (job: string, project = projectId): Promise<boolean> =>
      await db.transaction((s) => s.jobs.limit({ projectId: project }, job, 7))
    expect([await limit(id, 'another'), await limit(unlimited), await limit(id), await limit(id)]).toEqual([false, false, true, true])
    expect((await db.read.jobs.find(ANY, id))?.input).toEqual({ ...input, bytesPerSecond: 7 })
    for (const _ of [id, unlimited]) {
      const wanted = { hostId, workerId: 'w', now: Date.now() * 1000, leaseFor: 60_000_000, except: [] }
      const claim = await db.transaction((s) => s.jobs.claim(wanted))
      if (claim !== undefined) await db.transaction((s) => s.jobs.settle(claim.lease, 'done', null))
    }
    expect(await limit(id)).toBe(false)
  })

  it('walks a chain down, finds children and everything above, and holds on to parents', async () => {
    const { db } = database()
    const tree = [layerRow()]
    for (let i = 1; i < 30; i++) tree.push(layerRow({ parentId: tree[i - 1]?.id ?? null }))
    const id = (i: number): string => tree[i]?.id ?? ''
    const branch = layerRow({ parentId: id(10) })
    await db.transaction(async (s) => {
      for (const layer of [...tree, branch]) await s.layers.insert(layer)
    })
    expect((await db.read.layers.chain(id(29))).map((l) => l.id)).toEqual(tree.map((l) => l.id).reverse())
    expect((await db.read.layers.chain(id(0))).map((l) => l.id)).toEqual([id(0)])
    expect(await db.read.layers.chain(randomUUID())).toEqual([])
    expect((await db.read.layers.children(id(10))).map((l) => l.id)).toEqual([id(11), branch.id])
    expect((await db.read.layers.descendants(id(9))).map((l) => l.id).sort()).toEqual(
      [...tree.slice(10).map((l) => l.id), branch.id].sort(),
    )
    expect(await db.read.layers.descendants(branch.id)).toEqual([])
    await expect(db.transaction((s) => s.layers.remove(id(10)))).rejects.toThrow()
    await db.transaction((s) => s.layers.remove(branch.id))
    expect(await db.transaction((s) => s.layers.transition(id(5), ['top'], { state: 'merging' }))).toBe(false)
    expect(await db.transaction((s) => s.layers.transition(id(5), ['sealed'], { state: 'merging', parentId: id(3) }))).toBe(true)
    expect((await db.read.layers.chain(id(5))).map((l) => l.id)).toEqual([5, 3, 2, 1, 0].map(id))
  })

  it('names who pins a layer, and not who was deleted', async () => {
    const { db } = database()
    const layerId = randomUUID()
    const snapshot = snapshotRow({ layerId })
    const [image, source] = [imageRow({ layerId }), imageRow({ sourceLayerId: layerId })]
    const part = diskSnapshotRow({ layerId })
    const server = serverRow({ kernelLayerId: layerId, ramdiskLayerId: layerId })
    const disk = { id: randomUUID(), hostId: 'h', poolId: 'p', projectId: 'p', kind: 'root', serverId: null } as const
    await db.transaction(async (s) => {
      await s.snapshots.insert(snapshot)
      await s.diskSnapshots.insert(part)
      await s.images.insert(image)
      await s.images.insert(source)
      await s.servers.insert(server)
      await s.disks.insert({ ...disk, topLayerId: layerId, virtualSize: 1, createdAt: AT })
    })
    const pinned = { ...layerRow({ poolId: randomUUID(), state: 'sealed' }), id: layerId }
    const others = (['sealed', 'merging', 'top', 'dropping'] as const).map((state) => layerRow({ poolId: pinned.poolId, state }))
    await db.transaction(async (s) => {
      for (const layer of [pinned, ...others]) await s.layers.insert(layer)
    })
    const unneeded = async (): Promise<string[]> => (await db.read.layers.unneeded(pinned.poolId)).map((layer) => layer.id)
    const free = others.slice(0, 2).map((layer) => layer.id)
    expect(await unneeded()).toEqual(free)
    const pins = async (): Promise<string[]> => (await db.read.layers.pins(layerId)).map((p) => `${p.kind} ${p.id}`)
    expect(await pins()).toEqual(
      [
        `disk ${disk.id}`,
        `disk_snapshot ${part.id}`,
        `image ${image.id}`,
        `image ${source.id}`,
        `server ${server.id}`,
        `snapshot ${snapshot.id}`,
      ].sort(),
    )
    await db.transaction(async (s) => {
      await s.snapshots.update(snapshot.id, { status: 'deleted' })
      await s.diskSnapshots.remove(part.id)
      await s.images.update(image.id, { status: 'deleted' })
      await s.images.update(source.id, { sourceLayerId: null })
      await s.servers.update(server.id, { vmState: 'deleted' })
      await s.disks.update(disk.id, { topLayerId: null })
    })
    expect(await pins()).toEqual([])
    expect(await unneeded()).toEqual([layerId, ...free])
  })

  it("shows images by Glance's rules", async () => {
    const { db } = database()
    const [me, you] = [randomUUID(), randomUUID()]
    const rows = {
      mine: imageRow({ projectId: me, visibility: 'private', tags: ['a', 'a b'], properties: { k: 'v' } }),
      myShared: imageRow({ projectId: me, visibility: 'shared', tags: ['a'] }),
      myCommunity: imageRow({ projectId: me, visibility: 'community' }),
      myHidden: imageRow({ projectId: me, visibility: 'private', hidden: true }),
      myDeleted: imageRow({ projectId: me, visibility: 'private', status: 'deleted' }),
      yours: imageRow({ projectId: you, visibility: 'private' }),
      yourPublic: imageRow({ projectId: you, visibility: 'public' }),
      yourCommunity: imageRow({ projectId: you, visibility: 'community' }),
      yourShared: imageRow({ projectId: you, visibility: 'shared' }),
      accepted: imageRow({ projectId: you, visibility: 'shared' }),
      pending: imageRow({ projectId: you, visibility: 'shared' }),
      // A member of an image that is no longer shared sees nothing.
      unshared: imageRow({ projectId: you, visibility: 'private' }),
    }
    await db.transaction(async (s) => {
      for (const row of Object.values(rows)) await s.images.insert(row)
      for (const [image, status] of [
        [rows.accepted, 'accepted'],
        [rows.pending, 'pending'],
        [rows.unshared, 'accepted'],
      ] as const)
        await s.imageMembers.insert({ id: randomUUID(), imageId: image.id, memberId: me, status, createdAt: AT, updatedAt: AT })
    })
    const names = new Map(Object.entries(rows).map(([name, row]) => [row.id, name]))
    const listed = async (query: Parameters<typeof db.read.images.listVisible>[1]): Promise<string> =>
      (await db.read.images.listVisible(me, { ...query, sort: [{ key: 'seq', dir: 'asc' }] }))
        .flatMap((i) => names.get(i.id) ?? [])
        .join(' ')
    expect(await listed({})).toBe('mine myShared myCommunity yourPublic accepted')
    expect(await listed({ visibility: 'public' })).toBe('yourPublic')
    expect(await listed({ visibility: 'private' })).toBe('mine')
    expect(await listed({ visibility: 'shared' })).toBe('myShared accepted')
    expect(await listed({ visibility: 'shared', memberStatus: 'all' })).toBe('myShared accepted pending')
    expect(await listed({ visibility: 'shared', memberStatus: 'pending' })).toBe('myShared pending')
    expect(await listed({ visibility: 'community' })).toBe('myCommunity yourCommunity')
    expect(await listed({ visibility: 'all' })).toBe('mine myShared myCommunity yourPublic yourCommunity accepted')
    expect(await listed({ where: { hidden: { is: true } } })).toBe('myHidden')
    expect(await listed({ tags: ['a'] })).toBe('mine myShared')
    expect(await listed({ tags: ['a', 'a b'] })).toBe('mine')
    expect(await listed({ tags: ['b'] })).toBe('')
    expect(await listed({ properties: { k: 'v' } })).toBe('mine')
    expect(await listed({ properties: { k: 'x' } })).toBe('')
    expect(await listed({ after: rows.myCommunity.id })).toBe('yourPublic accepted')
    await expect(listed({ after: rows.yours.id })).rejects.toMatchObject({ kind: 'notFound' })
    const visible: string[] = []
    for (const [name, row] of Object.entries(rows)) if (await db.read.images.findVisible(me, row.id)) visible.push(name)
    expect(visible.join(' ')).toBe('mine myShared myCommunity myHidden yourPublic yourCommunity accepted pending')
    const members = await db.read.imageMembers.list({ projectId: you }, { where: { imageId: { is: rows.accepted.id } } })
    expect(members.map((m) => m.memberId)).toEqual([me])
    expect(await db.read.imageMembers.count({ projectId: randomUUID() })).toBe(0)
  })

  const take = async (db: Database, projectId: string, objectId: string, amounts: Record<string, number>) =>
    await db.transaction((s) => s.quotas.take(projectId, objectId, amounts))

  it('takes all or nothing, names the first resource over its limit, and gives back by object', async () => {
    const { db } = database()
    const [p, a, b] = [randomUUID(), randomUUID(), randomUUID()]
    await db.transaction((s) => s.quotas.setLimits(p, { volumes: 2, gigabytes: 10 }))
    expect(await take(db, p, a, { volumes: 1, gigabytes: 4 })).toBeUndefined()
    expect(await take(db, p, b, { gigabytes: 7, volumes: 5 })).toEqual({ resource: 'gigabytes', limit: 10, used: 4, requested: 7 })
    expect(await db.read.quotas.usage(p)).toMatchObject({ volumes: 1, gigabytes: 4, instances: 0 })
    expect(await take(db, p, a, { gigabytes: 6 })).toBeUndefined()
    expect(await take(db, p, b, { volumes: 1 })).toBeUndefined()
    expect(await db.read.quotas.usage(p)).toMatchObject({ volumes: 2, gigabytes: 10 })
    await db.transaction((s) => s.quotas.release(a))
    await db.transaction((s) => s.quotas.release(a))
    await db.transaction((s) => s.quotas.release(randomUUID()))
    expect(await db.read.quotas.usage(p)).toMatchObject({ volumes: 1, gigabytes: 0 })
  })

  it('knows limits of a project over the defaults, and no limit below zero', async () => {
    const { db } = database()
    const p = randomUUID()
    const before = await db.read.quotas.defaults()
    await db.transaction((s) => s.quotas.setDefaults({ cores: 3 }))
    expect(await db.read.quotas.limits(p)).toEqual({ ...before, cores: 3 })
    await db.transaction((s) => s.quotas.setLimits(p, { cores: -1 }))
    expect((await db.read.quotas.limits(p))['cores']).toBe(-1)
    expect(await take(db, p, randomUUID(), { cores: 1_000_000 })).toBeUndefined()
    await db.transaction((s) => s.quotas.clearLimits(p))
    expect((await db.read.quotas.limits(p))['cores']).toBe(3)
    await db.transaction((s) => s.quotas.setDefaults({ cores: before['cores'] ?? -1 }))
  })

  it('never exceeds a limit when many take and give back at once', async () => {
    const { db, open } = database()
    const p = randomUUID()
    await db.transaction((s) => s.quotas.setLimits(p, { volumes: 7, snapshots: 7 }))
    const connections = [db, await open(), await open()]
    const objects = Array.from({ length: 30 }, () => randomUUID())
    const refused = await Promise.all(
      objects.map((id, i) =>
        take(connections[i % 3] as Database, p, id, i % 2 ? { volumes: 1, snapshots: 1 } : { snapshots: 1, volumes: 1 }),
      ),
    )
    expect(refused.filter((r) => r === undefined)).toHaveLength(7)
    expect(await db.read.quotas.usage(p)).toMatchObject({ volumes: 7, snapshots: 7 })
    await Promise.all(objects.map((id, i) => connections[i % 3]?.transaction((s) => s.quotas.release(id))))
    expect(await db.read.quotas.usage(p)).toMatchObject({ volumes: 0, snapshots: 0 })
  })
})
