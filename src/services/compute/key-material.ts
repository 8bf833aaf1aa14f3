/** What a key pair is made of: SSH keys as OpenSSH writes them, fingerprints as Nova does. Nothing here is kept. */
import { createHash, generateKeyPair, X509Certificate } from 'node:crypto'
import { promisify } from 'node:util'

const generate = promisify(generateKeyPair)

export interface FreshKey {
  readonly publicKey: string
  readonly privateKey: string
}

export async function generateSshKey(): Promise<FreshKey> {
  const { publicKey, privateKey } = await generate('rsa', { modulusLength: 2048 })
  const { e = '', n = '' } = publicKey.export({ format: 'jwk' })
  const blob = Buffer.concat([field(Buffer.from('ssh-rsa')), field(positive(e)), field(positive(n))])
  return {
    publicKey: `ssh-rsa ${blob.toString('base64')} Generated-by-Strata`,
    privateKey: privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
  }
}

/** undefined: that is no such key. */
export function fingerprintOf(type: 'ssh' | 'x509', publicKey: string): string | undefined {
  if (type === 'x509') {
    try {
      return new X509Certificate(publicKey).fingerprint.toLowerCase()
    } catch {
      return undefined
    }
  }
  const [name = '', text = ''] = publicKey.trim().split(/\s+/)
  const blob = Buffer.from(text, 'base64')
  // The blob begins with the same name, and base64 leaves nothing out: anything else is no key.
  const told = blob.length > 4 ? blob.subarray(4, 4 + Math.min(blob.readUInt32BE(0), 64)).toString('latin1') : ''
  if (name === '' || told !== name || blob.toString('base64').replace(/=+$/, '') !== text.replace(/=+$/, '')) return undefined
  return (createHash('md5').update(blob).digest('hex').match(/../g) ?? []).join(':')
}

/** A number is signed there: one whose first bit is set gets a zero before it. */
function positive(base64url: string): Buffer {
  const bytes = Buffer.from(base64url, 'base64url')
  return (bytes[0] ?? 0) < 0x80 ? bytes : Buffer.concat([Buffer.from([0]), bytes])
}

function field(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}
