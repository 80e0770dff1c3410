import { expect, test } from 'vitest'
import { z } from 'zod'

import { bytes, isBytesSchema, isSchema, validate } from '../src/index.ts'
import type { Schema } from '../src/index.ts'

const named = z.object({ name: z.string() })

test('validate() answers at once where the schema does', () => {
  expect(validate(named, { name: 'a' })).toEqual({ ok: true, value: { name: 'a' } })
})

test('validate() gives the output of the schema, not its input', () => {
  expect(validate(z.string().transform(Number), '42')).toEqual({ ok: true, value: 42 })
})

test('validate() waits where the schema does', async () => {
  const slow = z.string().refine((value) => Promise.resolve(value === 'a'), 'Not the word')
  const answer = validate(slow, 'a')
  expect(answer).toBeInstanceOf(Promise)
  expect(await answer).toEqual({ ok: true, value: 'a' })
  expect(await validate(slow, 'b')).toEqual({ ok: false, problem: 'Not the word' })
})

test('validate() says in one sentence what is wrong and where', () => {
  expect(validate(z.object({ a: z.array(named) }), { a: [{}] })).toEqual({
    ok: false,
    problem: '"a[0].name": Invalid input: expected string, received undefined',
  })
  expect(validate(z.object({ a: z.int(), b: z.int() }), {})).toEqual({
    ok: false,
    problem: '"a": Invalid input: expected number, received undefined (and 1 more)',
  })
  expect(validate(z.string(), 1)).toEqual({
    ok: false,
    problem: 'Invalid input: expected string, received number',
  })
})

test('validate() cuts long paths and messages and makes them one line', () => {
  const issues = [{ message: `\u001b[31m\n${'m'.repeat(300)}`, path: ['k'.repeat(300)] }]
  const answer = validate(failing(issues), 1)
  expect(answer).toMatchObject({ ok: false })
  const problem = 'problem' in answer ? answer.problem : ''
  expect(problem).toMatch(/^"k{63}…": {2}\[31m m+…$/)
  expect(problem.length).toBe(2 + 64 + 2 + 128)
})

test('validate() takes keys that are objects, numbers and symbols', () => {
  const path = [{ key: 'a' }, 0, Symbol('s')]
  expect(validate(failing([{ message: 'No', path }]), 1)).toEqual({
    ok: false,
    problem: '"a[0].Symbol(s)": No',
  })
})

test('validate() refuses also where a schema gives no reason', () => {
  expect(validate(failing([]), 1)).toEqual({ ok: false, problem: 'the value is not valid' })
})

test('what a schema throws passes through', () => {
  const thrower: Schema = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: () => {
        throw new Error('broken')
      },
    },
  }
  expect(() => validate(thrower, 1)).toThrow('broken')
})

test('bytes takes Uint8Arrays and nothing else', () => {
  const value = Uint8Array.of(1)
  expect(validate(bytes, value)).toEqual({ ok: true, value })
  expect(validate(bytes, Buffer.of(1))).toMatchObject({ ok: true })
  expect(validate(bytes, [1])).toEqual({ ok: false, problem: 'Expected a Uint8Array' })
})

test('isBytesSchema() knows bytes from every other schema', () => {
  expect(isBytesSchema(bytes)).toBe(true)
  expect(isBytesSchema(named)).toBe(false)
  expect(isBytesSchema({ ...bytes })).toBe(true) // that of another bundled copy
})

test('isSchema() knows Standard Schemas of version 1', () => {
  expect([named, bytes].every(isSchema)).toBe(true)
  for (const value of [null, undefined, 1, {}, { '~standard': 1 }, { '~standard': null }]) {
    expect(isSchema(value)).toBe(false)
  }
  expect(isSchema({ '~standard': { version: 2, validate: () => {} } })).toBe(false)
})

function failing(issues: { message: string; path?: (PropertyKey | { key: PropertyKey })[] }[]) {
  const validate = (): { issues: typeof issues } => ({ issues })
  return { '~standard': { version: 1, vendor: 'test', validate } } as const satisfies Schema
}
