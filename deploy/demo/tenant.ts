/** The calls a tenant makes, by plain HTTP: nothing here knows anything the API documentation does not say. */
import { openAsBlob } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

type Json = Record<string, unknown>

export class Tenant {
  readonly #url: string
  readonly #token: string

  private constructor(url: string, token: string) {
    this.#url = url
    this.#token = token
  }

  /** With what `clouds.yaml` says. */
  static async login(url: string, stateDir: string): Promise<Tenant> {
    const clouds = await readFile(join(stateDir, 'clouds.yaml'), 'utf8')
    const password = JSON.parse(/password: (".*")/.exec(clouds)?.[1] ?? '""') as string
    const domain = { name: 'Default' }
    const user = { name: 'admin', domain, password }
    const auth = { identity: { methods: ['password'], password: { user } }, scope: { project: { name: 'admin', domain } } }
    const response = await fetch(`${url}/identity/v3/auth/tokens`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ auth }),
    })
    if (response.status !== 201) throw new Error(`no token: ${response.status} ${await response.text()}`)
    return new Tenant(url, response.headers.get('x-subject-token') ?? '')
  }

  async call<T = Json>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await this.#send(method, path, body === undefined ? undefined : JSON.stringify(body), 'application/json')
    const text = await response.text()
    return (text === '' ? {} : JSON.parse(text)) as T
  }

  async uploadImage(
    name: string,
    file: string,
    formats: { disk: string; container: string },
    properties: Json = {},
  ): Promise<{ id: string; bytes: number }> {
    const { id } = await this.call<{ id: string }>('POST', '/image/v2/images', {
      name,
      disk_format: formats.disk,
      container_format: formats.container,
      ...properties,
    })
    const blob = await openAsBlob(file)
    await this.#send('PUT', `/image/v2/images/${id}/file`, blob, 'application/octet-stream')
    return { id, bytes: blob.size }
  }

  async text(path: string): Promise<string> {
    return await (await this.#send('GET', path)).text()
  }

  async downloadImage(id: string, to: string): Promise<void> {
    const response = await this.#send('GET', `/image/v2/images/${id}/file`)
    await writeFile(to, response.body ?? '')
  }

  /** The server's serial console, where the guest says what it does. */
  async console(serverId: string): Promise<string> {
    const { output } = await this.call<{ output: string }>('POST', `/compute/v2.1/servers/${serverId}/action`, {
      'os-getConsoleOutput': {},
    })
    return output
  }

  /** Until `path` shows the wanted status under `key`; its error is thrown. */
  async until(path: string, key: string, wanted: string, timeoutMs = 120_000): Promise<Json> {
    for (const deadline = Date.now() + timeoutMs; ; await sleep(5)) {
      const answer = await this.call<Json>('GET', path)
      const resource = (key === '' ? answer : answer[key]) as Json
      const status = String(resource['status']).toLowerCase()
      if (status === wanted) return resource
      if (status.startsWith('error') || Date.now() > deadline)
        throw new Error(`${path} is ${status}, not ${wanted}: ${JSON.stringify(resource['fault'] ?? {})}`)
    }
  }

  async untilGone(path: string, timeoutMs = 120_000): Promise<void> {
    for (const deadline = Date.now() + timeoutMs; ; await sleep(5)) {
      const response = await fetch(this.#url + path, { headers: { 'x-auth-token': this.#token } })
      await response.body?.cancel()
      if (response.status === 404) return
      if (Date.now() > deadline) throw new Error(`${path} is still there`)
    }
  }

  async #send(method: string, path: string, body?: string | Blob, type?: string): Promise<Response> {
    const response = await fetch(this.#url + path, {
      method,
      headers: { 'x-auth-token': this.#token, ...(body === undefined || type === undefined ? {} : { 'content-type': type }) },
      ...(body === undefined ? {} : { body }),
    })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return response
  }
}
