/**
 * The contract's build: bundles openapi.yaml, validates and lints it, and writes api/generated/ (never committed):
 *
 *   openapi.ts   types of every operation, for contract.ts
 *   document.ts  the bundled document as text, for the router, the validators and /openapi.json
 *   handlers.ts  every export of api/handlers/<service>/*.ts under one name, typed so that a missing one does not compile
 *
 * It writes a file only if its content changed, so that incremental builds stay incremental.
 */
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import SwaggerParser from '@apidevtools/swagger-parser'
import openapiTypescript, { astToString } from 'openapi-typescript'
import ts from 'typescript'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const target = join(root, 'api/generated')
type Json = { [key: string]: unknown }

const scratch = await mkdtemp(join(tmpdir(), 'strata-contract-'))
try {
  const bundle = join(scratch, 'openapi.json')
  await redocly('bundle', 'openapi.yaml', '--config', 'deploy/redocly.yaml', '--output', bundle)
  const document = JSON.parse(await readFile(bundle, 'utf8')) as Json
  await SwaggerParser.validate(structuredClone(document) as never)
  await mkdir(target, { recursive: true })
  await write('document.ts', `export const documentText: string = ${JSON.stringify(JSON.stringify(document))}\n`)
  await write('openapi.ts', await types(document))
  await write('handlers.ts', await handlerIndex())
  await redocly('lint', 'openapi.yaml', '--config', 'deploy/redocly.yaml', '--format', 'stylish')
} finally {
  await rm(scratch, { recursive: true, force: true })
}

async function redocly(...args: string[]): Promise<void> {
  const child = spawn(process.execPath, [join(root, 'node_modules/@redocly/cli/bin/cli.js'), ...args], {
    cwd: root,
    env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true', NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += String(chunk)
  })
  child.stderr.on('data', (chunk) => {
    output += String(chunk)
  })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  if (code !== 0) throw new Error(`redocly ${args[0]} failed:\n${output.replace(/^\s*[╔║╚].*\n/gm, '')}`)
}

async function types(document: Json): Promise<string> {
  const gated = structuredClone(document)
  loosen(gated)
  const binary = ts.factory.createTypeReferenceNode('Readable')
  const ast = await openapiTypescript(gated as never, {
    defaultNonNullable: false,
    transform: (schema) => ('format' in schema && schema.format === 'binary' ? binary : undefined),
  })
  return `import type { Readable } from 'node:stream'\n\n${astToString(ast)}`
}

/** A property that exists only at some versions is optional for the code that must serve them all. */
function loosen(node: unknown): void {
  if (Array.isArray(node)) for (const item of node) loosen(item)
  else if (typeof node === 'object' && node !== null) {
    const schema = node as { properties?: Record<string, Json>; required?: string[] }
    if (Array.isArray(schema.required) && schema.properties) {
      const properties = schema.properties
      schema.required = schema.required.filter((name) => !properties[name]?.['x-min-version'] && !properties[name]?.['x-max-version'])
      if (schema.required.length === 0) delete schema.required
    }
    // A constraint that holds only at some versions is no type.
    for (const key of ['allOf', 'anyOf'] as const) {
      const members = (node as Json)[key]
      if (!Array.isArray(members)) continue
      const kept = members.filter((member: Json) => !member['x-min-version'] || member['type'] || member['$ref'])
      if (kept.length > 0) (node as Json)[key] = kept
      else delete (node as Json)[key]
    }
    for (const value of Object.values(node)) loosen(value)
  }
}

async function handlerIndex(): Promise<string> {
  const files: string[] = []
  for (const service of (await readdir(join(root, 'api/handlers'))).sort())
    for (const file of (await readdir(join(root, 'api/handlers', service))).sort())
      if (file.endsWith('.ts')) files.push(`${service}/${file.replace(/\.ts$/, '.js')}`)
  const imports = files.map((file, index) => `import * as h${index} from '../handlers/${file}'`)
  return `${imports.join('\n')}
import type { Handlers } from '../contract.js'

export const handlers: Handlers = { ${files.map((_, index) => `...h${index}`).join(', ')} }
`
}

async function write(name: string, text: string): Promise<void> {
  const path = join(target, name)
  const old = await readFile(path, 'utf8').catch(() => undefined)
  if (old === text) return
  await writeFile(`${path}.${process.pid}`, text)
  await rename(`${path}.${process.pid}`, path)
}
