/**
 * The bytes of an upload as they come. That they stop coming is the caller's affair and no fault of ours; that this
 * process ends is no reason to wait for more of them.
 */
import { DomainError } from '../../domain/errors.js'

export const serviceEnds = (): DomainError => new DomainError('unavailable', 'The service is ending. Please upload the image again later.')

export async function* untilEnded(source: AsyncIterable<Uint8Array>, ending: AbortSignal): AsyncGenerator<Uint8Array> {
  const bytes = source[Symbol.asyncIterator]()
  let whole = false
  try {
    while (!whole) {
      const next = await unlessEnding(bytes.next().catch(brokenOff), ending)
      whole = next.done === true
      if (next.done !== true) yield next.value
    }
  } finally {
    // When we end, the connection is still needed for the answer.
    if (!whole && !ending.aborted) await bytes.return?.()
  }
}

/** Not a race against one promise that lasts as long as the upload: that one would hold on to every piece it was raced with. */
function unlessEnding<T>(piece: Promise<T>, ending: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(serviceEnds())
    ending.addEventListener('abort', stop, { once: true })
    if (ending.aborted) stop()
    void piece.then(resolve, reject).finally(() => ending.removeEventListener('abort', stop))
  })
}

function brokenOff(cause: unknown): never {
  throw new DomainError('invalid', 'The upload was broken off before its end.', { cause })
}
