/**
 * What runs: dist/src/main.js, dist/src/keeper/main.js and, for clients, dist/src/cli/main.js, each with all it imports in a few files. Half a thousand
 * modules looked up one by one are most of a start, and a good part of the memory. What is loaded lazily stays so, in files
 * of its own. Names are kept and nothing is squeezed, so a stack trace can be read.
 */
import { chmod, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

const [made, dist] = [join(root, 'dist.new'), join(root, 'dist')]
await rm(made, { recursive: true, force: true })
await build({
  absWorkingDir: root,
  entryPoints: ['src/main.ts', 'src/keeper/main.ts', 'src/cli/main.ts'],
  outbase: '.',
  outdir: made,
  chunkNames: 'src/part-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // Native, read from disk, of use to MariaDB alone, or loaded lazily: of those the names CommonJS exports would be lost.
  external: ['better-sqlite3', 'redoc', 'knex', 'mysql2', 'prom-client', 'yaml'],
  // CommonJS modules within ask for Node's own by `require`.
  banner: { js: "import { createRequire as requireFor } from 'node:module'; const require = requireFor(import.meta.url)" },
  legalComments: 'none',
  logLevel: 'warning',
})
// A command, and a link to it (npm link) must stay one.
await chmod(join(made, 'src/cli/main.js'), 0o755)
// A service that runs from what was built before must not find it gone for as long as this takes, or for good when it fails.
await rm(dist, { recursive: true, force: true })
await rename(made, dist)
