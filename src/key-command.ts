/** `npm start -- key rotate` and `… key list`: the keys saved memory is sealed with. A running service uses the newest from then on. */
import { BadConfig, loadConfig } from './config.js'
import { keyIds, makeKey } from './host/memory-keys.js'

const USAGE = 'key rotate, or key list; flags come last, and --help lists them'

export async function runKey(words: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const [verb, ...flags] = words
  if (flags.some((word, index) => index === 0 && !word.startsWith('-'))) throw new BadConfig([USAGE])
  const { stateDir } = await loadConfig(flags, env)
  if (verb === 'list') return (await keyIds(stateDir)).map((id) => `${id}\n`).join('')
  if (verb === 'rotate') return `${(await makeKey(stateDir)).id}\n`
  throw new BadConfig([USAGE])
}
