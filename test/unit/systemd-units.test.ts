/** The units: guests are children of the service, in its control group; what is done to the service is not done to them. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'

const home = join(import.meta.dirname, '../../deploy/systemd')

describe.each(readdirSync(home))('%s', (name) => {
  const lines = readFileSync(join(home, name), 'utf8').split('\n')
  const of = (key: string): string[] => lines.filter((line) => line.startsWith(`${key}=`)).map((line) => line.slice(key.length + 1))

  it('stops the service and no guest', () => {
    expect(of('KillMode')).toEqual(['process'])
    expect(of('ExecStop')).toEqual([])
  })

  it('lets the kernel end one guest that takes too much memory without ending the service and all others', () => {
    expect(of('OOMPolicy')).toEqual(['continue'])
    expect(of('ManagedOOMPreference')).toEqual(['omit'])
  })

  it('sets no limit that guests would be counted against', () => {
    expect(of('TasksMax')).toEqual(['infinity'])
    expect(lines.filter((line) => /^(MemoryMax|MemoryHigh|MemorySwapMax|CPUQuota|AllowedCPUs|IO\w+Max)=/.test(line))).toEqual([])
  })
})
