/** Identity's records as Keystone shows them. */
import type { Project, Role, User } from '../../../src/domain/identity.js'
import type { Micros } from '../../../src/domain/time.js'
import type { TokenView } from '../../../src/services/identity/identity.js'
import { DEFAULT_DOMAIN } from '../../../src/services/identity/names.js'
import type { Here } from '../../contract.js'
import { catalogView } from './catalog.js'

const self = (here: Here, path: string) => ({ self: `${here.service}/v3${path}` })
const domain = { id: DEFAULT_DOMAIN.id, name: DEFAULT_DOMAIN.name }

export const listLinks = (here: Here) => ({
  next: null,
  self: `${here.origin}${here.path}${here.search.size > 0 ? `?${here.search}` : ''}`,
  previous: null,
})

export const domainView = (here: Here) => ({
  ...domain,
  description: 'The default domain',
  enabled: true,
  tags: [],
  options: {},
  links: self(here, `/domains/${domain.id}`),
})

export const projectView = (project: Project, here: Here) => ({
  id: project.id,
  name: project.name,
  domain_id: project.domainId,
  description: project.description,
  enabled: project.enabled,
  parent_id: project.domainId,
  is_domain: false,
  tags: [],
  options: {},
  links: self(here, `/projects/${project.id}`),
})

export const userView = (user: User, here: Here) => ({
  id: user.id,
  name: user.name,
  domain_id: user.domainId,
  ...(user.email === null ? {} : { email: user.email }),
  enabled: user.enabled,
  ...(user.defaultProjectId === null ? {} : { default_project_id: user.defaultProjectId }),
  password_expires_at: null,
  options: {},
  links: self(here, `/users/${user.id}`),
})

export const roleView = (role: Role, here: Here) => ({
  id: role.id,
  name: role.name,
  domain_id: null,
  description: null,
  options: {},
  links: self(here, `/roles/${role.id}`),
})

export const tokenView = ({ token, user, project, roles }: TokenView, here: Here, options: { region: string; catalog: boolean }) => ({
  token: {
    methods: [...token.methods],
    user: { domain, id: user.id, name: user.name, password_expires_at: null },
    audit_ids: [...token.auditIds],
    expires_at: instant(token.expiresAt),
    issued_at: instant(token.issuedAt),
    ...(project
      ? {
          project: { domain, id: project.id, name: project.name },
          is_domain: false,
          roles: roles.map(({ id, name }) => ({ id, name })),
          ...(options.catalog ? { catalog: catalogView(here.origin, project.id, options.region) } : {}),
        }
      : {}),
  },
})

/** `2026-11-20T16:09:15.123456Z`. */
export const instant = (at: Micros): string =>
  `${new Date(Math.floor(at / 1000)).toISOString().slice(0, 19)}.${String(at % 1_000_000).padStart(6, '0')}Z`
