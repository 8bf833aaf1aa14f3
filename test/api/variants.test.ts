/** Microversions: what does not exist at a version is neither taken nor told there. */
import { describe, expect, it } from 'vitest'
import { actionsOf } from '../../api/actions.js'
import { createBackend } from '../../api/backend.js'
import { type Endpoint, endpointsOf, loadDocument } from '../../api/document.js'
import { createVariants } from '../../api/variants.js'
import { makeVersion, RANGES } from '../../api/versions.js'

const content = (schema: object) => ({ content: { 'application/json': { schema: schema as Record<string, unknown> } } })
const thing = {
  type: 'object',
  required: ['id', 'late', 'early'],
  properties: {
    id: { type: 'string' },
    late: { type: 'string', 'x-min-version': '3.14' },
    early: { type: 'string', 'x-max-version': '3.9' },
  },
}
const endpoint: Endpoint = {
  operationId: 'thing',
  service: 'volume',
  method: 'post',
  path: '/volume/v3/{project_id}/things',
  isPublic: false,
  operation: {
    operationId: 'thing',
    requestBody: content({ ...thing, additionalProperties: false }),
    responses: { 200: content(thing) },
    'x-min-version': '3.2',
  },
}
const actions: Endpoint = {
  ...endpoint,
  operationId: 'act',
  path: '/volume/v3/{project_id}/things/{id}/action',
  operation: {
    operationId: 'act',
    requestBody: content({
      oneOf: [
        { type: 'object', properties: { old: {} } },
        { type: 'object', properties: { new: {} }, 'x-min-version': '3.40', 'x-admin': true },
      ],
    }),
    responses: { 202: {} },
  },
}
const at = (minor: number) => makeVersion(3, minor)

describe('an operation at a microversion', () => {
  it('is one variant per range in which nothing changes', () => {
    const variants = createVariants()
    const ids = [0, 1, 2, 9, 10, 13, 14, 66].map((minor) => variants.of(endpoint, at(minor), {}).id)
    expect(ids).toEqual(['thing@0', 'thing@0', 'thing@2', 'thing@2', 'thing@10', 'thing@10', 'thing@14', 'thing@14'])
    expect(variants.of(endpoint, at(1), {}).exists).toBe(false)
    expect(variants.of(endpoint, at(2), {}).exists).toBe(true)
  })

  it('tells nothing that came later or is gone, even where the answer is free-form, and all that is there', async () => {
    const variants = createVariants()
    const backend = await createBackend({
      document: { openapi: '3.0.3', info: { title: '', version: '' }, paths: {} },
      variants,
      authenticate: {},
      run: async () => ({}) as never,
    })
    const check = (minor: number, body: object) => backend.check(variants.of(endpoint, at(minor), {}), 200, body)
    expect(check(9, { id: 'x', early: 'e' })).toBeUndefined()
    expect(check(9, { id: 'x', early: 'e', late: 'l' })).toContain('/late')
    expect(check(10, { id: 'x', early: 'e' })).toContain('/early')
    expect(check(14, { id: 'x', late: 'l' })).toBeUndefined()
    expect(check(14, { id: 'x' })).toContain("'late'")
  })

  it('has only the actions of that version', () => {
    const variants = createVariants()
    expect(variants.of(actions, at(39), { old: {} })).toMatchObject({ action: 'old', needsAdmin: false })
    expect(variants.of(actions, at(39), { new: {} }).action).toBeNull()
    expect(variants.of(actions, at(40), { new: {} })).toMatchObject({ action: 'new', needsAdmin: true })
    for (const body of [{ constructor: {} }, {}, [], 'old', null]) expect(variants.of(actions, at(40), body).action).toBeNull()
  })
})

describe('the contract', () => {
  it.each(['identity', 'compute', 'volume', 'image', 'strata'])(
    'compiles for every operation, action and status of %s at the first and the last version',
    { timeout: 120_000 },
    async (service) => {
      const document = loadDocument()
      const variants = createVariants()
      const backend = await createBackend({ document, variants, authenticate: {}, run: async () => ({}) as never })
      const broken: string[] = []
      for (const each of endpointsOf(document).filter((endpoint) => endpoint.service === service)) {
        const range = RANGES[each.service] ?? { major: 0, min: 0, max: 0 }
        for (const minor of [range.min, range.max])
          for (const body of [{}, ...Object.keys(actionsOf(each) ?? {}).map((action) => ({ [action]: {} }))]) {
            const variant = variants.of(each, makeVersion(range.major, minor), body)
            try {
              // All actions of an endpoint share its answers.
              if (!variant.action) for (const status of Object.keys(each.operation.responses)) backend.check(variant, Number(status), {})
              backend.compile(variant)
            } catch (error) {
              broken.push(`${variant.id} ${String(error)}`)
            }
          }
      }
      expect(broken).toEqual([])
    },
  )
})
