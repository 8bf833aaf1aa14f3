/**
 * Any error to the answer of the service that was asked. A DomainError speaks for itself; anything else is a fault of
 * ours: a fixed sentence for the caller, the cause for the log, nothing of it in the answer.
 */
import { AdapterError, DomainError } from '../../src/domain/errors.js'
import type { ServiceName } from '../versions.js'
import { renderCompute } from './compute.js'
import { type Fault, isUnknownUrl, type Rendered, type Renderer, type Surroundings, WireError } from './fault.js'
import { identityPage, renderIdentity } from './identity.js'
import { renderImage } from './image.js'
import { renderStrata } from './strata.js'
import { renderVolume, unknownVolumeUrl } from './volume.js'

const RENDERERS: Record<ServiceName, Renderer> = {
  identity: renderIdentity,
  compute: renderCompute,
  volume: renderVolume,
  image: renderImage,
  strata: renderStrata,
}

const ERRED = 'The server has either erred or is incapable of performing the requested operation.'
const INTERNAL: Record<ServiceName, string> = {
  identity: 'An unexpected error prevented the server from fulfilling your request.',
  compute: ERRED,
  volume: ERRED,
  image: ERRED,
  strata: 'Something failed on our side; the request id names it in the log.',
}

export function renderError(service: ServiceName, error: unknown, surroundings: Surroundings): Rendered {
  if (isUnknownUrl(error) && service === 'volume') return unknownVolumeUrl
  if (service === 'identity' && error instanceof WireError && (error.status === 404 || error.status === 405))
    return identityPage(error.status)
  const rendered = RENDERERS[service](faultOf(service, error), surroundings)
  return error instanceof WireError ? { ...rendered, headers: { ...rendered.headers, ...error.headers } } : rendered
}

/** Is it our fault, so that it belongs in the log with its cause? */
export const isInternal = (error: unknown): boolean => !(error instanceof DomainError) || error.kind === 'internal'

function faultOf(service: ServiceName, error: unknown): Fault {
  if (error instanceof AdapterError && error.outcome === 'unavailable')
    return {
      kind: 'unavailable',
      status: undefined,
      sentence: 'The service is not available at the moment.',
      extra: {},
      retryAfter: undefined,
    }
  if (!(error instanceof DomainError) || error.kind === 'internal')
    return { kind: 'internal', status: undefined, sentence: INTERNAL[service], extra: {}, retryAfter: undefined }
  const status = error instanceof WireError ? error.status : undefined
  return { kind: error.kind, status, sentence: error.message, extra: error.extra, retryAfter: error.retryAfter }
}
