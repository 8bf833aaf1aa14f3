/**
 * Nothing in the contract is untested. Two halves:
 *
 * - what only a person can write: every operation and action has a test that says `covers(name, …)` (test/support/api.ts)
 *   for success, for an invalid request where it takes input, for a foreign id where its path names one, and for a wrong
 *   state where its resource has states. The calls are found by reading the test files, so a test that is deleted or
 *   renamed shows up here.
 * - what needs no hand: the crawl (crawl.test.ts).
 *
 * STATELESS names, with reason in the contract's own words, what has no state to be wrong in.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { actionsOf } from '../../api/actions.js'
import { type Endpoint, endpointsOf, loadDocument } from '../../api/document.js'
import type { Covered } from '../support/api.js'

interface Subject {
  readonly name: string
  readonly endpoint: Endpoint
  readonly action: string | undefined
}

const subjects = endpointsOf(loadDocument()).flatMap((endpoint): Subject[] => {
  const actions = actionsOf(endpoint)
  const { operationId } = endpoint
  return actions
    ? Object.keys(actions).map((action) => ({ name: `${operationId}:${action}`, endpoint, action }))
    : [{ name: operationId, endpoint, action: undefined }]
})

/** Ids that belong to nobody in particular: another project's caller may use them as well. */
const SHARED_IDS = new Set(['project_id', 'version', 'key', 'tag', 'domain_id'])
/** Resources a tenant owns and whose status decides what may be done. */
const STATEFUL =
  /^\/(volume\/v3\/\{project_id\}\/(volumes|snapshots)|compute\/v2\.1\/servers|image\/v2\/images|strata\/v1\/server-snapshots)\/\{|\/strata\/v1\/servers\/\{server_id\}\/(snapshots|managed-save|autostart)/

/** An action without arguments (`{"os-start": null}`) has nothing in it to be wrong; what is no action at all, the crawl sends. */
const takesInput = ({ endpoint, action }: Subject): boolean => {
  if (action === undefined) return endpoint.operation.requestBody !== undefined
  const member = (actionsOf(endpoint)?.[action]?.['properties'] as Record<string, { properties?: object }> | undefined)?.[action]
  return Object.keys(member?.properties ?? {}).length > 0
}
const hasOwner = ({ endpoint }: Subject): boolean =>
  endpoint.service !== 'identity' &&
  endpoint.operation['x-admin'] !== true &&
  (endpoint.operation.parameters ?? []).some((parameter) => parameter.in === 'path' && !SHARED_IDS.has(parameter.name)) &&
  STATEFUL.test(endpoint.path)
/** Actions, and deleting: what a status can forbid. Setting names or metadata is allowed in every status. */
const canBeWrong = (subject: Subject): boolean =>
  STATEFUL.test(subject.endpoint.path) &&
  (subject.action !== undefined || (/\}$/.test(subject.endpoint.path) && !/\/(metadata|tags|members)\//.test(subject.endpoint.path))) &&
  !STATELESS.has(subject.name) &&
  subject.endpoint.method !== 'get' &&
  subject.endpoint.method !== 'put' &&
  subject.endpoint.method !== 'patch'

const STATELESS: ReadonlySet<string> = new Set([
  // Settings and reports: they change what is recorded, not what runs.
  'volumeAction:os-set_bootable',
  'volumeAction:os-update_readonly_flag',
  'volumeAction:os-set_image_metadata',
  'volumeAction:os-show_image_metadata',
  'volumeAction:os-unset_image_metadata',
  'volumeAction:os-reset_status',
  'volumeAction:os-force_delete',
  'snapshotAction:os-reset_status',
  'deleteSnapshotMetadataItem',
  'snapshotAction:os-force_delete',
  'serverAction:os-resetState',
  'serverAction:os-getConsoleOutput',
  'serverAction:lock',
  'serverAction:unlock',
  // Deleting a server is allowed in every state.
  'deleteServer',
])

async function claims(): Promise<Map<string, Set<Covered>>> {
  const found = new Map<string, Set<Covered>>()
  const folder = import.meta.dirname
  for (const file of (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.test.ts'))) {
    const text = await readFile(join(folder, file), 'utf8')
    for (const [, name = '', list = ''] of text.matchAll(/^\s*covers\(\s*'([^']+)'\s*,([^)]+)\)/gm)) {
      const kinds = found.get(name) ?? new Set<Covered>()
      for (const [, kind] of list.matchAll(/'([^']+)'/g)) kinds.add(kind as Covered)
      found.set(name, kinds)
    }
  }
  return found
}

const demanded: Record<Covered, (subject: Subject) => boolean> = {
  success: () => true,
  invalid: takesInput,
  foreign: hasOwner,
  'wrong state': canBeWrong,
}

describe('the tests of the API', () => {
  it.each(Object.keys(demanded) as Covered[])('cover every operation and action: %s', async (kind) => {
    const claimed = await claims()
    const uncovered = subjects.filter((subject) => demanded[kind](subject) && !claimed.get(subject.name)?.has(kind)).map(({ name }) => name)
    expect(uncovered).toEqual([])
  })

  it('claim to cover only what exists', async () => {
    const names = new Set(subjects.map(({ name }) => name))
    expect([...(await claims()).keys()].filter((name) => !names.has(name))).toEqual([])
  })
})
