/** Roles and who has them. */
import type { Handler } from '../../contract.js'
import { listLinks, roleView } from '../../views/identity/identity.js'

export const listRoles: Handler<'listRoles'> = async ({ caller, query, services, here, reply }) => {
  const roles = await services.identity.listRoles(caller, { name: query.name })
  return reply(200, { roles: roles.map((role) => roleView(role, here)), links: listLinks(here) })
}

export const createRole: Handler<'createRole'> = async ({ caller, body, services, here, reply }) =>
  services.identity.createRole(caller, body.role.name, (role) => reply(201, { role: roleView(role, here) }))

export const showRole: Handler<'showRole'> = async ({ caller, path, services, here, reply }) =>
  reply(200, { role: roleView(await services.identity.findRole(caller, path.role_id), here) })

interface GrantPath {
  readonly project_id: string
  readonly user_id: string
  readonly role_id: string
}
const ids = (path: GrantPath) => ({ projectId: path.project_id, userId: path.user_id, roleId: path.role_id })

export const createGrant: Handler<'createGrant'> = async ({ caller, path, services, reply }) => {
  await services.identity.assignRole(caller, ids(path))
  return reply(204)
}

export const checkGrant: Handler<'checkGrant'> = async ({ caller, path, services, reply }) => {
  await services.identity.checkRole(caller, ids(path))
  return reply(204)
}

export const deleteGrant: Handler<'deleteGrant'> = async ({ caller, path, services, reply }) => {
  await services.identity.revokeRole(caller, ids(path))
  return reply(204)
}

export const listGrants: Handler<'listGrants'> = async ({ caller, path, services, here, reply }) => {
  const roles = await services.identity.rolesIn(caller, { projectId: path.project_id, userId: path.user_id })
  return reply(200, { roles: roles.map((role) => roleView(role, here)), links: listLinks(here) })
}

export const listRoleAssignments: Handler<'listRoleAssignments'> = async ({ caller, query, services, here, reply }) => {
  const assignments = await services.identity.listAssignments(caller, {
    ...(query['user.id'] === undefined ? {} : { userId: query['user.id'] }),
    ...(query['role.id'] === undefined ? {} : { roleId: query['role.id'] }),
    ...(query['scope.project.id'] === undefined ? {} : { projectId: query['scope.project.id'] }),
  })
  const named = query.include_names !== undefined
  const ref = (item: { id: string; name: string }) => ({ id: item.id, ...(named ? { name: item.name } : {}) })
  return reply(200, {
    role_assignments: assignments.map(({ user, project, role }) => ({
      role: ref(role),
      user: ref(user),
      scope: { project: ref(project) },
      links: { assignment: `${here.service}/v3/projects/${project.id}/users/${user.id}/roles/${role.id}` },
    })),
    links: listLinks(here),
  })
}
