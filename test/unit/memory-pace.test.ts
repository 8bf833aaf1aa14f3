import { describe, expect, it } from 'vitest'
import { pressOn } from '../../src/qemu/memory-pace.js'
import type { QmpSession } from '../../src/qemu/qmp/session.js'

describe('the pace of a copy of running memory', () => {
  it('gives a guest time to settle, then lets it stand longer with each pass, and stops it at last, once', async () => {
    const asked: string[] = []
    const execute = async (command: string, args: object = {}): Promise<unknown> => asked.push(`${command} ${Object.values(args)}`.trim())
    const press = pressOn({ execute } as unknown as QmpSession)
    for (const passes of [1, 2, 3, 4]) await press(passes)
    expect(asked).toEqual([])
    for (const passes of [5, 5, 6, 8, 12]) await press(passes)
    const limit = (ms: number): string => `migrate-set-parameters ${ms}`
    expect(asked).toEqual([limit(40), limit(80), limit(300)])
    for (const passes of [16, 17, 18]) await press(passes)
    expect(asked.slice(3)).toEqual(['stop'])
  })
})
