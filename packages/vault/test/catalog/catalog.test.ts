import { describe, expect, test } from 'vitest'

import {
  CATALOG,
  footprint,
  isWithin,
  procedureOf,
  RECORD_TYPES,
  SECRET_LENGTHS,
  USAGES,
} from '../../src/catalog/index.ts'
import type { Procedure } from '../../src/catalog/index.ts'

const bytes = (length: number): Uint8Array => new Uint8Array(length)

/** For each procedure an input that fits, and the footprint that it has. */
const EXAMPLES: Readonly<Record<string, readonly [object, readonly string[]]>> = {
  generate: [{ type: 'ed25519', to: 'a' }, ['to a']],
  import: [{ to: 'a', as: { format: 'raw', type: 'seed' }, secret: bytes(32) }, ['to a']],
  pub: [{ key: 'a@2' }, ['key a']],
  sign: [{ key: 'a', message: bytes(1) }, ['key a']],
  verify: [{ key: 'a', message: bytes(1), signature: bytes(64) }, ['key a']],
  mac: [{ key: 'a', message: bytes(1) }, ['key a']],
  'mac-verify': [{ key: 'a', message: bytes(1), tag: bytes(32) }, ['key a']],
  encrypt: [{ key: 'a', message: bytes(1) }, ['key a']],
  decrypt: [{ key: 'a', envelope: bytes(70) }, ['key a']],
  rewrap: [{ key: 'a', envelope: bytes(70) }, ['key a']],
  'data-key': [{ key: 'a', plain: false }, ['key a']],
  agree: [{ key: 'a', publicKey: bytes(32) }, ['key a', 'to -']],
  hkdf: [{ from: 'a', to: 'b' }, ['from a', 'to b']],
  pbkdf2: [{ from: 'a', salt: bytes(8), rounds: 1 }, ['from a', 'to -']],
  'concat-kdf': [{ from: 'a', to: 'b' }, ['from a', 'to b']],
  wrap: [{ key: 'a', source: 'b' }, ['key a', 'source b']],
  unwrap: [{ key: 'a', wrapped: bytes(24), type: 'seed', to: 'b' }, ['key a', 'to b']],
  'bip39-generate': [{ to: 'a' }, ['to a']],
  'bip39-recover': [{ to: 'a', words: bytes(90) }, ['to a']],
  'slip10-generate': [{}, ['to -']],
  'slip10-derive': [{ from: 'a', type: 'p256', keyPath: 'm/0', to: 'b' }, ['from a', 'to b']],
  copy: [{ from: 'a', to: 'b' }, ['from a', 'to b']],
  concat: [{ from: ['a', 'b', 'a'], to: 'c' }, ['from a', 'from b', 'from a', 'to c']],
  rotate: [{ key: 'a' }, ['key a']],
  retire: [{ record: 'a', below: 2 }, ['record a']],
  narrow: [{ record: 'a', labels: { sync: false } }, ['record a']],
  revoke: [{ record: 'a' }, ['record a']],
  gc: [{}, ['- -']],
  random: [{ length: 1 }, ['- -']],
}

const EMPTY = {}
const JUNK = [null, EMPTY, [], Number.NaN, '../x', { step: 0, output: 'record' }, 1n]

/** What others may never ask for. */
const OWNER_ONLY = [
  'import',
  'pbkdf2',
  'concat-kdf',
  'bip39-generate',
  'bip39-recover',
  'concat',
  'narrow',
  'gc',
]

const PROCEDURES: readonly Procedure[] = CATALOG

test('the catalog is the first set, by name and once each', () => {
  expect(PROCEDURES.map(({ name }) => name).sort()).toEqual(Object.keys(EXAMPLES).sort())
  for (const procedure of PROCEDURES) expect(procedureOf(procedure.name)).toBe(procedure)
  expect(procedureOf('constructor')).toBeUndefined()
})

test('what is for the owner only is marked so', () => {
  const own = PROCEDURES.filter(({ remote }) => !remote).map(({ name }) => name)
  expect(own).toEqual(expect.arrayContaining(OWNER_ONLY))
  expect(own).toHaveLength(OWNER_ONLY.length)
})

describe.each(PROCEDURES.map((procedure) => [procedure.name, procedure] as const))(
  '%s',
  (name, procedure) => {
    const [input, roles] = EXAMPLES[name] ?? expect.fail(`no example of ${name}`)

    test('takes its example and refuses unknown fields', () => {
      expect(procedure.input.safeParse(input).error).toBeUndefined()
      const result = procedure.input.safeParse({ ...input, nonce: bytes(12) })
      expect(result.error?.issues.map(({ code }) => code)).toEqual(['unrecognized_keys'])
    })

    test('refuses an input without any one of the fields that it needs', () => {
      for (const field of Object.keys(input)) {
        const schema = procedure.input.shape[field]
        if (schema?.safeParse(undefined).success === true) continue
        const rest = Object.fromEntries(Object.entries(input).filter(([key]) => key !== field))
        expect(procedure.input.safeParse(rest).success, field).toBe(false)
      }
    })

    test('refuses junk in any field', () => {
      for (const field of Object.keys(procedure.input.shape)) {
        for (const junk of JUNK) {
          // Labels that ask for nothing are the only empty object that means something.
          if (field === 'labels' && junk === EMPTY) continue
          const changed = { ...input, [field]: junk }
          expect(procedure.input.safeParse(changed).success, field).toBe(false)
        }
      }
    })

    test('touches what its example names', () => {
      const triples = footprint([{ procedure, input }])
      expect(triples.map(({ role, path }) => `${role} ${String(path)}`)).toEqual(roles)
      expect(new Set(triples.map((triple) => triple.procedure))).toEqual(new Set([name]))
    })

    test('says in a sentence what it does, and where it is specified', () => {
      expect(procedure.summary).toMatch(/^[A-Z][^.]+[^ ]\.$/)
      expect(procedure.source).not.toBe('')
      expect(Object.isFrozen(procedure)).toBe(true)
    })

    test('lets no more leave by a role than by itself', () => {
      for (const role of Object.values(procedure.roles)) {
        expect(isWithin(role.egress, procedure.egress)).toBe(true)
        if (role.access === 'use') expect(USAGES).toContain(role.usage)
      }
    })
  },
)

test('material leaves by wrapping, and as the words of a new seed, and by nothing else', () => {
  const material = PROCEDURES.filter(({ egress }) => egress === 'material')
  expect(material.map(({ name }) => name)).toEqual(['wrap', 'bip39-generate'])
  const derived = PROCEDURES.filter(({ egress }) => egress === 'derived')
  expect(derived.map(({ name }) => name)).toEqual(['decrypt', 'data-key'])
})

test('every type has a usual length between its least and its most', () => {
  for (const type of RECORD_TYPES) {
    const { least, usual, most } = SECRET_LENGTHS[type]
    expect(least <= usual && usual <= most, type).toBe(true)
  }
})

test('a chain is the union of its steps', () => {
  const by = (name: string): Procedure => procedureOf(name) ?? expect.fail(name)
  const steps = [
    { procedure: by('generate'), input: { type: 'x25519' } },
    { procedure: by('agree'), input: { key: { step: 0, output: 'record' }, publicKey: bytes(32) } },
    { procedure: by('hkdf'), input: { from: { step: 1, output: 'record' }, to: 'b' } },
  ]
  expect(
    footprint(steps).map(({ procedure, role, path }) => `${procedure}:${role} ${String(path)}`),
  ).toEqual(['generate:to -', 'agree:key -', 'agree:to -', 'hkdf:from -', 'hkdf:to b'])
})
