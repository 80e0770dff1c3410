/** The engine against procedures that misbehave: what is promised does not depend on who carries it out. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'

import { defineProcedure, sign } from '../src/catalog/index.ts'
import type { Labels, Usage } from '../src/catalog/index.ts'
import { bytes, place, record, reference, secretBytes } from '../src/catalog/fields.ts'
import type { AskedStep } from '../src/engine.ts'
import { MAX_SIGNATURE_BYTES } from '../src/catalog/signatures.ts'
import { isVaultError } from '../src/errors.ts'
import { DEFAULT_LIMITS, INPUT_OVERHEAD_BYTES, MAX_NONCES, NONCE_BLOCK } from '../src/limits.ts'
import type { VaultLimits } from '../src/limits.ts'
import { Registry } from '../src/procedures/registry.ts'
import type {
  ChangeHandle,
  CreateHandle,
  NewRecord,
  ReadHandle,
  RemoveHandle,
  Scope,
  UseHandle,
} from '../src/procedures/registry.ts'
import { COUNTER_KIND } from '../src/records.ts'
import type { Rows } from '../src/rows.ts'
import type { Slab } from '../src/secret.ts'
import { Session } from '../src/session.ts'
import { sodium } from '../src/sodium.ts'
import { MemoryStore } from '../src/stores/memory.ts'
import { createRows, testSlab } from './vault-of.ts'

const labels = {
  usage: new Set(['copy', 'decrypt', 'encrypt'] as const),
  egress: 'public',
  sync: false,
} as const
const wide = { ...labels, egress: 'material', sync: true } as const

/** What the test of the moment does inside each procedure. */
interface Hooks {
  make?: (to: CreateHandle, scope: Scope) => unknown
  use?: (key: UseHandle, scope: Scope, secret?: Uint8Array) => unknown
  derive?: (from: UseHandle, to: CreateHandle, scope: Scope) => unknown
  change?: (key: ChangeHandle) => unknown
  remove?: (key: RemoveHandle) => unknown
  read?: (key: ReadHandle) => unknown
  sign?: () => unknown
}

const output = { record: record.optional(), bytes: bytes(1 << 20).optional() }

const make = defineProcedure({
  name: 'make',
  summary: '',
  source: '',
  remote: true,
  input: { to: place.optional(), secret: secretBytes(1 << 20).optional() },
  output,
  roles: { to: { access: 'create', egress: 'public' } },
  egress: 'public',
})
const use = defineProcedure({
  name: 'use',
  summary: '',
  source: '',
  remote: true,
  input: {
    key: reference,
    secret: secretBytes(1 << 20, 2).optional(),
    text: z.string().optional(),
  },
  output,
  roles: {
    key: { access: 'use', types: ['aes-256-gcm', 'opaque'], usage: 'copy', egress: 'public' },
  },
  egress: 'public',
})
const expose = defineProcedure({
  name: 'expose',
  summary: '',
  source: '',
  remote: false,
  input: { key: reference },
  output,
  roles: { key: { access: 'use', usage: 'copy', egress: 'material' } },
  egress: 'material',
})
const derive = defineProcedure({
  name: 'derive',
  summary: '',
  source: '',
  remote: true,
  input: { from: reference, to: place.optional() },
  output,
  roles: {
    from: { access: 'use', usage: 'copy', egress: 'none' },
    to: { access: 'create', egress: 'public' },
  },
  egress: 'public',
})
const change = defineProcedure({
  name: 'change',
  summary: '',
  source: '',
  remote: true,
  input: { key: reference },
  output,
  roles: { key: { access: 'change', egress: 'public' } },
  egress: 'public',
})
const remove = defineProcedure({
  name: 'remove',
  summary: '',
  source: '',
  remote: true,
  input: { key: reference },
  output,
  roles: { key: { access: 'remove', egress: 'none' } },
  egress: 'none',
})
const read = defineProcedure({
  name: 'read',
  summary: '',
  source: '',
  remote: true,
  input: { key: reference },
  output,
  roles: { key: { access: 'read', egress: 'public' } },
  egress: 'public',
})

const KEY = new Uint8Array(32).fill(0x5a)
const aes = (init: Partial<NewRecord> = {}): NewRecord => ({
  type: 'aes-256-gcm',
  secret: KEY,
  labels,
  origin: 'generated',
  ...init,
})

let slab: Slab
let rows: Rows
let session: Session
let store: MemoryStore
let hooks: Hooks

function open(limits: Partial<VaultLimits> = {}): void {
  const result = (value: unknown): object => value ?? {}
  const registry = new Registry()
    .add(make, (_, { to }, scope) =>
      result((hooks.make ?? ((one) => ({ record: one.create(aes()) })))(to, scope)),
    )
    .add(use, ({ secret }, { key }, scope) => result(hooks.use?.(key, scope, secret)))
    .add(expose, (_, { key }, scope) => result(hooks.use?.(key, scope)))
    .add(derive, (_, { from, to }, scope) => result(hooks.derive?.(from, to, scope)))
    .add(change, (_, { key }) => result(hooks.change?.(key)))
    .add(remove, (_, { key }) => result(hooks.remove?.(key)))
    .add(read, (_, { key }) => result(hooks.read?.(key)))
    .add(sign, () => result(hooks.sign?.()) as never)
  session = new Session({
    slab,
    rows,
    registry,
    limits: { ...DEFAULT_LIMITS, ...limits },
    random: (out) => {
      sodium.randombytes_buf(out)
    },
  })
}

beforeEach(() => {
  slab = testSlab()
  store = new MemoryStore()
  rows = createRows(store, slab)
  hooks = {}
  open()
})
afterEach(() => {
  session[Symbol.dispose]()
})

function run(...steps: AskedStep[]): Record<string, unknown>[] {
  return session.transaction((tx) => tx.run(session.engine.read(steps)))
}

function failure(body: () => unknown): {
  code: string
  reason: string | undefined
  message: string
} {
  try {
    body()
  } catch (error) {
    if (!isVaultError(error)) throw error
    return { code: error.code, reason: error.reason, message: error.message }
  }
  throw new Error('it did not fail')
}

const at = (to: string): AskedStep => ({ procedure: make, input: { to } })
const denied = { code: 'permission_denied', reason: 'usage' }
const storedKinds = (): number[] => [...store.rows()].map(({ kind }) => kind)

test('what a signature is at a glance its schema takes, and nothing else leaves', () => {
  const signed = { usage: new Set(['sign'] as const), egress: 'public', sync: false } as const
  hooks.make = (to) => ({
    record: to.create({ ...aes({ publicKey: KEY, labels: signed }), type: 'ed25519' }),
  })
  run(at('key'))
  const signature = new Uint8Array(64)
  const right = { signature, version: 1 }
  const all: unknown[] = [
    right,
    { ...right, signature: new Uint8Array(1) },
    { ...right, signature: new Uint8Array() },
    { ...right, signature: new Uint8Array(MAX_SIGNATURE_BYTES) },
    { ...right, signature: new Uint8Array(MAX_SIGNATURE_BYTES + 1) },
    { ...right, signature: [...signature] },
    ...[0, -1, 1.5, 2 ** 53, '1', undefined].map((version) => ({ signature, version })),
    { ...right, secret: KEY },
    { version: 1, secret: KEY },
    { signature },
    {},
  ]
  for (const output of all) {
    hooks.sign = () => output
    const input = { key: 'key', message: new Uint8Array(1), as: { format: 'raw' } }
    const { success } = sign.output.safeParse(output)
    if (success) expect(run({ procedure: sign, input })).toEqual([output])
    else expect(failure(() => run({ procedure: sign, input }))).toMatchObject({ code: 'internal' })
  }
})

describe('what an implementation gets', () => {
  test('is a handle of its role and nothing more', () => {
    run(at('a'))
    const seen: string[][] = []
    const keys = (handle: object): object => {
      seen.push(Object.keys(handle).sort())
      return {}
    }
    hooks = { use: keys, read: keys, change: keys, remove: keys, derive: (_, to) => keys(to) }
    for (const procedure of [read, use, change, remove]) run({ procedure, input: { key: 'a' } })
    run({ procedure: derive, input: { from: 'a' } })
    const public_ = ['id', 'labels', 'publicKey', 'type', 'version']
    // Deleting needs the right to delete: only the role `remove` has it.
    expect(seen).toEqual([
      public_,
      [...public_, 'countNonce', 'expanded', 'secret'].sort(),
      [...public_, 'add', 'narrow', 'retire'].sort(),
      [...public_, 'remove'].sort(),
      ['create', 'labelsFor'],
    ])
  })

  test('is wiped when its step ends, and cannot be used any more', () => {
    run(at('a'))
    const views: Uint8Array[] = []
    let handle: UseHandle | undefined
    hooks.use = (key, scope) => {
      handle = key
      views.push(key.secret(), key.secret(1), scope.scratch(100).fill(1))
      expect(views[0]).toEqual(KEY)
      expect(views.every((view) => slab.holds(view))).toBe(true)
    }
    const before = slab.used
    run({ procedure: use, input: { key: 'a' } })
    for (const view of views) expect(view.every((byte) => byte === 0)).toBe(true)
    expect(slab.used).toBe(before)
    expect(() => handle?.secret()).toThrow(TypeError)
    expect(() => handle?.countNonce()).toThrow(TypeError)
    hooks.use = (key) => {
      views.push(key.secret())
      throw new Error('a fault')
    }
    expect(failure(() => run({ procedure: use, input: { key: 'a' } })).code).toBe('internal')
    expect(views.at(-1)?.every((byte) => byte === 0)).toBe(true)
    expect(slab.used).toBe(before)
  })

  test('opens only versions that stand and are not below the minimum', () => {
    run(at('a'))
    hooks.change = (key) => ({ record: key.add(KEY, undefined) })
    run({ procedure: change, input: { key: 'a' } })
    run({ procedure: change, input: { key: 'a' } })
    hooks.change = (key) => ({ record: key.retire(2, false) })
    run({ procedure: change, input: { key: 'a' } })
    hooks.use = (key) => ({ bytes: Uint8Array.of(key.version, key.secret(2).length) })
    const use2 = { procedure: use, input: { key: 'a@2' } }
    expect(run(use2)).toEqual([{ bytes: Uint8Array.of(2, 32) }])
    expect(failure(() => run({ procedure: use, input: { key: 'a@1' } }))).toMatchObject(denied)
    expect(failure(() => run({ procedure: use, input: { key: 'a@9' } })).code).toBe('not_found')
    hooks.use = (key) => key.secret(1)
    expect(failure(() => run({ procedure: use, input: { key: 'a' } }))).toMatchObject(denied)
    hooks.change = (key) => ({ record: key.retire(3, true) })
    run({ procedure: change, input: { key: 'a' } })
    expect(failure(() => run(use2)).code).toBe('not_found')
    // A minimum never falls, and the newest version always stays.
    hooks.change = (key) => ({ record: key.retire(1, false) })
    run({ procedure: change, input: { key: 'a' } })
    expect(session.transaction((tx) => tx.find('a'))).toMatchObject({ minimum: 3, versions: [3] })
    hooks.change = (key) => ({ record: key.retire(4, true) })
    expect(failure(() => run({ procedure: change, input: { key: 'a' } })).code).toBe(
      'invalid_argument',
    )
  })

  test('is the whole record where it changes or removes one, never one version', () => {
    run(at('a'))
    hooks.remove = (key) => {
      key.remove()
    }
    for (const procedure of [change, remove]) {
      const named = { procedure, input: { key: 'a@1' } }
      expect(failure(() => run(named)).code).toBe('invalid_argument')
    }
    run({ procedure: remove, input: { key: 'a' } })
    expect(session.transaction((tx) => tx.find('a'))).toBeUndefined()
    // A tombstone stays, the secret and what was written about it do not.
    expect(storedKinds()).toEqual([3])
    run(at('a'))
  })
})

describe('labels', () => {
  test('a role finds its type, its usage and its egress, or is denied', () => {
    run(at('a'))
    hooks.make = (to) => ({
      record: to.create(aes({ labels: { ...labels, usage: new Set(['encrypt']) } })),
    })
    run(at('b'))
    hooks.make = (to) => ({
      record: to.create(
        aes({ type: 'seed', labels: { ...labels, usage: new Set(['derive', 'copy']) } }),
      ),
    })
    run(at('c'))
    expect(failure(() => run({ procedure: use, input: { key: 'b' } }))).toMatchObject(denied)
    expect(failure(() => run({ procedure: use, input: { key: 'c' } })).code).toBe(
      'invalid_argument',
    )
    expect(failure(() => run({ procedure: expose, input: { key: 'a' } }))).toMatchObject(denied)
    expect(failure(() => run({ procedure: use, input: { key: 'none' } })).code).toBe('not_found')
  })

  test('copying never widens them, whatever an implementation says', () => {
    run(at('a'))
    const copy = { procedure: derive, input: { from: 'a', to: 'b' } }
    for (const wider of [
      { ...labels, egress: 'derived' },
      { ...labels, sync: true },
      { ...labels, usage: new Set<Usage>(['copy', 'sign']) },
      wide,
    ] as Labels[]) {
      hooks.derive = (from, to) => ({
        record: to.create(aes({ secret: from.secret(), labels: wider })),
      })
      expect(failure(() => run(copy))).toMatchObject(denied)
    }
    hooks.derive = (from, to) => ({
      record: to.create(
        aes({
          secret: from.secret(),
          labels: to.labelsFor('aes-256-gcm', { egress: 'material', sync: true }),
        }),
      ),
    })
    run(copy)
    expect(session.transaction((tx) => tx.find('b'))?.labels).toEqual({
      usage: ['copy', 'decrypt', 'encrypt'],
      egress: 'public',
      sync: false,
    })
  })

  test('are only ever narrowed, so what may not sync never does', () => {
    run(at('a'))
    for (const wider of [
      { sync: true },
      { egress: 'derived' },
      { usage: ['copy', 'sign'] },
    ] as const) {
      hooks.change = (key) => ({
        record: key.narrow(wider),
      })
      expect(failure(() => run({ procedure: change, input: { key: 'a' } }))).toMatchObject(denied)
    }
    hooks.change = (key) => ({ record: key.narrow({ usage: ['encrypt'], egress: 'none' }) })
    run({ procedure: change, input: { key: 'a' } })
    expect(session.transaction((tx) => tx.find('a'))?.labels).toEqual({
      usage: ['encrypt'],
      egress: 'none',
      sync: false,
    })
  })

  test('a record of the chain binds what is made from it, and so does what it came from', () => {
    run(at('a'))
    const derived = (wanted: Labels) => (from: UseHandle, to: CreateHandle) => ({
      record: to.create(aes({ secret: from.secret(), labels: wanted })),
    })
    hooks.make = (to) => ({ record: to.create(aes()) })
    hooks.derive = derived({ ...labels, egress: 'derived' })
    const last = { procedure: derive, input: { from: { step: 0, output: 'record' }, to: 'b' } }
    expect(failure(() => run({ procedure: make, input: {} }, last))).toMatchObject(denied)
    hooks.derive = derived(labels)
    run({ procedure: derive, input: { from: 'a' } }, last)
    const [a, b] = session.transaction((tx) => tx.list())
    expect(b?.from).toEqual([a?.id])
  })

  test('a value that is chained carries the labels of the step that made it', () => {
    run(at('a'))
    hooks.use = () => ({ bytes: KEY })
    hooks.make = (to) => ({
      record: to.create(aes({ type: 'opaque', labels: { ...labels, usage: new Set(['derive']) } })),
    })
    const chain = [
      { procedure: use, input: { key: 'a' } },
      { procedure: make, input: { to: 'b', secret: { step: 0, output: 'bytes' } } },
    ]
    expect(failure(() => run(...chain))).toMatchObject(denied)
    run({ procedure: make, input: { to: 'b', secret: KEY } })
  })

  test('of a record of which nothing leaves not even the public key is shown', () => {
    hooks.make = (to) => ({
      record: to.create(aes({ publicKey: KEY, labels: { ...labels, egress: 'none' } })),
    })
    const [made] = run(at('a'))
    expect(made).toMatchObject({ record: { path: 'a' } })
    expect(made?.['record']).not.toHaveProperty('publicKey')
    expect(session.transaction((tx) => tx.find('a'))).not.toHaveProperty('publicKey')
    expect(failure(() => run({ procedure: read, input: { key: 'a' } }))).toMatchObject(denied)
  })
})

describe('a chain', () => {
  test('keeps its own records in the slab, off the disk, and wipes them', () => {
    const before = slab.used
    let secret: Uint8Array | undefined
    hooks.use = (key) => {
      secret = key.secret()
      expect(secret).toEqual(KEY)
      expect(storedKinds()).toEqual([])
      return { bytes: Uint8Array.of(1) }
    }
    const [made, used] = run(
      { procedure: make, input: {} },
      { procedure: use, input: { key: { step: 0, output: 'record' } } },
    )
    expect([made, used]).toEqual([{}, { bytes: Uint8Array.of(1) }])
    expect(slab.used).toBe(before)
    expect(secret?.every((byte) => byte === 0)).toBe(true)
    expect(storedKinds()).toEqual([])
    for (const procedure of [change, remove]) {
      const step = { procedure, input: { key: { step: 0, output: 'record' } } }
      expect(failure(() => run({ procedure: make, input: {} }, step)).code).toBe('invalid_argument')
    }
  })

  test('hands values on in the slab, wipes where they came from, and gives out copies', () => {
    run(at('a'))
    const made = new Uint8Array(32).fill(3)
    let taken: Uint8Array | undefined
    hooks.use = (_, scope, secret) => {
      if (secret === undefined) return { bytes: made }
      taken = secret
      expect(slab.holds(secret) && secret.every((byte) => byte === 3)).toBe(true)
      const scratch = scope.scratch(32)
      scratch.set(secret)
      return { bytes: scratch }
    }
    const [first, second] = run(
      { procedure: use, input: { key: 'a' } },
      { procedure: use, input: { key: 'a', secret: { step: 0, output: 'bytes' } } },
    )
    expect(first).toEqual({})
    const left = second?.['bytes'] as Uint8Array
    expect(left).toEqual(new Uint8Array(32).fill(3))
    expect(slab.holds(left)).toBe(false)
    expect(made.every((byte) => byte === 0)).toBe(true)
    expect(taken?.every((byte) => byte === 0)).toBe(true)
  })

  test('that fails leaves nothing, in rows and in memory', () => {
    hooks.use = () => {
      throw new RangeError('Cannot read key: too long')
    }
    const before = slab.used
    const chain = [
      at('a'),
      at('b'),
      { procedure: use, input: { key: { step: 0, output: 'record' } } },
    ]
    expect(failure(() => run(...chain))).toEqual({
      code: 'invalid_argument',
      reason: undefined,
      message: 'Cannot read key: too long',
    })
    expect(session.size).toBe(0)
    expect(storedKinds()).toEqual([])
    expect(slab.used).toBe(before)
    // The next run of the same transaction sees nothing of it either.
    session.transaction((tx) => {
      expect(() => tx.run(session.engine.read(chain))).toThrow()
      expect(tx.find('a')).toBeUndefined()
      tx.run(session.engine.read([at('a')]))
    })
    expect(session.size).toBe(1)
  })

  test('is read once: what changes afterwards changes nothing', () => {
    run(at('a'), at('b'))
    const input = { key: 'a' }
    const chain = session.engine.read([{ procedure: use, input }])
    input.key = 'b'
    expect(chain.footprint).toMatchObject([{ procedure: 'use', role: 'key', path: { text: 'a' } }])
    let id: Uint8Array | undefined
    hooks.use = (key) => {
      ;({ id } = key)
    }
    session.transaction((tx) => tx.run(chain))
    expect(id).toEqual(session.transaction((tx) => tx.find('a'))?.id)
    let asked = 0
    const sly = {
      get key() {
        return asked++ === 0 ? 'a' : 'b'
      },
    }
    expect(
      session.engine.read([{ procedure: use, input: sly }]).footprint[0]?.path.toString(),
    ).toBe('a')
    expect(asked).toBe(1)
    expect(() => session.transaction((tx) => tx.run({ ...chain }))).toThrow(TypeError)
  })

  test('says what it touches, and whether it may be asked for from afar', () => {
    const chain = session.engine.read([
      { procedure: make, input: {} },
      { procedure: derive, input: { from: { step: 0, output: 'record' }, to: 'x/y' } },
      { procedure: 'expose', input: { key: 'x/y@3' } },
    ])
    expect(
      chain.footprint.map(({ procedure, role, path }) => `${procedure}:${role} ${String(path)}`),
    ).toEqual(['make:to -', 'derive:from -', 'derive:to x/y', 'expose:key x/y'])
    expect(chain.remote).toBe(false)
    expect(session.engine.read([at('a')]).remote).toBe(true)
  })

  test('maxChainSteps: as many steps, not one more', () => {
    const steps = Array.from({ length: 17 }, (_, i) => at(`a/n${i}`))
    expect(failure(() => run(...steps))).toMatchObject({ code: 'invalid_argument' })
    expect(run(...steps.slice(1))).toHaveLength(16)
    expect(failure(() => run()).code).toBe('invalid_argument')
  })
})

describe('an input', () => {
  const said = (step: AskedStep): string => failure(() => run(step)).message

  test('is refused in one sentence that names the field and tells no secret', () => {
    expect(said({ procedure: 'nothing', input: {} })).toBe(
      'Cannot run "nothing": no procedure is called so',
    )
    expect(said({ procedure: use, input: 1 })).toBe('Cannot run use: its input is not an object')
    expect(said({ procedure: use, input: {} })).toMatch(/^Cannot use: field "key": /)
    expect(said({ procedure: use, input: { key: 'a', other: 1 } })).toBe(
      'Cannot use: field "other": no field is called so',
    )
    expect(said({ procedure: use, input: { key: 'A!' } })).toMatch(/^Cannot read path: "A!" is /)
    expect(said({ procedure: use, input: { key: 'a', secret: KEY.subarray(0, 1) } })).toBe(
      'Cannot use: field "secret": not as it has to be',
    )
    expect(said({ procedure: use, input: JSON.parse('{"key":"a","__proto__":{}}') })).toMatch(
      /"__proto__"/,
    )
    const other = { ...use, version: 2 }
    expect(said({ procedure: other, input: { key: 'a' } })).toBe(
      'Cannot run use: version 2 where 1 is known',
    )
    const two = [at('a'), { procedure: use, input: { key: 'a', text: 5 } }]
    expect(failure(() => run(...two)).message).toMatch(/^Cannot use: step 1, field "text": /)
  })

  test('names only what an earlier step gives', () => {
    for (const input of [
      { key: { step: 1, output: 'record' } },
      { key: { step: -1, output: 'record' } },
      { key: { step: 0, output: 'bytes' } },
      { key: 'a', secret: { step: 1, output: 'bytes' } },
      { key: 'a', secret: { step: 0, output: 'other' } },
      { key: 'a', secret: { step: 0, output: 'toString' } },
      { key: 'a', unknown: { step: 0, output: 'bytes' } },
    ]) {
      expect(failure(() => run(at('a'), { procedure: use, input })).code).toBe('invalid_argument')
    }
    const twice = [
      { procedure: make, input: {} },
      { procedure: make, input: { to: { step: 0, output: 'record' } } },
    ]
    expect(failure(() => run(...twice)).code).toBe('invalid_argument')
    // What is not there, or not what the field takes, is found when it is to be used.
    run(at('a'))
    const absent = { procedure: use, input: { key: 'a', secret: { step: 0, output: 'bytes' } } }
    expect(failure(() => run(at('b'), absent)).message).toBe(
      'Cannot use: step 1, field "secret": step 0 gave no bytes',
    )
    const wrong = { procedure: use, input: { key: 'a', text: { step: 0, output: 'record' } } }
    expect(failure(() => run(at('b'), wrong)).message).toMatch(
      /^Cannot use: step 1, field "text": /,
    )
  })

  test('maxInputBytes: with what may be beside it, not one byte more', () => {
    open({ maxInputBytes: 100 })
    run(at('a'))
    const most = 100 + INPUT_OVERHEAD_BYTES
    const input = { key: 'a', text: 'x'.repeat(most - 1) }
    run({ procedure: use, input })
    expect(
      failure(() => run({ procedure: use, input: { ...input, text: `${input.text}x` } })),
    ).toMatchObject({ code: 'invalid_argument' })
    let deep: unknown = 1
    for (let i = 0; i < 20; i++) deep = [deep]
    expect(failure(() => run({ procedure: use, input: { key: 'a', text: deep } })).code).toBe(
      'invalid_argument',
    )
  })
})

describe('an implementation that misbehaves', () => {
  test('fails alone and tells nothing', () => {
    run(at('a'))
    const step = { procedure: use, input: { key: 'a' } }
    hooks.use = () => {
      throw new TypeError('details of the inside')
    }
    expect(failure(() => run(step))).toMatchObject({
      code: 'internal',
      message: 'Cannot use: the procedure failed',
    })
    hooks.use = () => ({ bytes: 'text', more: 1 })
    expect(failure(() => run(step))).toMatchObject({ code: 'internal' })
    hooks.make = (to) => [to.create(aes()), to.create(aes())]
    expect(failure(() => run(at('b'))).code).toBe('internal')
    expect(session.size).toBe(1)
  })
})

describe('limits of records', () => {
  test('maxRecords: as many, not one more; one that goes makes room', () => {
    open({ maxRecords: 2 })
    run(at('a'), at('b'))
    expect(failure(() => run(at('c'))).code).toBe('resource_exhausted')
    hooks.remove = (key) => {
      key.remove()
    }
    run({ procedure: remove, input: { key: 'a' } }, at('c'))
    expect(failure(() => run(at('d'))).code).toBe('resource_exhausted')
  })

  test('maxVersions: as many, not one more', () => {
    open({ maxVersions: 3 })
    run(at('a'))
    hooks.change = (key) => ({ record: key.add(KEY, undefined) })
    const step = { procedure: change, input: { key: 'a' } }
    run(step, step)
    expect(failure(() => run(step)).code).toBe('resource_exhausted')
  })

  test('maxOpaqueBytes: as long, not one byte longer', () => {
    open({ maxOpaqueBytes: 100 })
    const opaque = { ...labels, usage: new Set(['derive'] as const) }
    const length = (n: number): void => {
      hooks.make = (to) => ({
        record: to.create(aes({ type: 'opaque', labels: opaque, secret: new Uint8Array(n) })),
      })
    }
    length(100)
    run(at('a'))
    length(101)
    expect(failure(() => run(at('b'))).code).toBe('invalid_argument')
  })
})

describe('nonces of AES-GCM', () => {
  const step = { procedure: use, input: { key: 'a' } }
  const counted = (): number | undefined => {
    const [row] = rows.list(COUNTER_KIND)
    return row && new DataView(row.value.buffer, row.value.byteOffset).getUint32(0)
  }
  const reopen = (): void => {
    open()
  }

  beforeEach(() => {
    run(at('a'))
    hooks.use = (key) => {
      key.countNonce()
    }
  })

  test('are written down a block ahead, and skipped, never taken again, after a crash', () => {
    run(step)
    expect(counted()).toBe(NONCE_BLOCK)
    const { generation } = rows.head()
    for (let i = 1; i < NONCE_BLOCK; i++) run(step)
    expect(rows.head().generation).toBe(generation)
    run(step)
    expect(counted()).toBe(2 * NONCE_BLOCK)
    reopen()
    run(step)
    expect(counted()).toBe(3 * NONCE_BLOCK)
  })

  test('are counted also by a run that was rolled back', () => {
    for (let i = 0; i < NONCE_BLOCK + 5; i++) {
      hooks.use = (key) => {
        key.countNonce()
        throw new RangeError('Cannot go on: no')
      }
      failure(() => run(step))
    }
    expect(counted()).toBeUndefined()
    hooks.use = (key) => {
      key.countNonce()
    }
    run(step)
    expect(counted()).toBe(2 * NONCE_BLOCK)
  })

  test('end at 2³¹: the key is worn out', () => {
    run(step)
    const [row] = rows.list(COUNTER_KIND)
    const last = new Uint8Array(4)
    new DataView(last.buffer).setUint32(0, MAX_NONCES - NONCE_BLOCK)
    rows.transaction((tx) => {
      tx.put(COUNTER_KIND, row!.id, last)
    })
    reopen()
    for (let i = 0; i < NONCE_BLOCK; i++) run(step)
    expect(counted()).toBe(MAX_NONCES)
    expect(failure(() => run(step))).toMatchObject({
      code: 'failed_precondition',
      reason: 'key_worn_out',
    })
    reopen()
    expect(failure(() => run(step))).toMatchObject({ reason: 'key_worn_out' })
  })

  test('are not given for a version of an earlier epoch', () => {
    run(step)
    rows.transaction((tx) => {
      tx.beginEpoch()
    })
    expect(failure(() => run(step))).toMatchObject({ reason: 'key_worn_out' })
    hooks.change = (key) => ({ record: key.add(KEY, undefined) })
    run({ procedure: change, input: { key: 'a' } })
    run(step)
  })
})
