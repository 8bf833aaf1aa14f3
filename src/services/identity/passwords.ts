/**
 * Passwords as scrypt hashes that describe themselves (`scrypt$N$r$p$salt$hash`), so that the cost can rise later.
 * At most two are computed at once: each takes tens of MiB and a thread, and logins must not starve the rest.
 */
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'

const BLOCK = 8
const LANES = 1
const AT_ONCE = 2
let running = 0
const waiting: (() => void)[] = []

export async function hashPassword(password: string, costLog2: number): Promise<string> {
  const salt = randomBytes(16)
  const hash = await derive(password, salt, 2 ** costLog2, BLOCK, LANES)
  return ['scrypt', 2 ** costLog2, BLOCK, LANES, salt.toString('base64'), hash.toString('base64')].join('$')
}

export async function verifyPassword(password: string, stored: string): Promise<boolean> {
  const [kind, n, r, p, salt, hash] = stored.split('$')
  if (kind !== 'scrypt' || salt === undefined || hash === undefined) return false
  const expected = Buffer.from(hash, 'base64')
  const actual = await derive(password, Buffer.from(salt, 'base64'), Number(n), Number(r), Number(p))
  return expected.length === actual.length && timingSafeEqual(expected, actual)
}

/** As long as a check would take: an unknown user must not be told from a wrong password by the clock. */
export async function burnTime(password: string, costLog2: number): Promise<false> {
  await derive(password, Buffer.alloc(16), 2 ** costLog2, BLOCK, LANES)
  return false
}

async function derive(password: string, salt: Buffer, n: number, r: number, p: number): Promise<Buffer> {
  if (running >= AT_ONCE) await new Promise<void>((resume) => waiting.push(resume))
  running += 1
  try {
    return await new Promise((resolve, reject) => {
      scrypt(password, salt, 32, { N: n, r, p, maxmem: 256 * n * r }, (error, key) => (error ? reject(error) : resolve(key)))
    })
  } finally {
    running -= 1
    waiting.shift()?.()
  }
}
