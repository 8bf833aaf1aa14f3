/**
 * KVM or emulation? That /dev/kvm opens proves nothing: where we are ourselves a guest it may start a virtual
 * machine and then hang the first real kernel. So KVM is used only after a trial: the tiny guest's kernel must
 * get as far as running a program. The answer is kept for this boot and this QEMU; without a kernel to try
 * there is no trial and no KVM.
 */
import { execFile, spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { access, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Accel } from './command-line.js'

export interface AccelOptions {
  readonly stateDir: string
  /** The tiny guest, if it was built. */
  readonly trial?: { readonly kernel: string; readonly initrd: string }
  readonly binary?: string
  readonly device?: string
  readonly timeoutMs?: number
}

/** Asks once for the life of the process; the answer survives it in `<state>/accel.json`. */
export function createAccel(options: AccelOptions): () => Promise<Accel> {
  let answer: Promise<Accel> | undefined
  return () => {
    answer ??= decide(options)
    return answer
  }
}

async function decide(options: AccelOptions): Promise<Accel> {
  const { trial, device = '/dev/kvm', binary = 'qemu-system-x86_64' } = options
  if (trial === undefined || !(await isUsable(device, constants.R_OK | constants.W_OK))) return 'tcg'
  if (!(await isUsable(trial.kernel, constants.R_OK)) || !(await isUsable(trial.initrd, constants.R_OK))) return 'tcg'
  const key = `${await bootId()} ${await version(binary)}`
  const file = join(options.stateDir, 'accel.json')
  const kept = await readAnswer(file)
  if (kept?.key === key) return kept.accel
  const accel: Accel = (await bootsUnderKvm(binary, trial, options.timeoutMs ?? 5_000)) ? 'kvm' : 'tcg'
  await writeFile(file, `${JSON.stringify({ key, accel })}\n`, { mode: 0o600 })
  return accel
}

/** The first program ends at once, and a kernel that loses it says so: proof that user space ran. */
const PROOF = 'Attempted to kill init'

function bootsUnderKvm(binary: string, trial: { kernel: string; initrd: string }, timeoutMs: number): Promise<boolean> {
  const qemu = [
    ...[binary, '-no-user-config', '-nodefaults', '-display', 'none', '-no-reboot', '-machine', 'pc,graphics=off,accel=kvm'],
    ...['-cpu', 'host', '-m', '256M', '-serial', 'stdio', '-kernel', trial.kernel, '-initrd', trial.initrd],
    ...['-append', 'console=ttyS0 panic=-1 rdinit=/bin/busybox'],
  ]
  return new Promise((resolve) => {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...qemu], { stdio: ['ignore', 'pipe', 'ignore'], cwd: '/' })
    let said = ''
    let proven = false
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
    child.stdout.setEncoding('latin1').on('data', (text: string) => {
      said = (said + text).slice(-65_536)
      if (!said.includes(PROOF)) return
      proven = true
      child.kill('SIGKILL')
    })
    const end = (): void => {
      clearTimeout(timer)
      resolve(proven)
    }
    child.on('error', end)
    child.on('close', end)
  })
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
}

async function version(binary: string): Promise<string> {
  const { stdout } = await promisify(execFile)(binary, ['--version'])
  return stdout.split('\n')[0] ?? ''
}

async function readAnswer(file: string): Promise<{ key: string; accel: Accel } | undefined> {
  try {
    const { key, accel } = JSON.parse(await readFile(file, 'utf8')) as { key?: unknown; accel?: unknown }
    return typeof key === 'string' && (accel === 'kvm' || accel === 'tcg') ? { key, accel } : undefined
  } catch {
    // None, or not one of ours: the trial is made again.
    return undefined
  }
}

const isUsable = (path: string, mode: number): Promise<boolean> =>
  access(path, mode).then(
    () => true,
    () => false,
  )
