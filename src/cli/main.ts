#!/usr/bin/env node
/**
 * `strata`, the command of those who use the service: a client like any other, which knows what the API documentation says
 * and no more. (The service itself is `npm start`, with `db backup` and the like behind it: src/main.ts.)
 *
 * Answers go to standard output, progress and errors to standard error. Exit code 0: done; 1: the service, or a job, said
 * no; 2: the command was not understood.
 */
import { Command, CommanderError, Option } from 'commander'
import { version } from '../version.js'
import { addCapabilitiesCommand } from './capabilities-command.js'
import { addChainCommands } from './chain-commands.js'
import { ServiceError, UsageError } from './errors.js'
import { addJobCommands } from './job-commands.js'
import { addManagedSaveCommands } from './managed-save-commands.js'
import { addServerSnapshotCommands } from './server-snapshot-commands.js'
import { plain } from './text.js'
import { createTools } from './tools.js'

const program = new Command('strata')
  .description('snapshots of whole servers, their chains and jobs; volumes, servers and images are the `openstack` command’s')
  .version(version())
  .addOption(new Option('--os-cloud <name>', 'the cloud of clouds.yaml (OS_CLOUD); without one, what the OS_* variables say'))
  .addOption(new Option('-f, --format <format>', 'for people or for programs').choices(['table', 'json']).default('table'))
  .configureHelp({ showGlobalOptions: true })
  .exitOverride()

const tools = createTools(program)
for (const add of [addServerSnapshotCommands, addChainCommands, addManagedSaveCommands, addJobCommands, addCapabilitiesCommand])
  add(program, tools)
for (const own of ['db', 'key'])
  program
    .command(own, { hidden: true })
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      throw new UsageError(`${own} is for who runs the service, and done by its own program: npm start -- ${own} …`)
    })

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
try {
  await program.parseAsync(process.argv)
} catch (error) {
  process.exitCode = tell(error)
}

function tell(error: unknown): number {
  // It has printed its own words, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  const message = error instanceof Error ? error.message : String(error)
  const request = error instanceof ServiceError && error.requestId !== undefined ? `\nrequest id: ${error.requestId}` : ''
  // Its lines are ours, the names in it are others'.
  process.stderr.write(`strata: ${`${message}${request}`.split('\n').map(plain).join('\n')}\n`)
  return error instanceof UsageError ? 2 : 1
}
