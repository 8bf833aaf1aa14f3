/** What every command has at hand: the session it may open, the words after its name, and where its answer goes. */
import { type Command, Option } from 'commander'
import { resolveCloud } from './cloud.js'
import { createSend } from './http.js'
import { type Job, mustEndWell, type Terminal, watchJob } from './job.js'
import { openSession, type Session } from './session.js'
import { type Cell, type Column, renderRecord, renderTable } from './text.js'

export interface Tools {
  session(): Promise<Session>
  readonly terminal: Terminal
  /** JSON prints `value` as the service told it; else what `text` makes of it. */
  print(value: unknown, text: () => string): void
  printRaw(text: string): void
  printList<T>(rows: readonly T[], columns: readonly Column<T>[]): void
  printRecord(value: unknown, fields: readonly (readonly [name: string, value: Cell])[]): void
}

/** Given to a group (`strata job …`), which adds its commands. */
export type AddCommands = (program: Command, tools: Tools) => void

export function createTools(program: Command): Tools {
  const isJson = (): boolean => program.opts<{ format: string }>().format === 'json'
  const print: Tools['print'] = (value, text) => void process.stdout.write(`${isJson() ? JSON.stringify(value, null, 2) : text()}\n`)
  return {
    async session() {
      const cloud = await resolveCloud(program.opts<{ osCloud?: string }>().osCloud, { env: process.env, cwd: process.cwd() })
      return await openSession(cloud, createSend(cloud))
    },
    terminal: {
      isTTY: process.stderr.isTTY === true,
      // Asked each time: windows change.
      get columns() {
        return process.stderr.columns || 80
      },
      write: (text) => void process.stderr.write(text),
    },
    print,
    printRaw: (text) => void process.stdout.write(text),
    printList: (rows, columns) => print(rows, () => renderTable(rows, columns)),
    printRecord: (value, fields) => print(value, () => renderRecord(fields)),
  }
}

export const choice = (flags: string, meaning: string, values: readonly string[]): Option => new Option(flags, meaning).choices([...values])

/** On what the service can draw. */
export const pictureOption = (): Option => new Option('--svg', 'the picture, as SVG: … > picture.svg')

/** On what starts a job. */
export const waitOption = (): Option => new Option('--wait', 'until the job has ended; the exit code says how')

/** With `--wait`: to the job's end, which must be a good one. */
export async function afterJob(
  session: Session,
  tools: Tools,
  jobId: string | null | undefined,
  wait: boolean | undefined,
): Promise<Job | undefined> {
  if (wait !== true || jobId === null || jobId === undefined) return undefined
  const job = await watchJob(session, jobId, tools.terminal)
  await mustEndWell(session, job)
  return job
}
