/** Key pairs: made and brought, by user, at every microversion that changed them. */
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { covers } from '../../support/api.js'
import { anImage, useRig } from './rig.js'

/** Of nobody, its key thrown away. */
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBcjCCARegAwIBAgIUOvyX3XFho80glz7JImmQFYrIyakwCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCbWUwIBcNMjYxMTIwMjI0ODE0WhgPMjEyNjEwMjcyMjQ4MTRa
MA0xCzAJBgNVBAMMAm1lMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAET0iI9hok
vYQFrPj6Wp8cwTFADj5anvkC6jYPQqp5AOQty30QIjJCVsKFqLLq0IYbAg68pKbo
eVphyluhvQ0tCaNTMFEwHQYDVR0OBBYEFOCWahDgx2nXAWOfZarpIuyBm8c1MB8G
A1UdIwQYMBaAFOCWahDgx2nXAWOfZarpIuyBm8c1MA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDSQAwRgIhAI5Q/k0rqs1OhlazQA4qoT52O1WBce6sF/d2M8zj
/AzhAiEAqypKPGDOy2ZYmmzM9ccKLhNMLiHkCNYSTjB2oOt8TiU=
-----END CERTIFICATE-----`

const rig = useRig()
const PATH = '/os-keypairs'
const create = (keypair: object, version = '2.10', who: 'member' | 'reader' | 'admin' | 'foreign' = 'member') =>
  rig.call(who, 'POST', PATH, { body: { keypair }, version })
const names = async (who: 'member' | 'reader' | 'foreign' | 'admin' = 'member', query = '', version = '2.10') =>
  (await rig.call(who, 'GET', `${PATH}${query}`, { version })).body.keypairs.map((one: { keypair: { name: string } }) => one.keypair.name)

describe('key pairs', () => {
  it('are made here, the private half told once', async () => {
    covers('createKeypair', 'success', 'invalid')
    covers('showKeypair', 'success')
    covers('deleteKeypair', 'success')
    const { status, body } = await create({ name: 'made' })
    expect(status).toBe(201)
    const { private_key, public_key, fingerprint } = body.keypair
    const blob = Buffer.from(public_key.split(' ')[1], 'base64')
    expect(fingerprint).toBe(
      createHash('md5')
        .update(blob)
        .digest('hex')
        .replace(/(..)(?=.)/g, '$1:'),
    )
    // The public half, as OpenSSH writes it, belongs to the private one.
    const { n = '' } = createPublicKey(createPrivateKey(private_key)).export({ format: 'jwk' })
    expect(blob.subarray(-256).equals(Buffer.from(n, 'base64url'))).toBe(true)
    const shown = (await rig.call('member', 'GET', `${PATH}/made`, { version: '2.10' })).body.keypair
    expect(shown).toMatchObject({
      name: 'made',
      public_key,
      fingerprint,
      type: 'ssh',
      user_id: rig.caller('member').userId,
      deleted: false,
    })
    expect(shown).not.toHaveProperty('private_key')
    expect((await create({ name: 'made' })).body.conflictingRequest.message).toBe("Key pair 'made' already exists.")
    expect((await rig.call('member', 'DELETE', `${PATH}/made`, { version: '2.2' })).status).toBe(204)
    const gone = await rig.call('member', 'GET', `${PATH}/made`)
    expect(gone.body.itemNotFound.message).toBe(`Keypair made not found for user ${rig.caller('member').userId}`)
    expect((await rig.call('member', 'DELETE', `${PATH}/made`)).status).toBe(404)
  })

  it('are brought, as keys or certificates, and what is none is refused', async () => {
    const { public_key } = (await create({ name: 'source' })).body.keypair
    expect((await create({ name: 'brought', public_key })).body.keypair).not.toHaveProperty('private_key')
    const made = (await create({ name: 'certificate', public_key: CERTIFICATE, type: 'x509' })).body.keypair
    expect(made).toMatchObject({ type: 'x509', fingerprint: expect.stringMatching(/^([0-9a-f]{2}:){19}[0-9a-f]{2}$/) })
    const wrong = [
      { name: 'x', public_key: '' },
      { name: 'x', public_key: 'ssh-rsa JUNK nonsense' },
      { name: 'x', public_key: public_key.replace('ssh-rsa', 'ssh-dss') },
      { name: 'x', public_key, type: 'x509' },
      { name: 'x', type: 'x509' },
      { name: 'x', type: 'pgp' },
      { name: 'key_/.\\@:' },
      { name: 'n'.repeat(256) },
      { name: '' },
      {},
      { name: 'x', more: 1 },
    ]
    for (const keypair of wrong) expect((await create(keypair)).status, JSON.stringify(keypair).slice(0, 80)).toBe(400)
    expect((await create({ name: 'x', public_key: 'x' })).body.badRequest.message).toBe(
      'Keypair data is invalid: failed to generate fingerprint',
    )
  })

  it('are a user’s own, unless an admin asks from 2.10', async () => {
    covers('listKeypairs', 'success')
    const userId = rig.caller('member').userId
    expect(await names()).toEqual(['brought', 'certificate', 'source'])
    expect(await names('reader')).toEqual([])
    expect(await names('foreign')).toEqual([])
    expect((await rig.call('foreign', 'GET', `${PATH}/source`)).status).toBe(404)
    expect((await rig.call('foreign', 'GET', `${PATH}?user_id=${userId}`, { version: '2.10' })).status).toBe(403)
    expect((await rig.call('foreign', 'DELETE', `${PATH}/source?user_id=${userId}`, { version: '2.10' })).status).toBe(403)
    expect(await names('admin', `?user_id=${userId}`)).toHaveLength(3)
    expect(await names('admin', `?user_id=${userId}`, '2.9')).toEqual([])
    expect((await create({ name: 'theirs', user_id: userId }, '2.10', 'admin')).status).toBe(201)
    expect((await create({ name: 'theirs', user_id: userId }, '2.9', 'admin')).status).toBe(400)
    expect((await rig.call('admin', 'DELETE', `${PATH}/theirs?user_id=${userId}`, { version: '2.10' })).status).toBe(204)
    expect((await create({ name: 'x' }, '2.10', 'reader')).status).toBe(403)
  })

  it('have a type from 2.2 and pages from 2.35', async () => {
    const old = await create({ name: 'old' }, '2.1')
    expect(old.status).toBe(200)
    expect(old.body.keypair).not.toHaveProperty('type')
    expect((await create({ name: 'x', type: 'ssh' }, '2.1')).status).toBe(400)
    expect((await rig.call('member', 'DELETE', `${PATH}/old`, { version: '2.1' })).status).toBe(202)
    expect(await names('member', '?limit=1', '2.34')).toHaveLength(3)
    const first = (await rig.call('member', 'GET', `${PATH}?limit=2`, { version: '2.35' })).body
    expect(first.keypairs).toHaveLength(2)
    expect(await names('member', new URL(first.keypairs_links[0].href).search, '2.35')).toEqual(['source'])
    expect((await rig.call('member', 'GET', `${PATH}?marker=nope`, { version: '2.35' })).body.badRequest.message).toBe(
      'Marker nope could not be found.',
    )
  })

  it('are what a server may name', async () => {
    const { id: imageRef } = await anImage(rig)
    const make = (key_name: string) =>
      rig.call('member', 'POST', '/servers', { body: { server: { name: 'k', imageRef, flavorRef: '1', key_name } } })
    expect((await make('nope')).body.badRequest.message).toBe('Invalid key_name provided.')
    const { body } = await make('source')
    expect((await rig.call('member', 'GET', `/servers/${body.server.id}`)).body.server.key_name).toBe('source')
  })
})
