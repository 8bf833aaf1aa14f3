import { describe, expect, it } from 'vitest'
import { qemuExternal } from '../../src/strategies/qemu-external.js'
import { qemuInternal } from '../../src/strategies/qemu-internal.js'
import { selectStrategy, strategyNamed, strategyOf } from '../../src/strategies/select.js'
import type { Strategy, Target } from '../../src/strategies/strategy.js'

const target: Target = { kind: 'external', formats: ['qcow2'], vmState: 'active', disks: 1, withMemory: false }
const bidding = (bid: ReturnType<Strategy['bid']>): Strategy => ({ ...qemuExternal, bid: () => bid })

describe('the strategy of a snapshot', () => {
  it('is the highest bidder', () => {
    const [low, high, none] = [bidding({ rank: 1 }), bidding({ rank: 2 }), bidding({ refuses: 'it cannot' })]
    expect(selectStrategy(target, [low, none, high])).toBe(high)
  })

  it('is refused as invalid, with every reason, when nobody bids', () => {
    expect(() => selectStrategy({ ...target, withMemory: true, vmState: 'stopped' })).toThrow(
      expect.objectContaining({
        kind: 'invalid',
        message:
          'No way to take this snapshot: qemu-external: a server that is off has no memory; qemu-internal: it keeps snapshots inside the disks.',
      }),
    )
  })

  it('is the one of the kind that was asked for, if the disks can hold it', () => {
    expect(selectStrategy(target)).toBe(qemuExternal)
    expect(selectStrategy({ ...target, formats: ['raw'] })).toBe(qemuExternal)
    expect(selectStrategy({ ...target, kind: 'internal' })).toBe(qemuInternal)
    expect(selectStrategy({ ...target, withMemory: true })).toBe(qemuExternal)
    expect(selectStrategy({ ...target, withMemory: true, kind: 'internal', vmState: 'paused' })).toBe(qemuInternal)
    expect([strategyOf('external', false), strategyOf('internal', false)]).toEqual([qemuExternal, qemuInternal])
    expect(() => selectStrategy({ ...target, kind: 'internal', formats: ['qcow2', 'raw'] })).toThrow('a raw disk cannot hold snapshots')
  })

  it('is found again by the name a job was accepted with', () => {
    expect(strategyNamed('qemu-external')).toBe(qemuExternal)
    expect(strategyNamed()).toBe(qemuExternal)
    expect(strategyNamed('qemu-internal')).toBe(qemuInternal)
    expect(() => strategyNamed('gone')).toThrow('There is no snapshot strategy "gone".')
  })
})
