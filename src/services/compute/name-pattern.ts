/**
 * Nova's name filter is a regular expression the caller writes. A backtracking engine would let one request hold the
 * process for minutes, so patterns are compiled here into a small machine whose work is bounded by pattern length times
 * name length. Understood: literals, `.`, classes, groups, `|`, `*`, `+`, `?`, `^`, `$` and escapes \d \w \s.
 */
import { DomainError } from '../../domain/errors.js'

type Test = (char: string) => boolean
/** One state: consume a character, or go on without one. */
type State =
  | { readonly kind: 'char'; readonly test: Test; next: number }
  | { readonly kind: 'split'; next: number[] }
  | { readonly kind: 'begin' | 'end'; next: number }
  | { readonly kind: 'accept' }

const MAX_PATTERN = 255
const SPECIAL = /[\\^$.|?*+()[\]{}]/

/** The pattern has no special character: it is a substring to look for. */
export const isPlain = (pattern: string): boolean => !SPECIAL.test(pattern)

/** A function that says whether a name matches anywhere, as REGEXP does. */
export function compilePattern(pattern: string): (name: string) => boolean {
  if (pattern.length > MAX_PATTERN) throw refused(pattern)
  const states = new Compiler(pattern).compile()
  return (name) => run(states, [...name])
}

const refused = (pattern: string) => new DomainError('invalid', `Invalid regular expression: ${pattern.slice(0, MAX_PATTERN)}`)

function run(states: readonly State[], chars: readonly string[]): boolean {
  let current = new Set<number>()
  for (let at = 0; at <= chars.length; at++) {
    follow(states, 0, current, at, chars.length)
    for (const index of current) if (states[index]?.kind === 'accept') return true
    const char = chars[at]
    if (char === undefined) return false
    const following = new Set<number>()
    for (const index of current) {
      const state = states[index]
      if (state?.kind === 'char' && state.test(char)) follow(states, state.next, following, at + 1, chars.length)
    }
    current = following
  }
  return false
}

function follow(states: readonly State[], from: number, into: Set<number>, at: number, length: number): void {
  const waiting = [from]
  for (let index = waiting.pop(); index !== undefined; index = waiting.pop()) {
    if (into.has(index)) continue
    into.add(index)
    const state = states[index]
    if (state?.kind === 'split') waiting.push(...state.next)
    else if (state?.kind === 'begin' && at === 0) waiting.push(state.next)
    else if (state?.kind === 'end' && at === length) waiting.push(state.next)
  }
}

/** A piece of the machine: where it starts, and the states whose `next` is still open. */
interface Fragment {
  readonly start: number
  readonly open: ((target: number) => void)[]
}

class Compiler {
  readonly #chars: string[]
  readonly #states: State[] = []
  #at = 0

  constructor(readonly pattern: string) {
    this.#chars = [...pattern]
  }

  compile(): readonly State[] {
    const entry = this.#split()
    const body = this.#alternatives()
    if (this.#at < this.#chars.length) throw refused(this.pattern)
    entry.state.next = [body.start]
    const accept = this.#add({ kind: 'accept' })
    for (const close of body.open) close(accept)
    return this.#states
  }

  #add(state: State): number {
    return this.#states.push(state) - 1
  }

  #split(): { state: { next: number[] }; index: number } {
    const state = { kind: 'split' as const, next: [] as number[] }
    return { state, index: this.#add(state) }
  }

  #alternatives(): Fragment {
    const first = this.#sequence()
    if (this.#chars[this.#at] !== '|') return first
    this.#at++
    const second = this.#alternatives()
    const { state, index } = this.#split()
    state.next.push(first.start, second.start)
    return { start: index, open: [...first.open, ...second.open] }
  }

  #sequence(): Fragment {
    const { state, index } = this.#split()
    let whole: Fragment = { start: index, open: [(target) => state.next.push(target)] }
    for (let char = this.#chars[this.#at]; char !== undefined && char !== '|' && char !== ')'; char = this.#chars[this.#at]) {
      const part = this.#repeated()
      for (const close of whole.open) close(part.start)
      whole = { start: whole.start, open: part.open }
    }
    return whole
  }

  #repeated(): Fragment {
    let part = this.#atom()
    for (let sign = this.#chars[this.#at]; sign === '*' || sign === '+' || sign === '?'; sign = this.#chars[this.#at]) {
      this.#at++
      const { state, index } = this.#split()
      state.next.push(part.start)
      const leave = (target: number) => void state.next.push(target)
      if (sign !== '?') for (const close of part.open) close(index)
      part = { start: sign === '+' ? part.start : index, open: sign === '?' ? [...part.open, leave] : [leave] }
    }
    return part
  }

  #atom(): Fragment {
    const char = this.#chars[this.#at++]
    if (char === '(') {
      const group = this.#alternatives()
      if (this.#chars[this.#at++] !== ')') throw refused(this.pattern)
      return group
    }
    if (char === '^' || char === '$') {
      const state: State = { kind: char === '^' ? 'begin' : 'end', next: -1 }
      return {
        start: this.#add(state),
        open: [
          (target) => {
            state.next = target
          },
        ],
      }
    }
    return this.#one(this.#test(char))
  }

  #one(test: Test): Fragment {
    const state = { kind: 'char' as const, test, next: -1 }
    return {
      start: this.#add(state),
      open: [
        (target) => {
          state.next = target
        },
      ],
    }
  }

  #test(char: string | undefined): Test {
    if (char === undefined || char === '*' || char === '+' || char === '?' || char === '{') throw refused(this.pattern)
    if (char === '.') return () => true
    if (char === '[') return this.#class()
    if (char === '\\') return this.#escape()
    return (other) => other === char
  }

  #escape(): Test {
    const char = this.#chars[this.#at++]
    if (char === undefined) throw refused(this.pattern)
    const classes: Readonly<Record<string, RegExp>> = { d: /\d/, D: /\D/, w: /\w/, W: /\W/, s: /\s/, S: /\S/ }
    const known = classes[char]
    return known === undefined ? (other) => other === char : (other) => known.test(other)
  }

  #class(): Test {
    const negated = this.#chars[this.#at] === '^'
    if (negated) this.#at++
    const tests: Test[] = []
    for (let char = this.#chars[this.#at++]; char !== ']' || tests.length === 0; char = this.#chars[this.#at++]) {
      if (char === undefined) throw refused(this.pattern)
      if (char === '\\') {
        tests.push(this.#escape())
        continue
      }
      const low = char
      const high = this.#chars[this.#at] === '-' && this.#chars[this.#at + 1] !== ']' ? this.#chars[this.#at + 1] : undefined
      if (high !== undefined) this.#at += 2
      tests.push((other) => other >= low && other <= (high ?? low))
    }
    return (other) => tests.some((test) => test(other)) !== negated
  }
}
