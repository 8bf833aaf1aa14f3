/** Projects, users, roles and grants: what an administrator does, and what others may not. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { covers, openApi, type TestApi } from '../support/api.js'

let api: TestApi
beforeAll(async () => {
  api = await openApi()
})
afterAll(() => api.close())

const V3 = '/identity/v3'
const names = (list: readonly { name: string }[]): string[] => list.map(({ name }) => name)

describe('credentials made on the fly', () => {
  it('get a project, a user and a role, log in, and vanish again', async () => {
    covers('createProject', 'success')
    covers('createUser', 'success')
    covers('createGrant', 'success')
    covers('deleteUser', 'success')
    covers('deleteProject', 'success')
    covers('listRoles', 'success')
    const admin = api.as('admin')
    const project = (
      await admin
        .post(`${V3}/projects`)
        .send({ project: { name: 'fly', domain_id: 'default', description: 'x' } })
        .expect(201)
    ).body.project
    const user = (
      await admin
        .post(`${V3}/users`)
        .send({ user: { name: 'fly', password: 'pw', domain_id: 'default', email: 'f@x' } })
        .expect(201)
    ).body.user
    expect(user).toMatchObject({ name: 'fly', email: 'f@x', enabled: true, password_expires_at: null })
    expect(JSON.stringify(user)).not.toContain('pw"')
    const roles = (await admin.get(`${V3}/roles`).expect(200)).body.roles
    expect(names(roles)).toEqual(['admin', 'member', 'reader'])
    await admin.put(`${V3}/projects/${project.id}/users/${user.id}/roles/${roles[1].id}`).expect(204)
    await admin.put(`${V3}/projects/${project.id}/users/${user.id}/roles/${roles[1].id}`).expect(204)

    const auth = {
      identity: { methods: ['password'], password: { user: { id: user.id, password: 'pw' } } },
      scope: { project: { id: project.id } },
    }
    const login = await api.as(null).post(`${V3}/auth/tokens`).send({ auth }).expect(201)
    const token = { 'X-Auth-Token': login.headers['x-subject-token'] ?? '' }
    await api.as(null, token).get('/volume/v3/volumes').expect(200)

    await admin.delete(`${V3}/users/${user.id}`).expect(204)
    await api.as(null, token).get('/volume/v3/volumes').expect(401)
    await admin.delete(`${V3}/projects/${project.id}`).expect(204)
    await admin.get(`${V3}/projects/${project.id}`).expect(404)
    await admin.delete(`${V3}/users/${user.id}`).expect(404)
  })
})

describe('projects', () => {
  it('are listed, shown, changed; a disabled one locks its tokens out', async () => {
    covers('listProjects', 'success')
    covers('showProject', 'success')
    covers('updateProject', 'success')
    const admin = api.as('admin')
    expect(names((await admin.get(`${V3}/projects`).expect(200)).body.projects)).toEqual(
      expect.arrayContaining(['admin', 'other', 'tenant']),
    )
    expect(names((await admin.get(`${V3}/projects?name=tenant`).expect(200)).body.projects)).toEqual(['tenant'])
    const url = `${V3}/projects/${api.projectId('foreign')}`
    expect((await api.as('foreign').get(url).expect(200)).body.project.name).toBe('other')
    await api.as('member').get(url).expect(403)
    await admin
      .patch(url)
      .send({ project: { enabled: false, description: 'closed' } })
      .expect(200)
    await api.as('foreign').get('/volume/v3/volumes').expect(401)
    expect(
      (
        await admin
          .patch(url)
          .send({ project: { enabled: true } })
          .expect(200)
      ).body.project.description,
    ).toBe('closed')
    await api.as('foreign').get('/volume/v3/volumes').expect(200)
  })

  it('have names of their own, of sensible length, in a domain that exists', async () => {
    covers('createProject', 'invalid')
    covers('updateProject', 'invalid')
    const admin = api.as('admin')
    const conflict = await admin
      .post(`${V3}/projects`)
      .send({ project: { name: 'tenant' } })
      .expect(409)
    expect(conflict.body.error.title).toBe('Conflict')
    for (const project of [{}, { name: '' }, { name: ' ' }, { name: 'x'.repeat(65) }, { name: 5 }])
      await admin.post(`${V3}/projects`).send({ project }).expect(400)
    await admin
      .post(`${V3}/projects`)
      .send({ project: { name: 'x', domain_id: 'elsewhere' } })
      .expect(404)
    await admin
      .patch(`${V3}/projects/${api.projectId('member')}`)
      .send({ project: {} })
      .expect(400)
    await admin
      .patch(`${V3}/projects/${api.projectId('member')}`)
      .send({ project: { name: 'other' } })
      .expect(409)
  })
})

describe('users', () => {
  it('are listed, shown, changed; a new password ends their tokens', async () => {
    covers('listUsers', 'success')
    covers('showUser', 'success')
    covers('updateUser', 'success')
    covers('listUserProjects', 'success')
    const admin = api.as('admin')
    expect(names((await admin.get(`${V3}/users?enabled=True`).expect(200)).body.users)).toEqual(['admin', 'foreign', 'member', 'reader'])
    const { userId } = api.caller('reader')
    expect((await api.as('reader').get(`${V3}/users/${userId}`).expect(200)).body.user.name).toBe('reader')
    expect(names((await api.as('reader').get(`${V3}/users/${userId}/projects`).expect(200)).body.projects)).toEqual(['tenant'])
    await api.as('member').get(`${V3}/users/${userId}`).expect(403)
    await api.as('member').get(`${V3}/users/${userId}/projects`).expect(403)
    await admin
      .patch(`${V3}/users/${userId}`)
      .send({ user: { password: 'changed', email: null } })
      .expect(200)
    await api.as('reader').get('/volume/v3/volumes').expect(401)
  })

  it('are checked', async () => {
    covers('createUser', 'invalid')
    covers('updateUser', 'invalid')
    const admin = api.as('admin')
    for (const user of [{}, { name: '' }, { name: ['x'] }, { name: 'x', enabled: 'yes' }, { name: 'x', password: 5 }])
      await admin.post(`${V3}/users`).send({ user }).expect(400)
    await admin
      .post(`${V3}/users`)
      .send({ user: { name: 'member' } })
      .expect(409)
    await admin
      .patch(`${V3}/users/${api.caller('member').userId}`)
      .send({ user: { enabled: 1 } })
      .expect(400)
  })
})

describe('roles and grants', () => {
  it('are made, checked, listed and taken back', async () => {
    covers('createRole', 'success', 'invalid')
    covers('showRole', 'success')
    covers('checkGrant', 'success')
    covers('listGrants', 'success')
    covers('deleteGrant', 'success')
    covers('listRoleAssignments', 'success')
    const admin = api.as('admin')
    const { role } = (
      await admin
        .post(`${V3}/roles`)
        .send({ role: { name: 'auditor' } })
        .expect(201)
    ).body
    await admin
      .post(`${V3}/roles`)
      .send({ role: { name: 'auditor' } })
      .expect(409)
    await admin.post(`${V3}/roles`).send({ role: {} }).expect(400)
    expect((await admin.get(`${V3}/roles/${role.id}`).expect(200)).body.role.name).toBe('auditor')
    const { userId } = api.caller('member')
    const grants = `${V3}/projects/${api.projectId('member')}/users/${userId}/roles`
    await admin.head(`${grants}/${role.id}`).expect(404)
    await admin.put(`${grants}/${role.id}`).expect(204)
    await admin.head(`${grants}/${role.id}`).expect(204)
    expect(names((await admin.get(grants).expect(200)).body.roles)).toEqual(['auditor', 'member'])
    const assignments = (await admin.get(`${V3}/role_assignments?user.id=${userId}&include_names`).expect(200)).body.role_assignments
    expect(assignments.map((one: { role: { name: string } }) => one.role.name).sort()).toEqual(['auditor', 'member'])
    await admin.delete(`${grants}/${role.id}`).expect(204)
    await admin.delete(`${grants}/${role.id}`).expect(404)
  })

  it('are no affair of members', async () => {
    const member = api.as('member')
    for (const path of ['/roles', '/users', '/projects', '/role_assignments']) await member.get(`${V3}${path}`).expect(403)
    const refused = await member
      .post(`${V3}/users`)
      .send({ user: { name: 'x' } })
      .expect(403)
    expect(refused.body.error.message).toBe('You are not authorized to perform the requested action: identity:create_user.')
  })
})
