/** An operation nobody tries to break is one nobody knows to be sound. */
import { expect, it } from 'vitest'
import { registry } from '../../src/operations/registry.js'
import { SCENARIOS } from './scenarios.js'

it('every registered operation has a scenario, and every scenario is of one', () => {
  const registered = new Set([...registry.values()].map((one) => one.descriptor.name))
  expect(new Set(SCENARIOS.map((one) => one.operation))).toEqual(registered)
})

it('no two scenarios share a name, by which one is run again', () => {
  expect(new Set(SCENARIOS.map((one) => one.name)).size).toBe(SCENARIOS.length)
})
