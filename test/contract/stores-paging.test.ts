/** Pages: each row once, in order, whatever is inserted meanwhile. */
import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import type { Volume } from '../../src/domain/volume.js'
import type { Query } from '../../src/ports/stores.js'
import { describeOnEachDatabase } from '../support/databases.js'
import { AT, volumeRow } from '../support/rows.js'

type Sort = NonNullable<Query<Volume>['sort']>

describeOnEachDatabase('a paged list', (database) => {
  const fill = async (projectId: string, count: number): Promise<void> =>
    await database().db.transaction(async (s) => {
      for (let i = 0; i < count; i++) {
        const name = i % 4 === 0 ? null : `n${i % 3}`
        const updatedAt = i % 5 === 0 ? null : AT + (i % 2)
        await s.volumes.insert(volumeRow({ projectId, name, updatedAt, sizeGib: 1 + (i % 3), createdAt: AT + (i % 7) }))
      }
    })
  const pages = async (projectId: string, query: Query<Volume>, between?: () => Promise<void>): Promise<Volume[]> => {
    const all: Volume[] = []
    for (;;) {
      const after = all.at(-1)?.id
      const page = await database().db.read.volumes.list({ projectId }, { ...query, limit: 7, ...(after === undefined ? {} : { after }) })
      if (page.length === 0) return all
      all.push(...page)
      await between?.()
    }
  }
  const sorts: Sort[] = [
    [],
    [{ key: 'seq', dir: 'asc' }],
    [{ key: 'createdAt', dir: 'desc' }],
    [
      { key: 'createdAt', dir: 'asc' },
      { key: 'id', dir: 'asc' },
    ],
    [{ key: 'name', dir: 'asc' }],
    [{ key: 'name', dir: 'desc' }],
    [
      { key: 'updatedAt', dir: 'asc' },
      { key: 'name', dir: 'desc' },
    ],
    [
      { key: 'sizeGib', dir: 'desc' },
      { key: 'updatedAt', dir: 'desc' },
    ],
    [{ key: 'bootable', dir: 'asc' }],
  ]
  it.each(sorts.map((sort) => [sort.map((k) => `${k.key} ${k.dir}`).join(', ') || 'newest first', sort] as const))(
    'is the whole list in pieces, by %s',
    async (_, sort) => {
      const projectId = randomUUID()
      await fill(projectId, 40)
      const whole = await database().db.read.volumes.list({ projectId }, { sort })
      expect(whole).toHaveLength(40)
      expect((await pages(projectId, { sort })).map((v) => v.id)).toEqual(whole.map((v) => v.id))
      const rank = (v: Volume): (string | number)[] => sort.map(({ key }) => (v[key] ?? '') as string | number)
      for (const [i, v] of whole.entries()) {
        const before = whole[i - 1]
        if (before === undefined || sort.length === 0) continue
        const at = rank(v).findIndex((value, k) => value !== rank(before)[k])
        if (at < 0) expect(sort.at(-1)?.dir === 'asc' ? v.seq > before.seq : v.seq < before.seq).toBe(true)
        else if (typeof rank(v)[at] === typeof rank(before)[at])
          expect((rank(v)[at] ?? 0) > (rank(before)[at] ?? 0)).toBe(sort[at]?.dir === 'asc')
        else expect(rank(sort[at]?.dir === 'asc' ? before : v)[at]).toBe('')
      }
    },
  )

  it('misses and repeats nothing when rows are inserted and removed between pages', async () => {
    const projectId = randomUUID()
    await fill(projectId, 30)
    const before = await database().db.read.volumes.list({ projectId })
    const seen = await pages(projectId, { sort: [{ key: 'createdAt', dir: 'desc' }] }, () => fill(projectId, 1))
    const ids = seen.map((v) => v.id)
    expect(new Set(ids).size).toBe(ids.length)
    for (const v of before) expect(ids).toContain(v.id)
  })

  it('begins after a marker that the filter itself would not show', async () => {
    const projectId = randomUUID()
    const { db } = database()
    const rows = [volumeRow({ projectId }), volumeRow({ projectId, status: 'error' }), volumeRow({ projectId })]
    for (const row of rows) await db.transaction((s) => s.volumes.insert(row))
    const page = await db.read.volumes.list({ projectId }, { where: { status: { is: 'available' } }, after: rows[1]?.id ?? '' })
    expect(page.map((v) => v.id)).toEqual([rows[0]?.id])
  })

  it('refuses an unknown marker, also for an empty page, and knows limit and offset', async () => {
    const projectId = randomUUID()
    const { db } = database()
    await fill(projectId, 5)
    const list = async (query: Query<Volume>): Promise<number> => (await db.read.volumes.list({ projectId }, query)).length
    await expect(list({ after: randomUUID() })).rejects.toMatchObject({ kind: 'notFound' })
    await expect(list({ after: 'x', limit: 0 })).rejects.toMatchObject({ kind: 'notFound' })
    expect([await list({ limit: 0 }), await list({ offset: 2 }), await list({ limit: 2, offset: 4 }), await list({ offset: 9 })]).toEqual([
      0, 3, 1, 0,
    ])
  })
})
