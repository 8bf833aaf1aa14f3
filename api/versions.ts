/**
 * Microversions: what each service advertises, in one place. A range is a promise about what is served: every change up
 * to the maximum that touches a resource we have is in the contract (`x-min-version`) and in the views, and has a row in
 * test/api/microversions. A resource we do not have is 404 at every version, as on a cloud that has switched it off;
 * README lists those, and they do not lower a maximum. A change of behaviour of what we have would.
 *
 * volume 3.66: snapshots of what is in use need no force. 3.68 (re-image) would be the next change to volumes.
 * compute 2.60: multiattach, which Block Storage never offers here. 2.61 (extra specs in flavors) would be the next.
 */
export type ServiceName = 'identity' | 'compute' | 'volume' | 'image' | 'strata'

export interface Version {
  readonly major: number
  readonly minor: number
  /** Was it asked for, or is it the default of a request without a version header? */
  readonly asked: boolean
  /** Is the request's version `major.minor` or later, e.g. `version.atLeast(14)` for 3.14? */
  atLeast(minor: number): boolean
  toString(): string
}

export interface VersionRange {
  /** The word in `OpenStack-API-Version: <type> X.Y`. */
  readonly type: string
  readonly major: number
  readonly min: number
  readonly max: number
}

export const RANGES: Partial<Record<ServiceName, VersionRange>> = {
  volume: { type: 'volume', major: 3, min: 0, max: 66 },
  compute: { type: 'compute', major: 2, min: 1, max: 60 },
}

export function makeVersion(major: number, minor: number, asked = true): Version {
  return { major, minor, asked, atLeast: (wanted) => minor >= wanted, toString: () => `${major}.${minor}` }
}

/** The version of services that have none: everything ungated, nothing gated. */
export const UNVERSIONED: Version = makeVersion(0, 0, false)

export const versionText = (range: VersionRange, which: 'min' | 'max'): string => `${range.major}.${range[which]}`
