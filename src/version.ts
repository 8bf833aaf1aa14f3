/** Which Strata this is: what its package.json says, wherever under the project's root the built file lies. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export function version(): string {
  for (const up of ['..', '../..', '../../..']) {
    try {
      const { name, version: text } = JSON.parse(readFileSync(join(import.meta.dirname, up, 'package.json'), 'utf8')) as {
        name: string
        version: string
      }
      if (name === 'strata') return text
    } catch {
      // Not here: one directory further up.
    }
  }
  return 'unknown'
}
