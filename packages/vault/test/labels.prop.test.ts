/**
 * Random chains of the real procedures beside a second, naive model of what labels mean: whatever a chain does, no record
 * is wider than all that it came from, and of nothing leaves more than every record behind it lets leave.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import * as catalog from '../src/catalog/index.ts'
import { isVaultError } from '../src/errors.ts'
import type { OpenVault } from '../src/vault.ts'
import { newVault } from './open.ts'

const CHAINS = process.env['STRONGHOLD_LONG'] === '1' ? 100_000 : 2_000
const TYPES = [
  'ed25519',
  'x25519',
  'aes-256-gcm',
  'xchacha20-poly1305',
  'aes-256-kw',
  'hmac-sha2',
  'seed',
  'opaque',
] as const
/** A place for a record of each type, and two where anything may come to stand. */
const PATHS: readonly string[] = [...TYPES, 'any/a', 'any/b']
const LEVELS = ['none', 'public', 'derived', 'material']
const MESSAGE = Uint8Array.from([1, 2, 3])
const POINT = new Uint8Array(32).fill(9)

// --- The model: words instead of code, written apart from what it judges.

/** What each type can be used for; `any` for those whose usage set is about what is made of them, too. */
const USES: Record<string, string> = {
  ed25519: 'copy sign',
  x25519: 'any agree',
  'aes-256-gcm': 'copy decrypt encrypt',
  'xchacha20-poly1305': 'copy decrypt encrypt',
  'aes-256-kw': 'any wrap unwrap',
  'hmac-sha2': 'copy mac mac-verify',
  seed: 'any derive',
  opaque: 'any derive',
}
const EVERY = 'agree copy decrypt derive encrypt mac mac-verify sign unwrap wrap'.split(' ')

interface Bounds {
  usage: string[]
  egress: number
  sync: boolean
}

interface ModelRecord extends Bounds {
  type: string
  /** Bounds of everything that it came from, directly or not. */
  behind: Bounds[]
}

/** What a chain is about to do with a step, in the model's words. */
interface Rule {
  /** Role, usage, types that fit, what leaves. */
  uses: [role: string, usage: string, types: string, egress: string][]
  makes?: (input: Fields, model: Model) => string
}

const RULES: Record<string, Rule> = {
  generate: { uses: [], makes: (input) => String(input['type']) },
  import: { uses: [], makes: () => 'opaque' },
  copy: {
    uses: [['from', 'copy', '', 'none']],
    makes: (input, model) => model.typeOf(input['from']),
  },
  hkdf: {
    uses: [['from', 'derive', 'seed opaque', 'none']],
    makes: (input) => (input['type'] as string | undefined) ?? 'opaque',
  },
  'slip10-derive': { uses: [['from', 'derive', 'seed', 'none']], makes: () => 'ed25519' },
  agree: {
    uses: [['key', 'agree', 'x25519', 'none']],
    makes: (input) => (input['type'] as string | undefined) ?? 'opaque',
  },
  concat: { uses: [['from', 'copy', 'seed opaque', 'none']], makes: () => 'opaque' },
  unwrap: {
    uses: [['key', 'unwrap', 'aes-256-kw', 'none']],
    makes: (input) => String(input['type']),
  },
  sign: { uses: [['key', 'sign', 'ed25519', 'public']] },
  mac: { uses: [['key', 'mac', 'hmac-sha2', 'public']] },
  encrypt: { uses: [['key', 'encrypt', 'aes-256-gcm xchacha20-poly1305', 'public']] },
  decrypt: { uses: [['key', 'decrypt', 'aes-256-gcm xchacha20-poly1305', 'derived']] },
  'data-key': { uses: [['key', 'encrypt', 'aes-256-gcm xchacha20-poly1305', 'derived']] },
  wrap: {
    uses: [
      ['key', 'wrap', 'aes-256-kw', 'public'],
      ['source', 'copy', '', 'material'],
    ],
  },
  pub: { uses: [] },
  rotate: { uses: [] },
  narrow: { uses: [] },
  revoke: { uses: [] },
}

type Fields = Record<string, unknown>
type Ref = string | { step: number; output: string }

class Denied extends Error {}
class Other extends Error {}

/** Records by path, and by step within a chain. */
class Model {
  paths = new Map<string, ModelRecord>()
  #steps: (ModelRecord | undefined)[] = []
  #values: Bounds[][] = []

  copy(): Map<string, ModelRecord> {
    return new Map([...this.paths].map(([path, record]) => [path, { ...record }]))
  }

  list(): object[] {
    return [...this.paths]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, { type, usage, egress, sync }]) => ({
        path,
        type,
        usage: usage.toSorted(),
        egress: LEVELS[egress],
        sync,
      }))
  }

  typeOf(ref: unknown): string {
    return this.#find(ref).type
  }

  /** Carries out a chain, or throws and leaves everything as it was. */
  run(steps: readonly { procedure: { name: string }; input: Fields }[]): void {
    const before = this.copy()
    this.#steps = []
    this.#values = []
    try {
      steps.forEach(({ procedure, input }, index) => this.#step(procedure.name, input, index))
    } catch (error) {
      this.paths = before
      throw error
    }
  }

  #find(ref: unknown): ModelRecord {
    const found =
      typeof ref === 'string'
        ? this.paths.get(ref)
        : this.#steps[(ref as { step: number } | undefined)?.step ?? -1]
    if (found === undefined) throw new Other('no record')
    return found
  }

  #step(name: string, input: Fields, index: number): void {
    const rule = RULES[name]
    if (rule === undefined) throw new Error(`the model does not know ${name}`)
    const behind: Bounds[] = []
    for (const field of ['message', 'envelope', 'wrapped', 'secret']) {
      const value = input[field]
      if (catalog.isStepOutput(value)) behind.push(...(this.#values[value.step] ?? []))
    }
    for (const [role, usage, types, egress] of rule.uses) {
      const refs = Array.isArray(input[role]) ? (input[role] as unknown[]) : [input[role]]
      for (const ref of refs) {
        const record = this.#find(ref)
        if (types !== '' && !types.split(' ').includes(record.type)) throw new Other('type')
        if (!record.usage.includes(usage)) throw new Denied('usage')
        // The law itself: everything behind a record lets that much leave.
        for (const one of [record, ...record.behind]) {
          if (LEVELS.indexOf(egress) > one.egress) throw new Denied('egress')
        }
        behind.push(record, ...record.behind)
      }
    }
    if (name === 'revoke') {
      const path = String(input['record'])
      if (!this.paths.delete(path)) throw new Other('no record')
    }
    if (name === 'pub') {
      const { type, egress } = this.#find(input['key'])
      if (type !== 'ed25519' && type !== 'x25519') throw new Other('type')
      if (egress < 1) throw new Denied('egress')
    }
    if (name === 'rotate') this.#find(input['key'])
    if (name === 'narrow') this.#narrow(this.#find(input['record']), input['labels'] as Fields)
    if (rule.makes !== undefined) this.#make(rule.makes(input, this), input, behind, index)
    this.#values[index] = behind
  }

  #make(type: string, input: Fields, behind: readonly Bounds[], index: number): void {
    const to = input['to'] as string | undefined
    if (to !== undefined && this.paths.has(to)) throw new Other('conflict')
    const [kind, ...own] = (USES[type] ?? '').split(' ')
    const widest = kind === 'any' ? EVERY : [kind ?? '', ...own]
    const asked = (input['labels'] ?? {}) as { usage?: string[]; egress?: string; sync?: boolean }
    if (asked.usage?.some((usage) => !widest.includes(usage)) === true) throw new Denied('usage')
    const decrypts = widest.includes('decrypt')
    const record: ModelRecord = {
      type,
      usage: (asked.usage ?? widest).filter((one) =>
        behind.every(({ usage }) => usage.includes(one)),
      ),
      egress: Math.min(
        asked.egress === undefined ? (decrypts ? 2 : 1) : LEVELS.indexOf(asked.egress),
        ...behind.map(({ egress }) => egress),
      ),
      sync: asked.sync === true && behind.every(({ sync }) => sync),
      behind: behind.map((one) => ({ ...one })),
    }
    if (!own.some((one) => record.usage.includes(one))) throw new Denied('nothing is left')
    this.#steps[index] = record
    if (to !== undefined) this.paths.set(to, record)
  }

  #narrow(record: ModelRecord, asked: { usage?: string[]; egress?: string; sync?: boolean }): void {
    const usage = asked.usage ?? record.usage
    const egress = asked.egress === undefined ? record.egress : LEVELS.indexOf(asked.egress)
    const sync = asked.sync ?? record.sync
    const wider = usage.some((one) => !record.usage.includes(one))
    if (wider || egress > record.egress || (sync && !record.sync)) throw new Denied('wider')
    Object.assign(record, { usage: [...usage], egress, sync })
  }
}

// --- Random chains

const asked = fc.option(
  fc.record(
    {
      usage: fc.subarray(EVERY, { minLength: 1 }),
      egress: fc.constantFrom(...LEVELS),
      sync: fc.boolean(),
    },
    { requiredKeys: [] },
  ),
  { nil: undefined },
)

/** Mostly nothing is asked for: most of what is asked for at random is denied. */
const labels = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: asked },
)

interface Raw {
  name: string
  at: number
  other: number
  to: number
  type: number
  labels: object | undefined
  plain: boolean
}

const raw: fc.Arbitrary<Raw> = fc.record({
  name: fc.constantFrom(...Object.keys(RULES), 'generate', 'generate', 'copy', 'wrap', 'import'),
  at: fc.nat(99),
  other: fc.nat(99),
  to: fc.nat(99),
  type: fc.nat(TYPES.length - 1),
  labels,
  plain: fc.boolean(),
})

/** Procedures that lead somewhere in this order, if their records fit. */
const LINES = [
  'generate sign',
  'generate copy sign',
  'encrypt decrypt import',
  'encrypt decrypt',
  'copy wrap',
  'generate wrap unwrap hkdf',
  'wrap unwrap',
  'hkdf concat copy',
  'agree hkdf mac',
  'import hkdf sign',
  'slip10-derive sign',
  'slip10-derive copy wrap',
  'copy copy copy',
  'copy copy',
  'copy wrap unwrap copy',
  'hkdf copy',
  'data-key decrypt import',
].map((line) => line.split(' '))

const line: fc.Arbitrary<Raw[]> = fc
  .tuple(fc.constantFrom(...LINES), fc.array(raw, { minLength: 4, maxLength: 4 }))
  .map(([names, raws]) =>
    names.map((name, i) => {
      const one = raws[i]!
      // Even numbers point at earlier steps where there are any.
      return { ...one, name, at: one.at - (one.at % 2) }
    }),
  )

/** Steps whose references lead to paths and to earlier steps that could have made what is wanted. */
function stepsOf(raws: readonly Raw[]): { procedure: catalog.Procedure; input: Fields }[] {
  const made: [step: number, type: string][] = []
  const values: [step: number, output: string][] = []
  return raws.map((one, index) => {
    const ref = (n: number, types = ''): Ref => {
      const fits = (type: string): boolean => types === '' || types.split(' ').includes(type)
      const steps = made.filter(([, type]) => fits(type))
      const step = steps[n % Math.max(steps.length, 1)]
      if (step !== undefined && n % 2 === 0) return { step: step[0], output: 'record' }
      const paths = PATHS.filter((path) => n % 5 === 0 || path.startsWith('any') || fits(path))
      return paths[n % paths.length] ?? 'none'
    }
    const value = (output?: string): unknown => {
      const fitting = values.filter(([, name]) => output === undefined || name === output)
      const found = fitting[one.other % Math.max(fitting.length, 1)]
      return found === undefined ? MESSAGE : { step: found[0], output: found[1] }
    }
    const to = one.to % 3 === 0 ? { to: PATHS[one.to % PATHS.length] } : {}
    const target = { ...to, ...(one.labels === undefined ? {} : { labels: one.labels }) }
    const type = TYPES[one.type]
    const makes = RULES[one.name]?.makes !== undefined
    const input = inputOf(one, { ref, value, target, type })
    if (makes) made.push([index, one.name === 'slip10-derive' ? 'ed25519' : (type ?? '')])
    const output = OUTPUTS[one.name]
    if (output !== undefined) values.push([index, output])
    return { procedure: catalog.procedureOf(one.name)!, input }
  })
}

const CIPHERS = 'aes-256-gcm xchacha20-poly1305'

const OUTPUTS: Record<string, string> = {
  sign: 'signature',
  mac: 'mac',
  encrypt: 'envelope',
  decrypt: 'message',
  'data-key': 'envelope',
  wrap: 'wrapped',
}

function inputOf(
  one: Raw,
  {
    ref,
    value,
    target,
    type,
  }: {
    ref: (n: number, types?: string) => Ref
    value: (output?: string) => unknown
    target: Fields
    type: (typeof TYPES)[number] | undefined
  },
): Fields {
  const typed = type === 'opaque' ? {} : { type }
  switch (one.name) {
    case 'generate':
      return { type, ...target }
    case 'import':
      return {
        as: { format: 'raw', type: 'opaque' },
        secret: one.plain ? MESSAGE : value(),
        ...target,
        to: target['to'] ?? PATHS[one.other % PATHS.length],
      }
    case 'copy':
      return { from: ref(one.at), ...target }
    case 'hkdf':
      return { from: ref(one.at, 'seed opaque'), ...typed, ...target }
    case 'slip10-derive':
      return { from: ref(one.at, 'seed'), type: 'ed25519', keyPath: "m/0'", ...target }
    case 'agree':
      return { key: ref(one.at, 'x25519'), publicKey: POINT, ...typed, ...target }
    case 'concat':
      return { from: [ref(one.at, 'seed opaque'), ref(one.other, 'seed opaque')], ...target }
    case 'unwrap':
      return {
        key: ref(one.at, 'aes-256-kw'),
        wrapped: value('wrapped'),
        type: 'opaque',
        ...target,
      }
    case 'sign':
      return { key: ref(one.at, 'ed25519'), message: value(), as: { format: 'raw' } }
    case 'mac':
      return { key: ref(one.at, 'hmac-sha2'), message: value() }
    case 'encrypt':
      return { key: ref(one.at, CIPHERS), message: value() }
    case 'decrypt':
      return { key: ref(one.at, CIPHERS), envelope: value('envelope') }
    case 'data-key':
      return { key: ref(one.at, CIPHERS), plain: one.plain }
    case 'wrap':
      return { key: ref(one.at, 'aes-256-kw'), source: ref(one.other) }
    case 'narrow':
      return { record: PATHS[one.at % PATHS.length], labels: one.labels ?? {} }
    case 'revoke':
      return { record: PATHS[one.at % PATHS.length] }
    default:
      return { key: one.name === 'rotate' ? PATHS[one.at % PATHS.length] : ref(one.at) }
  }
}

describe('labels', () => {
  const tally = { done: 0, denied: 0, other: 0, chained: 0 }
  let vault: OpenVault

  beforeAll(async () => {
    vault = await newVault()
  })
  afterAll(() => vault.close())

  test('hold over random chains, as a naive model says', { timeout: 600_000 }, () => {
    const chain = fc.oneof(fc.array(raw, { minLength: 1, maxLength: 5 }), line)
    const history = fc.array(chain, {
      minLength: 30,
      maxLength: 30,
    })
    fc.assert(
      fc.property(history, fc.array(asked, FULL), (chains, first) => {
        empty(vault)
        const model = new Model()
        for (const steps of [...first.map(generated), ...chains.map(stepsOf)]) {
          const before = model.copy()
          const expected = attempt(() => {
            model.run(steps)
          })
          const actual = attempt(() => vault.transaction((tx) => tx.run(vault.read(steps))))
          // Nothing is done that the model denies, and nothing denied that it allows.
          if (actual === 'done') expect(expected).toBe('done')
          if (actual === 'denied') expect(expected).not.toBe('done')
          // What labels allow may still fail for what was asked: an envelope that is none.
          if (actual !== 'done') model.paths = before
          expect(recordsOf(vault)).toEqual(model.list())
          tally[actual]++
          const chained = steps.some(({ input }) => Object.values(input).some(catalog.isStepOutput))
          if (actual === 'done' && chained) tally.chained++
        }
      }),
      { numRuns: Math.ceil(CHAINS / 30) },
    )
  })

  test('were seen to allow and to deny', () => {
    expect(tally.done).toBeGreaterThan(CHAINS / 20)
    expect(tally.chained).toBeGreaterThan(CHAINS / 100)
    expect(tally.denied).toBeGreaterThan(CHAINS / 50)
  })
})

const FULL = { minLength: TYPES.length, maxLength: TYPES.length }

/** A record of each type to begin with; where the labels asked for make none, without them. */
function generated(
  asked: { usage?: string[] } | undefined,
  at: number,
): { procedure: catalog.Procedure; input: Fields }[] {
  const type = TYPES[at] ?? 'opaque'
  const usage = asked?.usage?.filter((one) => catalog.widestUsage(type).has(one as catalog.Usage))
  const serves = usage?.some(
    (one) => one !== 'copy' && catalog.ownUses(type).has(one as catalog.Usage),
  )
  const given =
    asked === undefined || serves !== true ? { ...asked, usage: undefined } : { ...asked, usage }
  return [{ procedure: catalog.generate, input: { type, to: type, labels: given } }]
}

function attempt(body: () => unknown): 'done' | 'denied' | 'other' {
  try {
    body()
    return 'done'
  } catch (error) {
    if (error instanceof Denied || isVaultError(error, { reason: 'usage' })) return 'denied'
    if (error instanceof Other || (isVaultError(error) && error.code !== 'internal')) return 'other'
    throw error
  }
}

function empty(vault: OpenVault): void {
  vault.transaction((tx) => {
    for (const { path } of tx.list()) {
      tx.run(vault.read([{ procedure: catalog.revoke, input: { record: path } }]))
    }
  })
}

function recordsOf(vault: OpenVault): object[] {
  return vault
    .transaction((tx) => tx.list())
    .map(({ path, type, labels: { usage, egress, sync } }) => ({ path, type, usage, egress, sync }))
}
