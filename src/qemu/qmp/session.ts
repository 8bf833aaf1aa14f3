/**
 * One QMP session: greeting, capabilities, replies by id, events. Four run-states, always in this circle:
 * idle → connecting → running → disconnecting → idle. It never reconnects by itself: the caller knows what a
 * gap in the events means to it, and asks again.
 *
 * Every failure of a command is an AdapterError. refused: QEMU answered with an error (`code` is its class).
 * unknown: sent, and no answer came (closed, or timed out). unavailable: never sent.
 */
import { AdapterError, refused, unavailable, unknown } from '../../domain/errors.js'
import { type Arguments, COMMANDS, type CommandName, type QmpEvent, type Result } from './commands.js'
import { openTransport, type Transport } from './transport.js'

export type SessionState = 'idle' | 'connecting' | 'running' | 'disconnecting'

export interface SessionOptions {
  readonly path: string
  /** For the connection, the greeting and the negotiation together. */
  readonly connectTimeoutMs?: number
  /** A command's time when it names none. */
  readonly commandTimeoutMs?: number
  readonly maxLine?: number
}

interface Pending {
  readonly command: string
  readonly timer: NodeJS.Timeout
  resolve(result: unknown): void
  reject(error: AdapterError): void
}

export class QmpSession {
  readonly #options: Required<SessionOptions>
  readonly #pending = new Map<number, Pending>()
  readonly #eventListeners = new Set<(event: QmpEvent) => void>()
  readonly #stateListeners = new Set<(state: SessionState) => void>()
  #state: SessionState = 'idle'
  #transport: Transport | undefined
  #greeting: { resolve(): void; reject(error: Error): void } | undefined
  #lastId = 0
  /** Rises with every attempt, so that a late word of an old connection cannot touch the next. */
  #epoch = 0

  constructor(options: SessionOptions) {
    this.#options = { connectTimeoutMs: 5_000, commandTimeoutMs: 20_000, maxLine: 64 * 1024 * 1024, ...options }
  }

  get state(): SessionState {
    return this.#state
  }

  /** From idle to running. Unavailable when nobody answers as QMP in time; the state is idle again then. */
  async connect(): Promise<void> {
    if (this.#state !== 'idle') throw unavailable(`the QMP session is ${this.#state}`)
    this.#enter('connecting')
    const deadline = Date.now() + this.#options.connectTimeoutMs
    const epoch = ++this.#epoch
    try {
      const { path, maxLine, connectTimeoutMs } = this.#options
      // The greeting may arrive in the same breath as the connection: listen for it before.
      const greeting = this.#expectGreeting(deadline)
      this.#transport = await openTransport(
        { path, maxLine, timeoutMs: connectTimeoutMs },
        {
          onMessage: (message) => epoch === this.#epoch && this.#receive(message),
          onClose: (reason) => epoch === this.#epoch && this.#closed(reason),
        },
      ).catch((error: Error) => {
        this.#greeting?.reject(error)
        return undefined
      })
      await greeting
      await this.#send('qmp_capabilities', {}, Math.max(1, deadline - Date.now()))
    } catch (cause) {
      this.#epoch++ // What a half-open connection still says is nobody's business.
      this.#transport?.close()
      this.#transport = undefined
      this.#forget()
      this.#enter('idle')
      throw unavailable('the monitor does not answer', { cause, reason: 'qemu-silent' })
    }
    this.#enter('running')
  }

  async execute<C extends CommandName>(
    command: C,
    ...[args, options]: object extends Arguments<C>
      ? [args?: Arguments<C>, options?: { timeoutMs?: number }]
      : [args: Arguments<C>, options?: { timeoutMs?: number }]
  ): Promise<Result<C>> {
    if (this.#state !== 'running') throw unavailable(`${command}: the QMP session is ${this.#state}`)
    return (await this.#send(command, args ?? {}, options?.timeoutMs ?? this.#options.commandTimeoutMs)) as Result<C>
  }

  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#eventListeners.add(listener)
    return () => this.#eventListeners.delete(listener)
  }

  onState(listener: (state: SessionState) => void): () => void {
    this.#stateListeners.add(listener)
    return () => this.#stateListeners.delete(listener)
  }

  /** Commands in flight end as unknown. */
  close(): void {
    if (this.#state === 'running') this.#enter('disconnecting')
    this.#transport?.close()
  }

  #expectGreeting(deadline: number): Promise<void> {
    const greeting = new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no greeting came')), Math.max(1, deadline - Date.now()))
      const end = <A extends unknown[]>(act: (...args: A) => void) => {
        return (...args: A): void => {
          clearTimeout(timer)
          this.#greeting = undefined
          act(...args)
        }
      }
      this.#greeting = { resolve: end(resolve), reject: end(reject) }
    })
    greeting.catch(() => undefined)
    return greeting
  }

  #send(command: CommandName, args: object, timeoutMs: number): Promise<unknown> {
    if (!Object.hasOwn(COMMANDS, command)) throw new TypeError(`not one of our QMP commands: ${String(command)}`)
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id)
        reject(unknown(`${command}: no reply within ${timeoutMs} ms`, { reason: 'qemu-silent' }))
      }, timeoutMs)
      this.#pending.set(id, { command, timer, resolve, reject })
      if (this.#transport?.send({ execute: command, arguments: args, id }) === true) return
      clearTimeout(timer)
      this.#pending.delete(id)
      reject(unavailable(`${command}: the connection is closed`))
    })
  }

  #receive(message: unknown): void {
    if (typeof message !== 'object' || message === null) return
    if (this.#greeting !== undefined) {
      if ('QMP' in message) this.#greeting.resolve()
      else this.#greeting.reject(new Error('the first message is no QMP greeting'))
    } else if ('event' in message) {
      const event = { data: {}, ...message } as QmpEvent
      for (const listener of [...this.#eventListeners]) listener(event)
    } else if ('id' in message) this.#settle(message as Reply)
  }

  #settle(reply: Reply): void {
    const pending = this.#pending.get(reply.id)
    // A reply that comes after its time-out finds nobody: its outcome was given as unknown.
    if (pending === undefined) return
    this.#pending.delete(reply.id)
    clearTimeout(pending.timer)
    if (reply.error === undefined) pending.resolve(reply.return)
    else pending.reject(refused(`${pending.command}: ${reply.error.desc}`, { code: reply.error.class }))
  }

  #closed(reason: Error | undefined): void {
    const connecting = this.#state === 'connecting'
    if (this.#state === 'running') this.#enter('disconnecting')
    this.#transport = undefined
    this.#greeting?.reject(reason ?? new Error('the connection was closed'))
    this.#forget(reason)
    if (!connecting) this.#enter('idle')
  }

  /** What was sent and not answered: its outcome is unknown from now on. */
  #forget(reason?: Error): void {
    for (const [id, pending] of [...this.#pending]) {
      this.#pending.delete(id)
      clearTimeout(pending.timer)
      pending.reject(unknown(`${pending.command}: the connection was lost before the reply`, { cause: reason }))
    }
  }

  #enter(state: SessionState): void {
    if (this.#state === state) return
    this.#state = state
    for (const listener of [...this.#stateListeners]) listener(state)
  }
}

interface Reply {
  readonly id: number
  readonly return?: unknown
  readonly error?: { readonly class: string; readonly desc: string }
}

export const isRefusal = (error: unknown): boolean => error instanceof AdapterError && error.outcome === 'refused'
