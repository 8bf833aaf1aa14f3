/**
 * A caller of one cloud: the token, the catalog's addresses, and calls that end in JSON or in the service's own sentence.
 * A token that ran out during a long watch is asked for once more.
 */
import type { Cloud } from './cloud.js'
import { Failure, ServiceError } from './errors.js'
import type { Answer, Send } from './http.js'

export type Json = Readonly<Record<string, unknown>>
export type ServiceType = 'strata' | 'compute' | 'volumev3'

export interface Session {
  /** The path begins behind what the catalog says. An answer without a body is `{}`. */
  call<T = Json>(service: ServiceType, method: string, path: string, body?: unknown): Promise<T>
  /** An answer that is no JSON. */
  text(service: ServiceType, path: string): Promise<string>
}

interface Login {
  readonly token: string
  readonly catalog: readonly CatalogEntry[]
}
interface CatalogEntry {
  readonly type: string
  readonly endpoints: readonly { readonly interface: string; readonly region_id: string; readonly url: string }[]
}

export async function openSession(cloud: Cloud, send: Send): Promise<Session> {
  let login = await logIn(cloud, send)

  async function ask(service: ServiceType, method: string, path: string, body: unknown): Promise<Answer> {
    const url = endpoint(login.catalog, service, cloud) + path
    const text = body === undefined ? undefined : JSON.stringify(body)
    const once = async (): Promise<Answer> => await send(method, url, { 'x-auth-token': login.token, accept: '*/*' }, text)
    const answer = await once()
    if (answer.status !== 401) return checked(answer)
    login = await logIn(cloud, send)
    return checked(await once())
  }

  return {
    async call(service, method, path, body) {
      const { text } = await ask(service, method, path, body)
      return (text === '' ? {} : JSON.parse(text)) as never
    },
    text: async (service, path) => (await ask(service, 'GET', path, undefined)).text,
  }
}

async function logIn(cloud: Cloud, send: Send): Promise<Login> {
  const answer = checked(await send('POST', `${cloud.authUrl}/auth/tokens`, {}, JSON.stringify({ auth: cloud.auth })))
  const token = answer.headers['x-subject-token']
  const catalog = parsed<{ token?: { catalog?: CatalogEntry[] } }>(answer.text)?.token?.catalog
  if (typeof token !== 'string') throw new Failure(`${cloud.authUrl} does not answer as an Identity service does`)
  if (catalog === undefined) throw new Failure('the token is for no project: set OS_PROJECT_NAME, or project_name in clouds.yaml')
  return { token, catalog }
}

function endpoint(catalog: readonly CatalogEntry[], type: ServiceType, { region, interface: face }: Cloud): string {
  const found = catalog
    .filter((entry) => entry.type === type)
    .flatMap((entry) => entry.endpoints)
    .find((one) => one.interface === face && (region === undefined || one.region_id === region))
  if (found === undefined)
    throw new Failure(`the catalog has no ${face} endpoint of type ${type}${region === undefined ? '' : ` in region ${region}`}`)
  return found.url.replace(/\/$/, '')
}

function checked(answer: Answer): Answer {
  if (answer.status >= 200 && answer.status < 300) return answer
  const requestId = answer.headers['x-openstack-request-id']
  throw new ServiceError(answer.status, sentenceOf(answer), typeof requestId === 'string' ? requestId : undefined)
}

/** `{"error": {"message"}}` of Keystone and our own, `{"badRequest": {"message"}}` and its like of Nova and Cinder. */
function sentenceOf({ status, text }: Answer): string {
  for (const inner of Object.values(parsed<Json>(text) ?? {})) {
    const { message, results } = (inner ?? {}) as { message?: unknown; results?: readonly { name: string; message: string | null }[] }
    if (typeof message !== 'string' || message === '') continue
    // Of several that were asked for at once, each has its own reason.
    return [message, ...(results ?? []).map((one) => `  ${one.name}: ${one.message}`)].join('\n')
  }
  return `the service answered ${status}${text === '' ? '' : `: ${text.slice(0, 200)}`}`
}

function parsed<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T
  } catch {
    return undefined
  }
}
