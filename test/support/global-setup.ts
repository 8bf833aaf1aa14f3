/** Once per vitest run: the private MariaDB. Where it cannot start, only the tests that need it fail, saying why. */
import type { TestProject } from 'vitest/node'
import { type MariaDb, startMariaDb } from './mariadb.js'

declare module 'vitest' {
  export interface ProvidedContext {
    mariadb: { socketPath: string } | { missing: string }
  }
}

let server: MariaDb | undefined

export async function setup(project: TestProject): Promise<void> {
  try {
    server = await startMariaDb()
    project.provide('mariadb', { socketPath: server.socketPath })
  } catch (error) {
    project.provide('mariadb', { missing: error instanceof Error ? error.message : String(error) })
  }
}

export async function teardown(): Promise<void> {
  await server?.stop()
}
