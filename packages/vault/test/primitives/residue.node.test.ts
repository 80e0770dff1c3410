/** After a primitive has run and the slab is wiped, no byte of a secret stands in the memory of the process. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

import { describe, expect, test } from 'vitest'

const SCAN = fileURLToPath(new URL('residue-scan.ts', import.meta.url))

function scan(...args: string[]): { ran: number; found: string[] } {
  // Room enough that nothing is collected before the search: what only a collection wipes is found.
  const node = ['--min-semi-space-size=16', '--conditions=@stronghold/source', SCAN, ...args]
  return JSON.parse(execFileSync(process.execPath, node, { encoding: 'utf8' })) as ReturnType<
    typeof scan
  >
}

describe.skipIf(process.platform !== 'linux')(
  'the memory of the process',
  { timeout: 60_000 },
  () => {
    test('holds nothing that went into a primitive or came out of one', () => {
      const { ran, found } = scan()
      expect(ran).toBeGreaterThan(25)
      expect(found).toEqual([])
    })

    test('is searched so that a copy left on purpose is found', () => {
      expect(scan('leave').found).toEqual(['in control'])
    })
  },
)
