/** Domains (there is one) and projects. */
import { DomainError } from '../../../src/domain/errors.js'
import { DEFAULT_DOMAIN } from '../../../src/services/identity/names.js'
import type { Handler } from '../../contract.js'
import { domainView, listLinks, projectView } from '../../views/identity/identity.js'

export const listDomains: Handler<'listDomains'> = async ({ query, here, reply }) => {
  const named = query.name === undefined || query.name === DEFAULT_DOMAIN.name
  return reply(200, { domains: named ? [domainView(here)] : [], links: listLinks(here) })
}

export const showDomain: Handler<'showDomain'> = async ({ path, here, reply }) => {
  if (path.domain_id !== DEFAULT_DOMAIN.id) throw new DomainError('notFound', `Could not find domain: ${path.domain_id}.`)
  return reply(200, { domain: domainView(here) })
}

export const listProjects: Handler<'listProjects'> = async ({ caller, query, services, here, reply }) => {
  const projects = await services.identity.listProjects(caller, { name: query.name, enabled: flag(query.enabled) })
  return reply(200, { projects: projects.map((project) => projectView(project, here)), links: listLinks(here) })
}

export const createProject: Handler<'createProject'> = async ({ caller, body, services, here, reply }) => {
  const { name, description, enabled, domain_id: domainId } = body.project
  inDefaultDomain(domainId)
  return services.identity.createProject(caller, { name, description: description ?? undefined, enabled }, (project) =>
    reply(201, { project: projectView(project, here) }),
  )
}

export const showProject: Handler<'showProject'> = async ({ caller, path, services, here, reply }) =>
  reply(200, { project: projectView(await services.identity.findProject(caller, path.project_id), here) })

export const updateProject: Handler<'updateProject'> = async ({ caller, path, body, services, here, reply }) => {
  const { name, description, enabled } = body.project
  return services.identity.updateProject(caller, path.project_id, { name, description: description ?? undefined, enabled }, (project) =>
    reply(200, { project: projectView(project, here) }),
  )
}

export const deleteProject: Handler<'deleteProject'> = async ({ caller, path, services, reply }) => {
  await services.identity.deleteProject(caller, path.project_id)
  return reply(204)
}

export function inDefaultDomain(domainId: string | null | undefined): void {
  if (typeof domainId === 'string' && domainId !== DEFAULT_DOMAIN.id)
    throw new DomainError('notFound', `Could not find domain: ${domainId}.`)
}

/** A filter such as `enabled` or `enabled=False`. */
export const flag = (text: string | undefined): boolean | undefined =>
  text === undefined ? undefined : !['0', 'false', 'no', 'off'].includes(text.toLowerCase())
