/** Version documents as each service spells them: clients read minimum and maximum here before their first call. */
import type { Handler, Here } from '../../contract.js'
import { RANGES, type VersionRange, versionText } from '../../versions.js'

const link = (here: Here, path: string) => ({ rel: 'self', href: `${here.service}${path}` })
const range = (service: 'volume' | 'compute'): VersionRange => RANGES[service] as VersionRange
const media = (type: string) => [{ base: 'application/json', type: `application/vnd.openstack.${type}` }]

const identityV3 = (here: Here) => ({
  id: 'v3.14',
  status: 'stable',
  updated: '2020-04-07T00:00:00Z',
  links: [link(here, '/v3/')],
  'media-types': media('identity-v3+json'),
})
export const listIdentityVersions: Handler<'listIdentityVersions'> = async ({ here, reply }) =>
  reply(300, { versions: { values: [identityV3(here)] } }, { Location: `${here.service}/v3/` })
export const showIdentityVersion: Handler<'showIdentityVersion'> = async ({ here, reply }) => reply(200, { version: identityV3(here) })

const computeV2 = (here: Here) => ({
  id: 'v2.0',
  status: 'SUPPORTED',
  version: '',
  min_version: '',
  updated: '2011-01-21T11:33:21Z',
  links: [link(here, '/v2/')],
})
const computeV21 = (here: Here) => ({
  id: 'v2.1',
  status: 'CURRENT',
  version: versionText(range('compute'), 'max'),
  min_version: versionText(range('compute'), 'min'),
  updated: '2013-07-23T11:33:21Z',
  links: [link(here, '/v2.1/')],
})
const computeDetail = (version: { links: object[] }, here: Here, type: string) => ({
  version: {
    ...version,
    links: [...version.links, { rel: 'describedby', type: 'text/html', href: `${here.origin}/docs` }],
    'media-types': media(`compute+json;version=${type}`),
  },
})
export const listComputeVersions: Handler<'listComputeVersions'> = async ({ here, reply }) =>
  reply(200, { versions: [computeV2(here), computeV21(here)] })
export const showComputeLegacyVersion: Handler<'showComputeLegacyVersion'> = async ({ here, reply }) =>
  reply(200, computeDetail(computeV2(here), here, '2'))
export const showComputeVersion: Handler<'showComputeVersion'> = async ({ here, reply }) =>
  reply(200, computeDetail(computeV21(here), here, '2.1'))
export const chooseComputeVersion: Handler<'chooseComputeVersion'> = async ({ here, reply }) => {
  const choice = (version: ReturnType<typeof computeV2>, type: string) => ({
    id: version.id,
    status: version.status,
    links: version.links,
    'media-types': media(`compute+json;version=${type}`),
  })
  return reply(300, { choices: [choice(computeV2(here), '2'), choice(computeV21(here), '2.1')] })
}

const volumeV3 = (here: Here) => ({
  versions: [
    {
      id: 'v3.0',
      status: 'CURRENT',
      version: versionText(range('volume'), 'max'),
      min_version: versionText(range('volume'), 'min'),
      updated: '2022-08-31T00:00:00Z',
      links: [{ rel: 'describedby', type: 'text/html', href: `${here.origin}/docs` }, link(here, '/v3/')],
      'media-types': media('volume+json;version=3'),
    },
  ],
})
export const listVolumeVersions: Handler<'listVolumeVersions'> = async ({ here, reply }) => reply(300, volumeV3(here))
export const showVolumeVersion: Handler<'showVolumeVersion'> = async ({ here, reply }) =>
  here.path.endsWith('/') ? reply(200, volumeV3(here)) : reply(302, undefined, { Location: `${here.service}/v3/` })

/** v2.7 is the last whose additions (hashes, hidden images) are here. */
const IMAGE_MINORS = [7, 6, 5, 4, 3, 2, 1, 0]
const imageVersions = (here: Here) => ({
  versions: IMAGE_MINORS.map((minor, index) => ({
    id: `v2.${minor}`,
    status: index === 0 ? 'CURRENT' : 'SUPPORTED',
    links: [link(here, '/v2/')],
  })),
})
export const listImageVersions: Handler<'listImageVersions'> = async ({ here, reply }) => reply(300, imageVersions(here))
export const showImageVersions: Handler<'showImageVersions'> = async ({ here, reply }) => reply(200, imageVersions(here))
export const showImageVersion: Handler<'showImageVersion'> = async ({ here, reply }) =>
  here.path.endsWith('/') ? reply(300, imageVersions(here)) : reply(302, undefined, { Location: `${here.service}/v2/` })

const strataV1 = (here: Here) => ({ id: 'v1', status: 'CURRENT', links: [link(here, '/v1/')] })
export const listStrataVersions: Handler<'listStrataVersions'> = async ({ here, reply }) => reply(200, { versions: [strataV1(here)] })
export const showStrataVersion: Handler<'showStrataVersion'> = async ({ here, reply }) => reply(200, { version: strataV1(here) })
