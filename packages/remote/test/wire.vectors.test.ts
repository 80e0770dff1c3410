/** Every worked example of `wire.md` §9 and §10 is a message of ours, and the one form of it. */
import { readFileSync } from 'node:fs'

import { decode, encode, fromHex, toHex, validate } from '@stronghold/core'
import type { Schema } from '@stronghold/core'
import { expect, test } from 'vitest'

import * as messages from '../src/messages.ts'

const document = readFileSync(new URL('../../../docs/wire.md', import.meta.url), 'utf8')
const examples = [...document.matchAll(/```cbor\n# (.*)\n([^`]+)```/g)].map((match) => ({
  title: match[1] ?? '',
  hex: (match[2] ?? '').replaceAll(/\s/g, ''),
}))
const SCHEMAS: Readonly<Record<string, Schema>> = {
  submit: messages.submitRequest,
  wait: messages.waitRequest,
  cancel: messages.cancelRequest,
  acknowledge: messages.acknowledgeRequest,
  list: messages.listRequest,
  answer: messages.answer,
  listing: messages.listing,
  pair: messages.pairRequest,
  paired: messages.pairAnswer,
}

test('each message has an example', () => {
  const shown = examples.map(({ title }) => title.replace(/:.*/, ''))
  expect(new Set(shown)).toEqual(new Set(Object.keys(SCHEMAS)))
})

test.each(examples)('$title', async ({ title, hex }) => {
  const value = decode(fromHex(hex))
  const schema = SCHEMAS[title.replace(/:.*/, '')]
  if (schema === undefined) throw new Error(`no schema for ${title}`)
  const checked = await validate(schema, value)
  expect(checked).toEqual({ ok: true, value })
  expect(toHex(encode(checked.ok ? checked.value : undefined))).toBe(hex)
})
