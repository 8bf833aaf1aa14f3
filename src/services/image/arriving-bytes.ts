/**
 * The bytes of an upload as they come. That they stop coming is the caller's affair and no fault of ours; that this
 * process ends is no reason to wait for more of them.
 */
import { DomainError } from '../../domain/errors.js'

export const serviceEnds = (): DomainError => new DomainError('unavailable', 'The service is ending. Please upload the image again later.')

export async function* untilEnded(source: AsyncIterable<Uint8Array>, ending: AbortSignal): AsyncGenerator<Uint8Array> {
  const bytes = source[Symbol.asyncIterator]()
  let stop: (() => void) | undefined
  const ended = new Promise<never>((_, reject) => {
    stop = () => reject(serviceEnds())
    ending.addEventListener('abort', stop, { once: true })
    if (ending.aborted) stop()
  })
  ended.catch(() => {})
  let whole = false
  try {
    while (!whole) {
      const next = await Promise.race([ended, bytes.next().catch(brokenOff)])
      whole = next.done === true
      if (next.done !== true) yield next.value
    }
  } finally {
    if (stop !== undefined) ending.removeEventListener('abort', stop)
    // When we end, the connection is still needed for the answer.
    if (!whole && !ending.aborted) await bytes.return?.()
  }
}

function brokenOff(cause: unknown): never {
  throw new DomainError('invalid', 'The upload was broken off before its end.', { cause })
}
