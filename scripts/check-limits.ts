/**
 * Every limit, every status code and every layer of p2p is named by a test. Looks for the word in the tests, so it finds
 * what nobody thought of; that the test is a good one is for review.
 */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { STATUS_CODES } from '@stronghold/core'

import { LAYERS } from '../packages/p2p/src/errors.ts'
import * as limits from '../packages/p2p/src/limits.ts'

const { DEFAULT_LIMITS } = limits
const CONSTANTS = Object.keys(limits).filter((name) => /^[A-Z_]+$/.test(name))

const ROOT = fileURLToPath(new URL('..', import.meta.url))

const files = [
  ...globSync('packages/{core,p2p}/test/**/*.ts', { cwd: ROOT }),
  ...globSync('interop/suites/*.ts', { cwd: ROOT }),
]
const texts = files.map((file) => readFileSync(join(ROOT, file), 'utf8'))

/** A limit is a word of its own; a code or a layer stands in quotes. */
const kinds: [string, readonly string[], (name: string) => RegExp][] = [
  ['limit', [...Object.keys(DEFAULT_LIMITS), ...CONSTANTS], (name) => new RegExp(`\\b${name}\\b`)],
  ['code', STATUS_CODES, (name) => new RegExp(`['"\`]${name}['"\`]`)],
  ['layer', LAYERS, (name) => new RegExp(`['"\`]${name}['"\`]`)],
]

let missing = 0
for (const [kind, names, pattern] of kinds) {
  const without = names.filter((name) => !texts.some((text) => pattern(name).test(text)))
  for (const name of without) console.log(`no test names the ${kind} ${name}`)
  missing += without.length
}

// The sentence about each limit is where its unit, default and effect are promised.
const source = readFileSync(join(ROOT, 'packages/p2p/src/limits.ts'), 'utf8')
for (const name of Object.keys(DEFAULT_LIMITS)) {
  const doc = new RegExp(`/\\*\\*([^\\n]*(?:\\n\\s+\\*[^\\n]*)*)\\*/\\s+${name}: number`).exec(
    source,
  )
  if (doc?.[1]?.includes('Default') === true) continue
  console.log(`the limit ${name} does not say its default`)
  missing += 1
}
process.exitCode = missing > 0 ? 1 : 0
