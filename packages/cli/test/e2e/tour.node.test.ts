/** `stronghold tour`, as a new user runs it: without a terminal, to its end. */
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'

import { expect, test } from 'vitest'

import { Place } from '../stronghold.ts'

test('the tour ends by itself with 0, and leaves nothing behind', { timeout: 240_000 }, () => {
  using place = new Place()
  const { exit, stdout, stderr } = place.run('unused', 'tour')
  expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' })
  expect(stdout).toMatch(/The key never left home; (ssh-keygen|node) verified what it signed/)
  expect(stdout).toContain('none missing, changed or moved')
  expect(readdirSync(tmpdir()).filter((name) => name.startsWith('stronghold-tour-'))).toEqual([])
})
