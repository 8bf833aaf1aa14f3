/** /v3/auth: tokens, the catalog, and where one may go. */
import { DomainError } from '../../../src/domain/errors.js'
import type { TokenRequest } from '../../../src/services/identity/identity.js'
import type { Body, Handler } from '../../contract.js'
import { listLinks, projectView, tokenView } from '../../views/identity/identity.js'

export const createToken: Handler<'createToken'> = async ({ body, services, here, address, reply }) => {
  const catalog = !here.search.has('nocatalog')
  return services.identity.issueToken(tokenRequest(body.auth, address), (view, secret) =>
    reply(201, tokenView(view, here, { region: services.identity.region, catalog }), { 'X-Subject-Token': secret }),
  )
}

function tokenRequest({ identity, scope }: Body<'createToken'>['auth'], address: string): TokenRequest {
  const known = identity.methods.filter((method) => method === 'password' || method === 'token')
  const [method] = known
  if (method === undefined || known.length !== identity.methods.length)
    throw new DomainError('unauthenticated', `Attempted to authenticate with an unsupported method.`)
  if (!identity[method]) throw new DomainError('invalid', `Expecting to find ${method} in identity. ${MALFORMED}`)
  if (typeof scope === 'object' && scope.domain)
    throw new DomainError('unauthenticated', 'The request you have made requires authentication.')
  return {
    methods: known,
    password: known.includes('password') ? identity.password : undefined,
    token: identity.token && known.includes('token') ? { secret: identity.token.id } : undefined,
    project: typeof scope === 'object' ? scope.project : undefined,
    unscoped: scope === 'unscoped',
    address,
  }
}

const MALFORMED =
  'The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.'

export const showToken: Handler<'showToken'> = async ({ caller, headers, services, here, reply }) => {
  const secret = subject(headers['x-subject-token'])
  const view = await services.identity.showToken(caller, secret)
  const catalog = !here.search.has('nocatalog')
  return reply(200, tokenView(view, here, { region: services.identity.region, catalog }), { 'X-Subject-Token': secret })
}

export const revokeToken: Handler<'revokeToken'> = async ({ caller, headers, services, reply }) => {
  await services.identity.revokeToken(caller, subject(headers['x-subject-token']))
  return reply(204)
}

function subject(header: string | string[] | undefined): string {
  const secret = Array.isArray(header) ? header[0] : header
  if (!secret) throw new DomainError('notFound', 'Could not recognize Fernet token')
  return secret
}

export const showCatalog: Handler<'showCatalog'> = async ({ headers, services, here, reply }) => {
  const view = await services.identity.ownToken(String(headers['x-auth-token'] ?? ''))
  const { token } = tokenView(view, here, { region: services.identity.region, catalog: true })
  if (!token.catalog) throw new DomainError('forbidden', 'The catalog is only available for a scoped token.')
  return reply(200, { catalog: token.catalog, links: listLinks(here) })
}

export const listOwnProjects: Handler<'listOwnProjects'> = async ({ caller, services, here, reply }) => {
  const projects = await services.identity.projectsOf(caller, caller.userId)
  return reply(200, {
    projects: projects.filter((project) => project.enabled).map((project) => projectView(project, here)),
    links: listLinks(here),
  })
}
