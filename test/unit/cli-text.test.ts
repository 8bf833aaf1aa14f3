/** What `strata` prints: tables, sizes, trees, and the progress of a job. */
import { describe, expect, it } from 'vitest'
import type { Job } from '../../src/cli/job.js'
import { barText, lineText, milestone } from '../../src/cli/progress.js'
import { durationText, renderRecord, renderTable, renderTree, sizeText, timeText } from '../../src/cli/text.js'

const MIB = 1024 ** 2
const job = (done: number, more: Partial<Job> = {}): Job => ({
  id: 'j',
  operation: 'pull-chain',
  state: 'running',
  resource_type: 'disk',
  resource_id: 'd',
  attempts: 1,
  progress: { bytes_done: done, bytes_total: 400 * MIB, bytes_per_second: 50 * MIB, seconds_left: 6 },
  error: null,
  created_at: '',
  started_at: null,
  ended_at: null,
  ...more,
})

describe('a table', () => {
  it('aligns its columns, numbers and sizes to the right', () => {
    const rows = [
      { name: 'a', size: '1.5 GiB' },
      { name: 'longer', size: '12 MiB' },
      { name: null, size: null },
    ]
    const text = renderTable(rows, [
      ['name', (row) => row.name],
      ['size', (row) => row.size],
    ])
    expect(text.split('\n')).toEqual(['name       size', 'a       1.5 GiB', 'longer   12 MiB', '-             -'])
  })

  it('shows what in a name would move the cursor or break the line', () => {
    const name = 'a\nb\u001b[2Jc\u202ed'
    const safe = 'a\\u000ab\\u001b[2Jc\\u202ed'
    expect(renderTable([{ name }], [['name', (row) => row.name]])).toBe(`name\n${safe}`)
    expect(renderRecord([['name', name]])).toBe(`name  ${safe}`)
    expect(renderTree([{ label: name, children: [{ label: name, children: [] }] }])).toBe(`${safe}\n└── ${safe}`)
  })

  it('of nothing is its heads, and a record has a field a line', () => {
    expect(renderTable([], [['name', () => '']])).toBe('name')
    expect(
      renderRecord([
        ['id', 'x'],
        ['longer', undefined],
      ]),
    ).toBe('id      x\nlonger  -')
  })
})

describe('measures', () => {
  it('are short and of the right unit', () => {
    expect([0, 1023, 1024, 1536, 10 * MIB, 1024 * MIB, 1.25 * 1024 ** 4].map(sizeText)).toEqual([
      '0 B',
      '1023 B',
      '1 KiB',
      '1.5 KiB',
      '10 MiB',
      '1 GiB',
      '1.3 TiB',
    ])
    expect([0.4, 59, 61, 3_700].map(durationText)).toEqual(['0 s', '59 s', '1 min 1 s', '1 h 1 min'])
    expect(timeText('2026-11-21T01:02:03.456789Z')).toBe('2026-11-21 01:02:03')
  })
})

describe('a tree', () => {
  it('hangs children below their parent', () => {
    const leaf = (label: string) => ({ label, children: [] })
    const roots = [{ label: 'a', children: [{ label: 'b', children: [leaf('c'), leaf('d')] }, leaf('e')] }, leaf('f')]
    expect(renderTree(roots).split('\n')).toEqual(['a', '├── b', '│   ├── c', '│   └── d', '└── e', 'f'])
  })
})

describe('progress', () => {
  it('is a bar with share, bytes, rate and time left, as wide as fits', () => {
    expect(barText(job(100 * MIB), 100)).toBe(
      'pull-chain  running  [########----------------------]   25 %  100 MiB of 400 MiB  50 MiB/s  6 s left',
    )
    for (const columns of [20, 60, 70, 80, 200]) expect(barText(job(100 * MIB), columns).length).toBeLessThanOrEqual(columns)
    expect(barText(job(100 * MIB), 60)).not.toContain('[')
  })

  it('says 100 % only when nothing is left, and no rate once it has ended', () => {
    expect(barText(job(400 * MIB - 1), 80)).toContain(' 99 %')
    const ended = job(400 * MIB, { state: 'done', ended_at: '2026-11-21T00:00:00Z' })
    expect(lineText(ended)).toBe('pull-chain  done  100 %  400 MiB of 400 MiB')
    expect(lineText(job(300 * MIB, { state: 'done' }))).toBe('pull-chain  done')
  })

  it('of a job whose bytes are not known is its state', () => {
    expect(barText(job(0, { progress: null }), 80)).toBe('pull-chain  running')
    const nothing = { bytes_done: 0, bytes_total: 0, bytes_per_second: 0, seconds_left: null }
    expect(lineText(job(0, { progress: nothing }))).toBe('pull-chain  running')
  })

  it('is worth another line with each tenth and each state', () => {
    expect(milestone(job(100 * MIB))).toBe(milestone(job(110 * MIB)))
    expect(milestone(job(100 * MIB))).not.toBe(milestone(job(120 * MIB)))
    expect(milestone(job(0))).not.toBe(milestone(job(0, { state: 'undoing' })))
  })
})
