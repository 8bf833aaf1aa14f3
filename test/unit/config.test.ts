import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { BadConfig, JustPrint, loadConfig } from '../../src/config.js'
import { SETTING_NAMES, settingsTable, variableOf } from '../../src/settings.js'

const dir = mkdtempSync('/tmp/sc-')
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const base = { STRATA_STATE_DIR: '/tmp/s' }
const complaints = async (argv: string[], env: NodeJS.ProcessEnv = {}): Promise<string> =>
  await loadConfig(argv, { ...base, ...env }).then(
    () => '',
    (error) => (error instanceof BadConfig ? error.message : Promise.reject(error)),
  )
const file = (text: string): string => {
  const path = join(dir, `${Math.random()}.yaml`)
  writeFileSync(path, text)
  return path
}

describe('configuration', () => {
  it('needs nothing to be said', async () => {
    const config = await loadConfig([], { XDG_STATE_HOME: '/tmp/x' })
    expect(config).toMatchObject({
      role: 'all',
      listen: { host: '127.0.0.1', port: 8780 },
      stateDir: '/tmp/x/strata',
      databaseUrl: 'sqlite:/tmp/x/strata/strata.sqlite',
      pools: [{ name: 'default', path: '/tmp/x/strata/pools/default' }],
      maxImageSize: 2 ** 40,
      warnings: [],
    })
  })

  it('lets a flag win over the environment and the environment over the file', async () => {
    const path = file('listen: 127.0.0.1:1\nregion: fromfile\nconcurrency: 3\n')
    const config = await loadConfig(['--listen', '[::1]:3', '--config', path], { ...base, STRATA_LISTEN: 'x:2', STRATA_REGION: 'fromenv' })
    expect(config).toMatchObject({ listen: { host: '::1', port: 3 }, region: 'fromenv', concurrency: 3 })
  })

  it('takes pools as a list or, in the file, as a map', async () => {
    const wanted = [
      { name: 'fast', path: '/srv/nvme' },
      { name: 'slow', path: '/srv/disks' },
    ]
    expect((await loadConfig(['--pools', 'fast=/srv/nvme,slow=/srv/disks/'], base)).pools).toEqual(wanted)
    const path = file('pools:\n  fast: /srv/nvme\n  slow: /srv/disks\n')
    expect((await loadConfig(['--config', path], base)).pools).toEqual(wanted)
  })

  it.each([
    ['listen', 'here', 'host:port'],
    ['listen', '127.0.0.1:70000', '65535'],
    ['public-url', 'ftp://x', 'http'],
    ['role', 'boss', 'all, api, worker'],
    ['state-dir', 'relative', 'absolute'],
    ['database-url', 'postgres://x', 'sqlite:'],
    ['pools', 'nonsense', 'name=/absolute'],
    ['pools', 'a=/x,a=/y', 'twice'],
    ['freeze-budget-ms', '5', 'between 100 and 60000'],
    ['lease-ms', 'soon', 'whole number'],
    ['max-image-size', '3 apples', 'number of bytes'],
    ['guest-user', 'No Body', 'name of a user'],
  ])('refuses --%s %s and says why', async (flag, value, why) => {
    const said = await complaints([`--${flag}`, value])
    expect(said).toContain(`--${flag}`)
    expect(said).toContain(why)
  })

  it('says everything that is wrong at once, and where it was said', async () => {
    const path = file('concurrency: many\nnonsense: 1\n')
    const said = await complaints(['--role', 'boss', '--config', path], { STRATA_LISTEN: 'here' })
    for (const part of ['--role', 'STRATA_LISTEN', 'concurrency in the configuration file', 'there is no setting nonsense'])
      expect(said).toContain(part)
  })

  it('refuses unknown flags, half of a certificate, unreadable files and state directories too deep for sockets', async () => {
    expect(await complaints(['--lisen', 'x'])).toContain('--lisen')
    expect(await complaints(['--tls-key', '/k'])).toContain('together')
    expect(await complaints(['--config', '/nowhere.yaml'])).toContain('/nowhere.yaml')
    expect(await complaints(['--config', file('[1')])).toContain('cannot be read')
    expect(await complaints(['--state-dir', `/tmp/${'d'.repeat(60)}`])).toContain('too long')
  })

  it('never repeats a secret in a complaint', async () => {
    const said = await complaints([], { STRATA_DATABASE_URL: 'pg://u:canary-1@h/d', STRATA_ADMIN_PASSWORD: 'canary-2'.repeat(40) })
    expect(said).toContain('STRATA_DATABASE_URL')
    expect(said).toContain('STRATA_ADMIN_PASSWORD')
    expect(said).not.toContain('canary')
  })

  it('warns of a misspelt variable', async () => {
    expect((await loadConfig([], { ...base, STRATA_LISTN: 'x:1' })).warnings.join()).toContain('STRATA_LISTN')
  })

  it('prints help that names every setting', async () => {
    const help = await loadConfig(['--help'], base).catch((error) => (error instanceof JustPrint ? error.message : ''))
    for (const name of SETTING_NAMES) {
      expect(help).toContain(variableOf(name))
      expect(settingsTable()).toContain(variableOf(name))
    }
  })
})
