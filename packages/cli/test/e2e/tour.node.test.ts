/** `stronghold tour`, as a new user runs it: without a terminal, to its end. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'

import { expect, test } from 'vitest'

import { Place, SOURCE_ENV } from '../stronghold.ts'

const BINARY = fileURLToPath(new URL('../../bin/stronghold.js', import.meta.url))

test('the tour ends by itself with 0, and leaves nothing behind', { timeout: 240_000 }, () => {
  using place = new Place()
  const { exit, stdout, stderr } = place.run('unused', 'tour')
  expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
  expect(stdout).toMatch(/The key never left home; (ssh-keygen|node) verified what it signed/)
  expect(stdout).toContain('none missing, changed or moved')
  expect(readdirSync(tmpdir()).filter((name) => name.startsWith('stronghold-tour-'))).toEqual([])
})

test('ended by ^C it says so, and leaves nothing behind either', { timeout: 60_000 }, async () => {
  using place = new Place()
  const child = spawn(process.execPath, [BINARY, 'tour'], {
    cwd: place.folder,
    env: { ...SOURCE_ENV, TMPDIR: place.folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8')
  })
  child.stdout.on('data', (chunk: Buffer) => {
    if (chunk.toString('utf8').includes('stronghold init')) child.kill('SIGINT')
  })
  const [exit] = (await once(child, 'close')) as [number | null]
  expect({ exit, said: said.includes('cannot go on: you ended it') }).toEqual({
    exit: 6,
    said: true,
  })
  expect(readdirSync(place.folder).filter((name) => name.startsWith('stronghold-'))).toEqual([])
})
