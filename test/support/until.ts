/** Waits for a condition, never for wall time alone: polls `probe` until it gives a value other than undefined or false. */
export async function until<T>(
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  options: { what: string; timeoutMs?: number; everyMs?: number },
): Promise<T> {
  const deadline = performance.now() + (options.timeoutMs ?? 50_000)
  for (;;) {
    const value = await probe()
    if (value !== undefined && value !== false) return value
    if (performance.now() > deadline) throw new Error(`waited in vain for ${options.what}`)
    await new Promise((resolve) => setTimeout(resolve, options.everyMs ?? 20))
  }
}
