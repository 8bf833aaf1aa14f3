import type { TableShape } from '../dialect.js'

export const identity: readonly TableShape[] = [
  {
    name: 'projects',
    columns: [
      'id ID NOT NULL',
      'name WORD NOT NULL',
      'domain_id ID NOT NULL',
      'description TEXT NOT NULL',
      'enabled BOOL NOT NULL',
      'created_at INT NOT NULL',
    ],
    indexes: ['unique id', 'unique domain_id,name'],
  },
  {
    name: 'users',
    columns: [
      'id ID NOT NULL',
      'name WORD NOT NULL',
      'domain_id ID NOT NULL',
      'email WORD',
      'enabled BOOL NOT NULL',
      'default_project_id ID',
      'password_hash TEXT NOT NULL',
      'created_at INT NOT NULL',
    ],
    indexes: ['unique id', 'unique domain_id,name'],
  },
  { name: 'roles', columns: ['id ID NOT NULL', 'name WORD NOT NULL'], indexes: ['unique id', 'unique name'] },
  {
    name: 'role_assignments',
    columns: ['id ID NOT NULL', 'user_id ID NOT NULL', 'project_id ID NOT NULL', 'role_id ID NOT NULL'],
    indexes: ['unique id', 'index user_id', 'index project_id', 'index role_id'],
  },
  {
    name: 'tokens',
    columns: [
      'id ID NOT NULL',
      'user_id ID NOT NULL',
      'project_id ID',
      'methods JSON NOT NULL',
      'audit_ids JSON NOT NULL',
      'issued_at INT NOT NULL',
      'expires_at INT NOT NULL',
    ],
    indexes: ['unique id', 'index user_id', 'index project_id', 'index expires_at'],
  },
]
