import type { TableShape } from '../dialect.js'

export const jobs: readonly TableShape[] = [
  {
    name: 'jobs',
    columns: [
      'id ID NOT NULL',
      'operation WORD NOT NULL',
      'version INT NOT NULL',
      'input JSON NOT NULL',
      'host_id ID NOT NULL',
      'project_id ID NOT NULL',
      'user_id ID NOT NULL',
      'request_id WORD NOT NULL',
      'resource_type WORD NOT NULL',
      'resource_id ID NOT NULL',
      'preemptible BOOL NOT NULL',
      'state WORD NOT NULL',
      'lease_owner ID',
      'lease_token INT NOT NULL',
      'lease_expires_at INT',
      'attempts INT NOT NULL',
      'not_before INT NOT NULL',
      'cancel_requested BOOL NOT NULL',
      'yield_requested BOOL NOT NULL',
      // Are all its locks held (job_locks.held)? True while it runs, and between attempts of a job that changed something.
      'holds_locks BOOL NOT NULL DEFAULT 0',
      // Counts fenced writes: a change of the row itself, so that a cluster's certification sees the conflict.
      'fenced_writes INT NOT NULL DEFAULT 0',
      'progress JSON',
      'error JSON',
      'created_at INT NOT NULL',
      'started_at INT',
      'ended_at INT',
    ],
    indexes: [
      'unique id',
      'index host_id,state,seq',
      'index lease_owner',
      'index project_id,seq',
      'index resource_type,resource_id,state',
      'index state,ended_at',
    ],
  },
  {
    name: 'job_steps',
    columns: [
      'job_id ID NOT NULL',
      'name WORD NOT NULL',
      'kind WORD NOT NULL',
      'ordinal INT NOT NULL',
      'state WORD NOT NULL',
      'attempts INT NOT NULL',
      'facts JSON NOT NULL',
      'error TEXT',
      'started_at INT NOT NULL',
      'ended_at INT',
    ],
    indexes: ['unique job_id,name'],
  },
  {
    // The queue of every lock: one row for each unfinished job that wants it.
    name: 'job_locks',
    columns: [
      'job_id ID NOT NULL',
      'name WORD NOT NULL',
      // The lock's name while its job holds it, else null: the unique index admits one holder, whatever happens above.
      'held WORD',
      // The job's own, repeated: the question "who is before me?" is answered by one index.
      'preemptible BOOL NOT NULL',
      'job_seq INT NOT NULL',
      // Since when it keeps its place for younger ones.
      'waits_from INT NOT NULL',
    ],
    indexes: ['unique job_id,name', 'unique held', 'index name,preemptible,job_seq'],
  },
]
