/**
 * Keystone's core, embedded: tokens by password and by token, and the catalog's facts. A token is an opaque random
 * secret of which only the SHA-256 is stored; it is looked up on every request, so revoking it, disabling its user or
 * deleting its project ends it at once.
 *
 * Wrong passwords are counted per user and address (login-throttle.ts); beyond the limit the answer stays Keystone's
 * 401, only without looking at the password any more.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { Caller } from '../../domain/caller.js'
import { DomainError } from '../../domain/errors.js'
import type { Project, Role, Token, User } from '../../domain/identity.js'
import { secondsToMicros } from '../../domain/time.js'
import type { Authenticator } from '../../ports/identity.js'
import { ANY, type Stores } from '../../ports/stores.js'
import type { ServiceDeps } from '../deps.js'
import { createDirectory, type Directory } from './directory.js'
import { createThrottle } from './login-throttle.js'
import { isDefaultDomain } from './names.js'
import { burnTime, verifyPassword } from './passwords.js'

export const UNAUTHORIZED = 'The request you have made requires authentication.'

interface Named {
  id?: string | undefined
  name?: string | undefined
  domain?: { id?: string | undefined; name?: string | undefined } | undefined
}

export interface TokenRequest {
  readonly methods: readonly string[]
  readonly password?: { readonly user: Named & { password?: string | undefined } } | undefined
  readonly token?: { readonly secret: string } | undefined
  readonly project?: Named | undefined
  /** No scope asked: the user's default project, if any, is not assumed when `unscoped` was said. */
  readonly unscoped: boolean
  /** Whom to count wrong passwords against. */
  readonly address: string
}

export interface TokenView {
  readonly token: Token
  readonly user: User
  readonly project: Project | undefined
  readonly roles: readonly Role[]
}

export interface IdentityService extends Authenticator, Directory {
  readonly region: string
  issueToken<R>(request: TokenRequest, reply: (view: TokenView, secret: string) => R): Promise<R>
  showToken(caller: Caller, secret: string): Promise<TokenView>
  /** The token as its own holder sees it: also how an unscoped one is used. */
  ownToken(secret: string): Promise<TokenView>
  revokeToken(caller: Caller, secret: string): Promise<void>
  /** Removes expired tokens; returns how many. */
  purgeTokens(): Promise<number>
}

export function createIdentityService(deps: ServiceDeps): IdentityService {
  const { db, clock, settings } = deps
  const throttle = createThrottle({ limit: settings.loginAttempts, windowMs: 60_000 })

  async function issueToken<R>(request: TokenRequest, reply: (view: TokenView, secret: string) => R): Promise<R> {
    const { user, parent } = await proveIdentity(request)
    return db.transaction(async (stores) => {
      const project = request.project ? await scopeOf(stores, request.project) : await defaultScope(stores, user, request.unscoped)
      const roles = project ? await rolesOf(stores, user.id, project.id) : []
      if (project && roles.length === 0) {
        if (request.project) throw unauthenticated()
        return finish(stores, user, undefined, [])
      }
      return finish(stores, user, project, roles)
    })

    async function finish(stores: Stores, user: User, project: Project | undefined, roles: readonly Role[]): Promise<R> {
      const secret = `gAAAA${randomBytes(64).toString('base64url')}`
      const now = clock.now()
      const token: Token = {
        id: tokenId(secret),
        userId: user.id,
        projectId: project?.id ?? null,
        methods: parent ? [...new Set([...request.methods, ...parent.methods])] : [...request.methods],
        auditIds: [randomBytes(16).toString('base64url'), ...(parent?.auditIds.slice(-1) ?? [])],
        issuedAt: now,
        // A token got by a token lives no longer than that one.
        expiresAt: parent ? parent.expiresAt : now + secondsToMicros(settings.tokenLifetime),
      }
      await stores.tokens.insert(token)
      return reply({ token, user, project, roles }, secret)
    }
  }

  async function proveIdentity(request: TokenRequest): Promise<{ user: User; parent?: Token }> {
    if (request.token) {
      const view = await viewOf(request.token.secret)
      if (!view) throw unauthenticated()
      return { user: view.user, parent: view.token }
    }
    const asked = request.password?.user
    if (!asked) throw unauthenticated()
    const key = `${(asked.id ?? asked.name ?? '').slice(0, 255)}\n${request.address}`
    if (throttle.isSpent(key)) throw unauthenticated()
    const user = await findUser(asked)
    const right = user?.enabled
      ? await verifyPassword(asked.password ?? '', user.passwordHash)
      : await burnTime(asked.password ?? '', settings.passwordCost)
    if (!user || !right) {
      throttle.count(key)
      throw unauthenticated()
    }
    throttle.forget(key)
    return { user }
  }

  async function findUser(asked: Named): Promise<User | undefined> {
    if (asked.id !== undefined) return db.read.users.find(ANY, asked.id)
    if (asked.name === undefined || !isDefaultDomain(asked.domain)) return undefined
    const [user] = await db.read.users.list(ANY, { where: { name: { is: asked.name } }, limit: 1 })
    return user
  }

  async function scopeOf(stores: Stores, asked: Named): Promise<Project> {
    const project =
      asked.id !== undefined
        ? await stores.projects.find(ANY, asked.id)
        : asked.name !== undefined && isDefaultDomain(asked.domain)
          ? (await stores.projects.list(ANY, { where: { name: { is: asked.name } }, limit: 1 }))[0]
          : undefined
    if (!project?.enabled) throw unauthenticated()
    return project
  }

  async function defaultScope(stores: Stores, user: User, unscoped: boolean): Promise<Project | undefined> {
    if (unscoped || user.defaultProjectId === null) return undefined
    const project = await stores.projects.find(ANY, user.defaultProjectId)
    return project?.enabled ? project : undefined
  }

  /** A live token of a live user in a live project, else undefined. */
  async function viewOf(secret: string): Promise<TokenView | undefined> {
    const held = await db.read.tokens.holder(tokenId(secret))
    if (!held?.user.enabled || held.token.expiresAt <= clock.now()) return undefined
    if (held.token.projectId === null) return { ...held, project: undefined, roles: [] }
    return held.project?.enabled && held.roles.length > 0 ? held : undefined
  }

  async function authenticate(secret: string, requestId: string): Promise<Caller> {
    const view = await viewOf(secret)
    if (!view) throw unauthenticated()
    const roles = view.roles.map((role) => role.name)
    return {
      userId: view.user.id,
      userName: view.user.name,
      projectId: view.project?.id ?? '',
      projectName: view.project?.name ?? '',
      roles,
      isAdmin: roles.includes('admin'),
      requestId,
    }
  }

  /** Others' tokens are the admin's to see; for anyone else they do not exist. */
  async function showToken(caller: Caller, secret: string): Promise<TokenView> {
    const view = await viewOf(secret)
    if (!view || !(caller.isAdmin || view.user.id === caller.userId)) throw new DomainError('notFound', 'Could not recognize Fernet token')
    return view
  }

  return {
    ...createDirectory(deps),
    region: settings.region,
    authenticate,
    issueToken,
    showToken,
    async ownToken(secret) {
      const view = await viewOf(secret)
      if (!view) throw unauthenticated()
      return view
    },
    async revokeToken(caller, secret) {
      const { token } = await showToken(caller, secret)
      await db.transaction((stores) => stores.tokens.remove(token.id))
    },
    async purgeTokens() {
      const expired = await db.read.tokens.list(ANY, { where: { expiresAt: { atMost: clock.now() } }, limit: 1000 })
      for (const token of expired) await db.transaction((stores) => stores.tokens.remove(token.id))
      return expired.length
    },
  }
}

export async function rolesOf(stores: Stores, userId: string, projectId: string): Promise<Role[]> {
  const assignments = await stores.roleAssignments.list(ANY, { where: { userId: { is: userId }, projectId: { is: projectId } } })
  if (assignments.length === 0) return []
  return stores.roles.list(ANY, {
    where: { id: { in: assignments.map((assignment) => assignment.roleId) } },
    sort: [{ key: 'name', dir: 'asc' }],
  })
}

const tokenId = (secret: string): string => createHash('sha256').update(secret).digest('hex')
const unauthenticated = (): DomainError => new DomainError('unauthenticated', UNAUTHORIZED)
