/** Users. */
import type { Handler } from '../../contract.js'
import { listLinks, projectView, userView } from '../../views/identity/identity.js'
import { flag, inDefaultDomain } from './projects.js'

export const listUsers: Handler<'listUsers'> = async ({ caller, query, services, here, reply }) => {
  const users = await services.identity.listUsers(caller, { name: query.name, enabled: flag(query.enabled) })
  return reply(200, { users: users.map((user) => userView(user, here)), links: listLinks(here) })
}

export const createUser: Handler<'createUser'> = async ({ caller, body, services, here, reply }) => {
  const { name, password, email, enabled, domain_id: domainId, default_project_id: defaultProjectId } = body.user
  inDefaultDomain(domainId)
  return services.identity.createUser(caller, { name, password: password ?? undefined, email, enabled, defaultProjectId }, (user) =>
    reply(201, { user: userView(user, here) }),
  )
}

export const showUser: Handler<'showUser'> = async ({ caller, path, services, here, reply }) =>
  reply(200, { user: userView(await services.identity.findUser(caller, path.user_id), here) })

export const updateUser: Handler<'updateUser'> = async ({ caller, path, body, services, here, reply }) => {
  const { name, password, email, enabled, default_project_id: defaultProjectId } = body.user
  return services.identity.updateUser(
    caller,
    path.user_id,
    { name, password: password ?? undefined, email, enabled, defaultProjectId },
    (user) => reply(200, { user: userView(user, here) }),
  )
}

export const deleteUser: Handler<'deleteUser'> = async ({ caller, path, services, reply }) => {
  await services.identity.deleteUser(caller, path.user_id)
  return reply(204)
}

export const listUserProjects: Handler<'listUserProjects'> = async ({ caller, path, services, here, reply }) => {
  const projects = await services.identity.projectsOf(caller, path.user_id)
  return reply(200, { projects: projects.map((project) => projectView(project, here)), links: listLinks(here) })
}
