/**
 * The version a request asks for. Cinder and Nova share the header `OpenStack-API-Version: <type> X.Y[, <type> X.Y]`;
 * Nova also has its own from before. An entry for another service is none. What cannot be served is an error, thrown
 * only after the caller is known: 401 comes first.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { WireError } from '../faults/fault.js'
import { makeVersion, RANGES, type ServiceName, UNVERSIONED, type Version, type VersionRange, versionText } from '../versions.js'

export interface Negotiated {
  readonly version: Version
  readonly error?: WireError
}

export function negotiate(service: ServiceName, headers: IncomingHttpHeaders): Negotiated {
  const range = RANGES[service]
  if (!range) return { version: UNVERSIONED }
  const floor = makeVersion(range.major, range.min, false)
  const asked = askedFor(range, headers)
  if (asked === undefined) return { version: floor }
  if (asked === 'latest') return { version: makeVersion(range.major, range.max) }
  const [, major, minor] = /^([1-9]\d*)\.([1-9]\d*|0)$/.exec(asked) ?? []
  if (major === undefined || minor === undefined) {
    const sentence = `API Version String ${asked.slice(0, 100)} is of invalid format. Must be of format MajorNum.MinorNum.`
    return { version: floor, error: new WireError(400, sentence) }
  }
  const version = makeVersion(Number(major), Number(minor))
  if (version.major === range.major && version.minor >= range.min && version.minor <= range.max) return { version }
  const [min, max] = [versionText(range, 'min'), versionText(range, 'max')]
  const sentence = `Version ${asked} is not supported by the API. Minimum is ${min} and maximum is ${max}.`
  return { version, error: new WireError(406, sentence, { kind: 'notAcceptable' }) }
}

function askedFor(range: VersionRange, headers: IncomingHttpHeaders): string | undefined {
  for (const entry of String(headers['openstack-api-version'] ?? '').split(',')) {
    const [type, text] = entry.trim().split(/\s+/)
    if (type?.toLowerCase() === range.type && text !== undefined) return text.toLowerCase()
  }
  const legacy = range.type === 'compute' ? headers['x-openstack-nova-api-version'] : undefined
  return legacy === undefined ? undefined : String(legacy).split(',')[0]?.trim().toLowerCase()
}

/** What the answer says of it, errors included. */
export function versionHeaders(service: ServiceName, version: Version): Record<string, string | string[]> {
  const range = RANGES[service]
  if (!range) return {}
  const vary = { Vary: range.type === 'compute' ? ['OpenStack-API-Version', 'X-OpenStack-Nova-API-Version'] : 'OpenStack-API-Version' }
  if (version.major !== range.major) return vary
  const headers = { 'OpenStack-API-Version': `${range.type} ${version}`, ...vary }
  return range.type === 'compute' ? { ...headers, 'X-OpenStack-Nova-API-Version': String(version) } : headers
}
