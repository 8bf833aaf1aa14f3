/** Which cloud `strata` talks to, and as whom: the file, the variables, and which of them wins. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { resolveCloud } from '../../src/cli/cloud.js'

const FILE = `clouds:
  one:
    auth:
      auth_url: http://one.example:5000/identity
      username: ann
      password: 'first'
      project_name: tenant
      user_domain_name: People
      project_domain_name: Projects
    region_name: North
    cacert: ~/ca.pem
  two:
    auth: { auth_url: 'https://two.example/v3/', token: abc, project_id: p2 }
    interface: internalURL
    verify: false
`

let home: string
let cwd: string
beforeEach(() => {
  home = mkdtempSync('/tmp/strata-cli-')
  cwd = join(home, 'work')
  mkdirSync(cwd)
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

const resolve = async (env: Record<string, string> = {}, named?: string) => await resolveCloud(named, { env: { HOME: home, ...env }, cwd })
const write = (path: string, text: string): void => {
  mkdirSync(join(home, path, '..'), { recursive: true })
  writeFileSync(join(home, path), text)
}

describe('a cloud of clouds.yaml', () => {
  it('is read whole, with /v3 where the URL lacks it and ~ as the home', async () => {
    write('work/clouds.yaml', FILE)
    expect(await resolve({}, 'one')).toEqual({
      authUrl: 'http://one.example:5000/identity/v3',
      auth: {
        identity: { methods: ['password'], password: { user: { name: 'ann', domain: { name: 'People' }, password: 'first' } } },
        scope: { project: { name: 'tenant', domain: { name: 'Projects' } } },
      },
      region: 'North',
      interface: 'public',
      cacert: join(home, 'ca.pem'),
      verify: true,
    })
    expect(await resolve({ OS_CLOUD: 'two' })).toEqual({
      authUrl: 'https://two.example/v3',
      auth: { identity: { methods: ['token'], token: { id: 'abc' } }, scope: { project: { id: 'p2' } } },
      region: undefined,
      interface: 'internal',
      cacert: undefined,
      verify: false,
    })
  })

  it('is looked for here before home, and where OS_CLIENT_CONFIG_FILE says before both', async () => {
    const at = (url: string) => `clouds: { c: { auth: { auth_url: '${url}', token: t } } }`
    const found = async (env = {}) => (await resolve(env)).authUrl
    write('.config/openstack/clouds.yaml', at('http://home'))
    expect(await found()).toBe('http://home/v3')
    write('work/clouds.yml', at('http://here'))
    expect(await found()).toBe('http://here/v3')
    write('elsewhere/my.yaml', at('http://named'))
    expect(await found({ OS_CLIENT_CONFIG_FILE: join(home, 'elsewhere/my.yaml') })).toBe('http://named/v3')
  })

  it('needs no name if it is the only one, and is not guessed among several', async () => {
    write('work/clouds.yaml', FILE)
    await expect(resolve()).rejects.toThrow('names one, two; choose with --os-cloud or OS_CLOUD')
    await expect(resolve({}, 'three')).rejects.toThrow('names one, two, and no three')
  })

  it('takes what is secret from secure.yaml', async () => {
    write('work/clouds.yaml', 'clouds: { c: { auth: { auth_url: http://x, username: u, password: wrong, project_name: p } } }')
    write('work/secure.yaml', 'clouds: { c: { auth: { password: right } } }')
    expect(JSON.stringify((await resolve()).auth)).toContain('"password":"right"')
  })
})

describe('the OS_* variables', () => {
  const VARIABLES = { OS_AUTH_URL: 'http://v', OS_USERNAME: 'u', OS_PASSWORD: 'p', OS_PROJECT_NAME: 'pr' }

  it('are enough without a file, in the default domain', async () => {
    expect(await resolve(VARIABLES)).toMatchObject({
      authUrl: 'http://v/v3',
      auth: {
        identity: { password: { user: { name: 'u', domain: { id: 'default' }, password: 'p' } } },
        scope: { project: { name: 'pr', domain: { id: 'default' } } },
      },
    })
    const token = await resolve({ OS_AUTH_URL: 'http://v', OS_TOKEN: 'tok', OS_PROJECT_ID: 'id' })
    expect(token.auth).toEqual({ identity: { methods: ['token'], token: { id: 'tok' } }, scope: { project: { id: 'id' } } })
  })

  it('win over the file, a name over its id too', async () => {
    write('work/clouds.yaml', FILE)
    const cloud = await resolve({ OS_CLOUD: 'two', OS_PROJECT_NAME: 'other', OS_CACERT: '/ca', OS_REGION_NAME: 'South' })
    expect(cloud).toMatchObject({ auth: { scope: { project: { name: 'other' } } }, cacert: '/ca', region: 'South' })
  })

  it('that are missing are named', async () => {
    await expect(resolve()).rejects.toThrow('no cloud: set OS_CLOUD')
    await expect(resolve({}, 'c')).rejects.toThrow('no clouds.yaml to look for c in')
    await expect(resolve({ ...VARIABLES, OS_PASSWORD: '' })).rejects.toThrow('no password: set OS_PASSWORD or OS_TOKEN')
    await expect(resolve({ ...VARIABLES, OS_AUTH_TYPE: 'v3kerberos' })).rejects.toThrow('auth_type v3kerberos is not spoken here')
  })
})
