/**
 * Projects, users, roles and who has which role where: as far as clients and dynamic credentials need. One domain,
 * `Default`. Reading and changing it is the admin's; everyone may see their own projects and the domain.
 */
import type { Caller } from '../../domain/caller.js'
import type { Project, Role, RoleAssignment, User } from '../../domain/identity.js'
import { ANY, type Query, type Records, type Stores } from '../../ports/stores.js'
import type { ServiceDeps } from '../deps.js'
import { DEFAULT_DOMAIN, newId } from './names.js'
import { hashPassword } from './passwords.js'
import { type AssignmentIds, admin, changed, defined, filterOf, must, nameOf, noAssignment, unique } from './records.js'

export interface NewProject {
  name: string
  domainId?: string | undefined
  description?: string | undefined
  enabled?: boolean | undefined
}
export interface NewUser {
  name: string
  domainId?: string | undefined
  password?: string | undefined
  email?: string | null | undefined
  enabled?: boolean | undefined
  defaultProjectId?: string | null | undefined
}
/** What is undefined stays as it is. */
export type Changes<T> = { [K in keyof T]?: T[K] | undefined }
export interface Assignment {
  readonly user: User
  readonly project: Project
  readonly role: Role
}

export interface Directory {
  listProjects(caller: Caller, filter: { name?: string | undefined; enabled?: boolean | undefined }): Promise<Project[]>
  findProject(caller: Caller, id: string): Promise<Project>
  createProject<R>(caller: Caller, input: NewProject, reply: (project: Project) => R): Promise<R>
  updateProject<R>(caller: Caller, id: string, patch: Changes<NewProject>, reply: (project: Project) => R): Promise<R>
  deleteProject(caller: Caller, id: string): Promise<void>

  listUsers(caller: Caller, filter: { name?: string | undefined; enabled?: boolean | undefined }): Promise<User[]>
  findUser(caller: Caller, id: string): Promise<User>
  createUser<R>(caller: Caller, input: NewUser, reply: (user: User) => R): Promise<R>
  updateUser<R>(caller: Caller, id: string, patch: Changes<NewUser>, reply: (user: User) => R): Promise<R>
  deleteUser(caller: Caller, id: string): Promise<void>
  /** Projects a user has a role in. */
  projectsOf(caller: Caller, userId: string): Promise<Project[]>

  listRoles(caller: Caller, filter: { name?: string | undefined }): Promise<Role[]>
  findRole(caller: Caller, id: string): Promise<Role>
  createRole<R>(caller: Caller, name: string, reply: (role: Role) => R): Promise<R>

  assignRole(caller: Caller, ids: AssignmentIds): Promise<void>
  revokeRole(caller: Caller, ids: AssignmentIds): Promise<void>
  checkRole(caller: Caller, ids: AssignmentIds): Promise<void>
  rolesIn(caller: Caller, ids: Omit<AssignmentIds, 'roleId'>): Promise<Role[]>
  listAssignments(caller: Caller, filter: Partial<AssignmentIds>): Promise<Assignment[]>

  /** First start: roles, project and user `admin`. The password is set only if the user is new. */
  ensureAdmin(options: { password: string }): Promise<{ created: boolean }>
}

export function createDirectory({ db, clock, settings }: ServiceDeps): Directory {
  const read = db.read
  async function insertProject(stores: Stores, input: NewProject): Promise<Project> {
    const name = nameOf(input.name)
    await unique(stores.projects, 'project', name)
    const id = newId()
    const description = input.description ?? ''
    await stores.projects.insert({
      id,
      name,
      domainId: DEFAULT_DOMAIN.id,
      description,
      enabled: input.enabled ?? true,
      createdAt: clock.now(),
    })
    return must(stores.projects, 'project', id)
  }

  async function insertUser(stores: Stores, input: NewUser, passwordHash: string): Promise<User> {
    const name = nameOf(input.name)
    await unique(stores.users, 'user', name)
    const id = newId()
    await stores.users.insert({
      id,
      name,
      domainId: DEFAULT_DOMAIN.id,
      email: input.email ?? null,
      enabled: input.enabled ?? true,
      defaultProjectId: input.defaultProjectId ?? null,
      passwordHash,
      createdAt: clock.now(),
    })
    return must(stores.users, 'user', id)
  }

  async function insertRole(stores: Stores, name: string): Promise<Role> {
    await unique(stores.roles, 'role', nameOf(name))
    const id = newId()
    await stores.roles.insert({ id, name: nameOf(name) })
    return must(stores.roles, 'role', id)
  }

  async function assignment(stores: Stores, ids: Omit<AssignmentIds, 'roleId'> & { roleId?: string }): Promise<RoleAssignment[]> {
    await must(stores.projects, 'project', ids.projectId)
    await must(stores.users, 'user', ids.userId)
    if (ids.roleId !== undefined) await must(stores.roles, 'role', ids.roleId)
    const role = ids.roleId === undefined ? {} : { roleId: { is: ids.roleId } }
    return stores.roleAssignments.list(ANY, { where: { projectId: { is: ids.projectId }, userId: { is: ids.userId }, ...role } })
  }

  async function endTokens(
    stores: Stores,
    where: NonNullable<Query<{ id: string; userId: string; projectId: string | null }>['where']>,
  ): Promise<void> {
    for (const token of await stores.tokens.list(ANY, { where })) await stores.tokens.remove(token.id)
  }

  return {
    async listProjects(caller, filter) {
      admin(caller, 'identity:list_projects')
      return read.projects.list(ANY, { where: filterOf(filter), sort: [{ key: 'name', dir: 'asc' }] })
    },
    async findProject(caller, id) {
      if (id !== caller.projectId) admin(caller, 'identity:get_project')
      return must(read.projects, 'project', id)
    },
    async createProject(caller, input, reply) {
      admin(caller, 'identity:create_project')
      return db.transaction(async (stores) => reply(await insertProject(stores, input)))
    },
    async updateProject(caller, id, patch, reply) {
      admin(caller, 'identity:update_project')
      return db.transaction(async (stores) => {
        if (patch.name !== undefined) await unique(stores.projects, 'project', nameOf(patch.name), id)
        return reply(
          await changed(
            stores.projects,
            'project',
            id,
            defined({ name: patch.name, description: patch.description, enabled: patch.enabled }),
          ),
        )
      })
    },
    async deleteProject(caller, id) {
      admin(caller, 'identity:delete_project')
      await db.transaction(async (stores) => {
        await must(stores.projects, 'project', id)
        for (const row of await stores.roleAssignments.list(ANY, { where: { projectId: { is: id } } }))
          await stores.roleAssignments.remove(row.id)
        await endTokens(stores, { projectId: { is: id } })
        await stores.projects.remove(id)
      })
    },

    async listUsers(caller, filter) {
      admin(caller, 'identity:list_users')
      return read.users.list(ANY, { where: filterOf(filter), sort: [{ key: 'name', dir: 'asc' }] })
    },
    async findUser(caller, id) {
      if (id !== caller.userId) admin(caller, 'identity:get_user')
      return must(read.users, 'user', id)
    },
    async createUser(caller, input, reply) {
      admin(caller, 'identity:create_user')
      const hash = input.password === undefined ? '' : await hashPassword(input.password, settings.passwordCost)
      return db.transaction(async (stores) => reply(await insertUser(stores, input, hash)))
    },
    async updateUser(caller, id, patch, reply) {
      admin(caller, 'identity:update_user')
      const passwordHash = patch.password === undefined ? undefined : await hashPassword(patch.password, settings.passwordCost)
      return db.transaction(async (stores) => {
        if (patch.name !== undefined) await unique(stores.users, 'user', nameOf(patch.name), id)
        const { name, email, enabled, defaultProjectId } = patch
        const user = await changed(stores.users, 'user', id, defined({ name, email, enabled, defaultProjectId, passwordHash }))
        if (passwordHash !== undefined || enabled === false) await endTokens(stores, { userId: { is: id } })
        return reply(user)
      })
    },
    async deleteUser(caller, id) {
      admin(caller, 'identity:delete_user')
      await db.transaction(async (stores) => {
        await must(stores.users, 'user', id)
        for (const row of await stores.roleAssignments.list(ANY, { where: { userId: { is: id } } }))
          await stores.roleAssignments.remove(row.id)
        await endTokens(stores, { userId: { is: id } })
        for (const pair of await stores.keypairs.list(ANY, { where: { userId: { is: id } } })) await stores.keypairs.remove(pair.id)
        await stores.users.remove(id)
      })
    },
    async projectsOf(caller, userId) {
      if (userId !== caller.userId) admin(caller, 'identity:list_user_projects')
      await must(read.users, 'user', userId)
      const rows = await read.roleAssignments.list(ANY, { where: { userId: { is: userId } } })
      const ids = [...new Set(rows.map((row) => row.projectId))]
      return ids.length === 0 ? [] : read.projects.list(ANY, { where: { id: { in: ids } }, sort: [{ key: 'name', dir: 'asc' }] })
    },

    async listRoles(caller, filter) {
      admin(caller, 'identity:list_roles')
      return read.roles.list(ANY, { where: filterOf(filter), sort: [{ key: 'name', dir: 'asc' }] })
    },
    async findRole(caller, id) {
      admin(caller, 'identity:get_role')
      return must(read.roles, 'role', id)
    },
    async createRole(caller, name, reply) {
      admin(caller, 'identity:create_role')
      return db.transaction(async (stores) => reply(await insertRole(stores, name)))
    },

    async assignRole(caller, ids) {
      admin(caller, 'identity:create_grant')
      await db.transaction(async (stores) => {
        if ((await assignment(stores, ids)).length === 0) await stores.roleAssignments.insert({ id: newId(), ...ids })
      })
    },
    async revokeRole(caller, ids) {
      admin(caller, 'identity:revoke_grant')
      await db.transaction(async (stores) => {
        const rows = await assignment(stores, ids)
        if (rows.length === 0) throw noAssignment(ids)
        for (const row of rows) await stores.roleAssignments.remove(row.id)
      })
    },
    async checkRole(caller, ids) {
      admin(caller, 'identity:check_grant')
      if ((await assignment(read, ids)).length === 0) throw noAssignment(ids)
    },
    async rolesIn(caller, ids) {
      admin(caller, 'identity:list_grants')
      const roleIds = (await assignment(read, ids)).map((row) => row.roleId)
      return roleIds.length === 0 ? [] : read.roles.list(ANY, { where: { id: { in: roleIds } }, sort: [{ key: 'name', dir: 'asc' }] })
    },
    async listAssignments(caller, filter) {
      admin(caller, 'identity:list_role_assignments')
      const rows = await read.roleAssignments.list(ANY, { where: filterOf(filter) })
      const byId = async <T extends { id: string }>(records: Records<T>) =>
        new Map((await records.list(ANY)).map((record) => [record.id, record]))
      const [users, projects, roles] = [await byId(read.users), await byId(read.projects), await byId(read.roles)]
      return rows.flatMap((row) => {
        const [user, project, role] = [users.get(row.userId), projects.get(row.projectId), roles.get(row.roleId)]
        return user && project && role ? [{ user, project, role }] : []
      })
    },

    async ensureAdmin({ password }) {
      const hash = await hashPassword(password, settings.passwordCost)
      return db.transaction(async (stores) => {
        const named = async <T extends { id: string; name: string }>(records: Records<T>, name: string): Promise<T | undefined> =>
          (await records.list(ANY, { where: { name: { is: name } } as Query<T>['where'] & object, limit: 1 }))[0]
        for (const name of ['admin', 'member', 'reader']) if (!(await named(stores.roles, name))) await insertRole(stores, name)
        const project =
          (await named(stores.projects, 'admin')) ?? (await insertProject(stores, { name: 'admin', description: 'Bootstrap project.' }))
        const old = await named(stores.users, 'admin')
        const user = old ?? (await insertUser(stores, { name: 'admin', defaultProjectId: project.id }, hash))
        for (const name of ['admin', 'member', 'reader']) {
          const role = await named(stores.roles, name)
          const ids = { projectId: project.id, userId: user.id, roleId: role?.id ?? '' }
          if ((await assignment(stores, ids)).length === 0) await stores.roleAssignments.insert({ id: newId(), ...ids })
        }
        return { created: old === undefined }
      })
    },
  }
}
