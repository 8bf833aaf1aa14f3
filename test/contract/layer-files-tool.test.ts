import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import type { AdapterError } from '../../src/domain/errors.js'
import { runTool } from '../../src/qemu/tool.js'
import { until } from '../support/until.js'

const outcome = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'done',
    (error: AdapterError) => [error.outcome, error.code],
  )
const limits = { addressSpace: 1024 ** 3, cpuSeconds: 30, wallMillis: 10_000 }

it('gives back what a tool prints, and takes every argument literally', async () => {
  expect(await runTool({ program: 'printf', args: ['%s|%s', '$(id); "x"', 'a\nb'] })).toBe('$(id); "x"|a\nb')
})

it('tells "it said no" from "nobody knows" and "it never ran"', async () => {
  expect(await outcome(runTool({ program: 'sh', args: ['-c', 'exit 3'] }))).toEqual(['refused', '3'])
  expect(await outcome(runTool({ program: 'sh', args: ['-c', 'kill -9 $$'] }))).toEqual(['unknown', 'SIGKILL'])
  expect(await outcome(runTool({ program: 'sleep', args: ['60'], signal: AbortSignal.timeout(50) }))).toEqual(['unknown', undefined])
  expect(await outcome(runTool({ program: 'sleep', args: ['60'], signal: AbortSignal.abort() }))).toEqual(['unavailable', undefined])
})

it('says of a tool that is not there that it never ran', async () => {
  expect(await outcome(runTool({ program: 'no-such-tool', args: [] }))).toEqual(['unavailable', undefined])
})

it('keeps a tool within memory, time and output', async () => {
  const hog = `const all = []; for (;;) all.push(Buffer.alloc(1 << 24, 1))`
  expect(await outcome(runTool({ program: process.execPath, args: ['-e', hog], limits }))).not.toBe('done')
  expect(await outcome(runTool({ program: 'sleep', args: ['60'], limits: { ...limits, wallMillis: 50 } }))).toEqual(['unknown', undefined])
  expect(await outcome(runTool({ program: 'yes', args: [], limits }))).toEqual(['unknown', undefined])
})

it('takes a tool with it when it is killed', async () => {
  const url = new URL('../../src/qemu/tool.ts', import.meta.url)
  const script = `import { runTool } from ${JSON.stringify(fileURLToPath(url))}; await runTool({ program: 'sh', args: ['-c', 'echo $$; exec sleep 600'], onOutput: (text) => process.stdout.write(text) })`
  const worker = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const pid = Number(await new Promise((resolve) => worker.stdout.once('data', (bytes) => resolve(String(bytes)))))
  const alive = (): boolean => {
    try {
      return !/State:\s+Z/.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
    } catch {
      return false
    }
  }
  expect(alive()).toBe(true)
  worker.kill('SIGKILL')
  await until(() => !alive(), { what: 'the tool to die' })
})
