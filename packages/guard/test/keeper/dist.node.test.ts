import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'

import { expect, it } from 'vitest'

const BUILT = fileURLToPath(new URL('../../dist/keeper/main.js', import.meta.url))
const PROGRAM = fileURLToPath(new URL('_from-dist.ts', import.meta.url))

// As built by `npm run build`; without it there is nothing to run.
it.skipIf(!existsSync(BUILT))(
  'a keeper starts from what is built, unlocked by a descriptor',
  async () => {
    const home = mkdtempSync(join(tmpdir(), 'stronghold-dist-'))
    try {
      // Its own options only: nothing that leads to sources.
      const child = spawn(process.execPath, [PROGRAM, home], {
        env: {},
        stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      })
      const descriptor = child.stdio[3] as Writable
      descriptor.end('correct horse\nwhat is not read')
      descriptor.on('error', () => {})
      let text = ''
      for (const stream of [child.stdout, child.stderr]) {
        stream?.on('data', (chunk: Buffer) => (text += chunk.toString()))
      }
      const status = await new Promise((resolve) => child.once('close', resolve))
      expect(text).toMatch(/^unlocked file:.*\/dist\/keeper\/main\.js\n$/)
      expect(status).toBe(0)
    } finally {
      rmSync(home, { recursive: true, force: true })
    }
  },
)
