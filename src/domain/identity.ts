/** Who asks. Passwords and tokens are kept only as hashes. */
import type { Micros } from './time.js'

export interface Project {
  id: string
  seq: number
  name: string
  domainId: string
  description: string
  enabled: boolean
  createdAt: Micros
}

export interface User {
  id: string
  seq: number
  name: string
  domainId: string
  email: string | null
  enabled: boolean
  defaultProjectId: string | null
  /** scrypt, self-describing: `scrypt$N$r$p$salt$hash` in base64. */
  passwordHash: string
  createdAt: Micros
}

export interface Role {
  id: string
  seq: number
  name: string
}

export interface RoleAssignment {
  id: string
  userId: string
  projectId: string
  roleId: string
}

export interface Token {
  /** SHA-256 of the secret: the secret itself is never stored. */
  id: string
  userId: string
  projectId: string | null
  methods: readonly string[]
  auditIds: readonly string[]
  issuedAt: Micros
  expiresAt: Micros
}

/** What the tables say of a token; whether it still counts is not theirs to say. */
export interface TokenHolder {
  readonly token: Token
  readonly user: User
  /** What it is scoped to, if anything, and what its user is there. */
  readonly project: Project | undefined
  readonly roles: readonly Role[]
}
