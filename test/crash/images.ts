/** Files whose every byte we know, made by qemu's own tools. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** MiB number → byte it is filled with; what is not named reads zero. */
export type Content = ReadonlyMap<number, number>

export async function makeImage(path: string, mib: number, backing: string | null, content: Content): Promise<void> {
  await run('qemu-img', ['create', '-q', '-u', '-f', 'qcow2', ...(backing === null ? [] : ['-F', 'qcow2', '-b', backing]), path, `${mib}M`])
  const writes = [...content].flatMap(([block, byte]) => ['-c', `write -q -P ${byte} ${block}M 1M`])
  if (writes.length > 0) await run('qemu-io', ['-f', 'qcow2', ...writes, path])
}
