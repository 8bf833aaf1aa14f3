/** One request and its answer, by Node's own client: it alone takes a certificate to trust from a file. */
import { readFileSync } from 'node:fs'
import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { Failure, UsageError } from './errors.js'

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}
export type Send = (method: string, url: string, headers?: Readonly<Record<string, string>>, body?: string) => Promise<Answer>

/** An answer may wait for a job's acceptance, never for its end. */
const PATIENCE_MS = 60_000

export function createSend(trust: { cacert: string | undefined; verify: boolean }): Send {
  const plain = new HttpAgent({ keepAlive: true })
  const secure = new HttpsAgent({
    keepAlive: true,
    rejectUnauthorized: trust.verify,
    ...(trust.cacert === undefined ? {} : { ca: readPem(trust.cacert) }),
  })
  return (method, url, headers = {}, body = undefined) =>
    new Promise((resolve, reject) => {
      const target = new URL(url)
      const isSecure = target.protocol === 'https:'
      const sent = {
        ...headers,
        ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
      }
      const request = (isSecure ? httpsRequest : httpRequest)(target, {
        method,
        headers: sent,
        agent: isSecure ? secure : plain,
        timeout: PATIENCE_MS,
      })
      request.on('response', (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', (error) => reject(unreachable(target, error)))
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(chunks).toString('utf8') }),
        )
      })
      request.on('timeout', () => request.destroy(new Error(`no answer within ${PATIENCE_MS / 1000} s`)))
      request.on('error', (error) => reject(unreachable(target, error)))
      request.end(body)
    })
}

function readPem(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new UsageError(`the certificate ${path} cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`)
  }
}

function unreachable({ origin }: URL, error: NodeJS.ErrnoException): Failure {
  const why = error.code === 'ECONNREFUSED' ? 'nobody listens there' : error.message || error.code || 'no answer'
  return new Failure(`${origin} cannot be reached: ${why}`)
}
