import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compilePattern, isPlain } from '../../src/services/compute/name-pattern.js'

describe('the name filter of servers', () => {
  it('matches what a regular expression engine matches', () => {
    const patterns = [
      'a',
      '^a',
      'a$',
      '^a$',
      '^$',
      '',
      'a.c',
      'a*',
      '^a*b+c?$',
      '(ab|cd)+',
      '^(a|b|)c$',
      '[a-c]+$',
      '[^a-c]',
      '[]a]',
      'a\\.b',
      '\\d+',
      '^\\w\\W\\s$',
      'a|b|^c',
      '((a)b)*c',
      'x[-a]',
      '\\\\',
    ]
    const name = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'd', '.', ' ', '1', ']', '-', 'x', '\\'), maxLength: 8 })
    fc.assert(
      fc.property(fc.constantFrom(...patterns), name, (pattern, text) => {
        const engine = pattern === '[]a]' ? /[\]a]/ : new RegExp(pattern)
        expect(compilePattern(pattern)(text)).toBe(engine.test(text))
      }),
      { numRuns: 2000 },
    )
  })

  it('refuses patterns that are none', () => {
    for (const pattern of ['(', ')', 'a)', '[', '[a', '*', '+a', '?', '\\', 'a{2}', '(a', 'x'.repeat(256)])
      expect(() => compilePattern(pattern), pattern).toThrow()
  })

  it('answers for patterns that would hold a backtracking engine for ever', () => {
    expect(compilePattern('^(a+)+(a|a)*(a*)*$')(`${'a'.repeat(250)}!`)).toBe(false)
  })

  it('knows plain text from patterns', () => {
    expect(isPlain('web-1 ü')).toBe(true)
    for (const pattern of ['a.b', '^a', 'a|b', 'a\\b']) expect(isPlain(pattern)).toBe(false)
  })
})
