/**
 * What every `Vault` promises, as a suite: the one that lies here, a guard's view for one peer, one at the other end of a
 * connection. It knows only the interface, and uses only procedures that may be asked for from another machine.
 */
import type { ListedRecord, Vault } from '@stronghold/vault'
import {
  copy,
  decrypt,
  encrypt,
  generate,
  hkdf,
  pub,
  random,
  revoke,
  rotate,
  sign,
  verify,
} from '@stronghold/vault/catalog'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

/** How one implementation is had. */
export interface VaultComplianceInit {
  /** A vault without records, unlocked, of which everything may be asked. */
  setup(): Promise<Vault<ListedRecord>>
  /** Ends it and whatever it needed. */
  teardown(vault: Vault<ListedRecord>): Promise<void>
  /** What a record that does not stand is said to be. Default `not_found`; others say `permission_denied`. */
  absent?: 'not_found' | 'permission_denied'
  /** Whether records are listed with all that is known of them, or with what may be done. Default `whole`. */
  listing?: 'whole' | 'usable'
}

const MESSAGE = new TextEncoder().encode('a message')
const RAW = { format: 'raw' } as const

/** Runs the suite on one implementation. */
export function vaultCompliance(name: string, init: VaultComplianceInit): void {
  describe(name, () => {
    let vault: Vault<ListedRecord>
    beforeEach(async () => {
      vault = await init.setup()
    })
    afterEach(() => init.teardown(vault))

    const code = async (of: Promise<unknown>): Promise<unknown> => {
      const error: unknown = await of.then(
        () => 'no error',
        (reason: unknown) => reason,
      )
      if (!(error instanceof Error) || !('code' in error)) throw error
      // One clear sentence.
      expect(error.message).toMatch(/^Cannot [^\n]+[^.\n]$/)
      return error.code
    }
    const paths = async (pattern?: string): Promise<string[]> =>
      (await vault.list(pattern)).map(({ path }) => path)

    test('run gives what the procedure gives, and what it made is there', async () => {
      const { record } = await vault.run(generate, { type: 'ed25519', to: 'keys/a' })
      expect(record).toMatchObject({ path: 'keys/a', type: 'ed25519', version: 1 })
      const { publicKey } = await vault.run(pub, { key: 'keys/a' })
      expect(publicKey).toEqual(record.publicKey)
      const { signature } = await vault.run(sign, { key: 'keys/a', message: MESSAGE, as: RAW })
      const check = { message: MESSAGE, signature, as: RAW }
      expect(await vault.run(verify, { key: 'keys/a', ...check })).toEqual({ valid: true })
      const other = { ...check, message: new Uint8Array(9) }
      expect(await vault.run(verify, { key: 'keys/a', ...other })).toEqual({ valid: false })
    })

    test('what was asked for and cannot be has one code and changes nothing', async () => {
      await vault.run(generate, { type: 'ed25519', to: 'keys/a' })
      const absent = init.absent ?? 'not_found'
      expect(await code(vault.run(pub, { key: 'keys/none' }))).toBe(absent)
      expect(await code(vault.run(pub, { key: 'no path!' }))).toBe('invalid_argument')
      expect(await code(vault.run(random, { length: 0 }))).toBe('invalid_argument')
      const more = { length: 1, more: 2 }
      expect(await code(vault.run(random, more))).toBe('invalid_argument')
      expect(await code(vault.run(generate, { type: 'seed', to: 'keys/a' }))).toBe(
        'failed_precondition',
      )
      expect(await code(vault.run(encrypt, { key: 'keys/a', message: MESSAGE }))).toBe(
        'invalid_argument',
      )
      expect(await paths()).toEqual(['keys/a'])
    })

    test('runs of one turn see each other in order; one that fails fails alone', async () => {
      const runs = await Promise.allSettled([
        vault.run(generate, { type: 'ed25519', to: 'a' }),
        vault.run(generate, { type: 'ed25519', to: 'a' }),
        vault.run(copy, { from: 'a', to: 'b' }),
        vault.run(revoke, { record: 'a' }),
        vault.run(pub, { key: 'a' }),
      ])
      expect(runs.map(({ status }) => status)).toEqual([
        'fulfilled',
        'rejected',
        'fulfilled',
        'fulfilled',
        'rejected',
      ])
      expect(await paths()).toEqual(['b'])
    })

    test('submit gives the request before its answer', async () => {
      const pending = await vault.submit(generate, { type: 'ed25519', to: 'a' })
      expect(pending.id).toMatch(/^[0-9a-f]{32}$/)
      const { record } = await pending.result()
      expect(record.path).toBe('a')
      expect(await pending.result()).toEqual({ record })
      expect(pending.state).toBe('done')
      expect(await pending.cancel()).toBe(false)
      expect(await paths()).toEqual(['a'])
    })

    test('a request keeps the id that it was given', async () => {
      const requestId = '00112233445566778899aabbccddeeff'
      const pending = await vault.submit(random, { length: 8 }, { requestId })
      expect(pending.id).toBe(requestId)
      expect((await pending.result()).bytes.byteLength).toBe(8)
    })

    test('what was canceled in time was not done', async () => {
      const pending = await vault.submit(generate, { type: 'ed25519', to: 'a' })
      const inTime = await pending.cancel()
      if (inTime) {
        expect(pending.state).toBe('canceled')
        expect(await code(pending.result())).toBe('canceled')
      } else await pending.result()
      expect(await paths()).toEqual(inTime ? [] : ['a'])
    })

    test('a request that fails says so in its state', async () => {
      const pending = await vault.submit(pub, { key: 'none' })
      expect(await code(pending.result())).toBe(init.absent ?? 'not_found')
      expect(pending.state).toBe('failed')
      expect(await pending.cancel()).toBe(false)
    })

    test('an aborted signal ends a request with its reason, before anything is done', async () => {
      const reason = new Error('enough')
      const signal = AbortSignal.abort(reason)
      const options = { signal }
      await expect(vault.run(generate, { type: 'seed', to: 'a' }, options)).rejects.toBe(reason)
      await expect(vault.list('**', options)).rejects.toBe(reason)
      expect(await paths()).toEqual([])
    })

    test('options that do not hold together are misuse', async () => {
      const asked = { length: 1 }
      await expect(vault.run(random, asked, { timeoutMs: 0 })).rejects.toThrow(RangeError)
      await expect(vault.run(random, asked, { timeoutMs: 1.5 })).rejects.toThrow(RangeError)
      await expect(vault.run(random, asked, { reason: 'x'.repeat(257) })).rejects.toThrow(
        RangeError,
      )
      await expect(vault.run(random, asked, { requestId: 'mine' })).rejects.toThrow(SyntaxError)
    })

    test('a chain carries records and values from step to step', async () => {
      const [made, signed] = await vault.chain([
        { procedure: generate, input: { type: 'ed25519' } },
        {
          procedure: sign,
          input: { key: { step: 0, output: 'record' }, message: MESSAGE, as: RAW },
        },
      ])
      // What a later step takes does not leave.
      expect(made).toEqual({})
      expect(signed.signature.byteLength).toBe(64)
      expect(await paths()).toEqual([])
      await vault.run(generate, { type: 'xchacha20-poly1305', to: 'cipher' })
      const [sealed, opened] = await vault.chain([
        { procedure: encrypt, input: { key: 'cipher', message: MESSAGE } },
        { procedure: decrypt, input: { key: 'cipher', envelope: { step: 0, output: 'envelope' } } },
      ])
      expect(sealed).toEqual({})
      expect(opened).toEqual({ message: MESSAGE })
    })

    test('a chain is done as a whole or not at all', async () => {
      const chain = vault.chain([
        { procedure: generate, input: { type: 'seed', to: 'root' } },
        {
          procedure: hkdf,
          input: { from: { step: 0, output: 'record' }, type: 'ed25519', to: 'child' },
        },
        { procedure: pub, input: { key: 'none' } },
      ])
      expect(await code(chain)).toBe(init.absent ?? 'not_found')
      expect(await paths()).toEqual([])
    })

    test('a chain without steps, with too many, or that looks ahead is refused', async () => {
      const step = { procedure: random, input: { length: 1 } }
      expect(await code(vault.chain([]))).toBe('invalid_argument')
      expect(await code(vault.chain(Array.from({ length: 17 }, () => step)))).toBe(
        'invalid_argument',
      )
      expect(await vault.chain(Array.from({ length: 16 }, () => step))).toHaveLength(16)
      const ahead = {
        procedure: sign,
        input: { key: 'a', message: { step: 1, output: 'bytes' } },
      } as const
      expect(await code(vault.chain([ahead, step]))).toBe('invalid_argument')
      const missing = { ...ahead, input: { key: 'a', message: { step: 0, output: 'other' } } }
      expect(await code(vault.chain([step, missing]))).toBe('invalid_argument')
    })

    test('list gives what a pattern matches, in the order of paths, and nothing secret', async () => {
      for (const to of ['b/y', 'a', 'b/x', 'b/x/deep']) {
        await vault.run(generate, { type: 'hmac-sha2', to })
      }
      expect(await paths()).toEqual(['a', 'b/x', 'b/x/deep', 'b/y'])
      expect(await paths('b/*')).toEqual(['b/x', 'b/y'])
      expect(await paths('b/**')).toEqual(['b/x', 'b/x/deep', 'b/y'])
      expect(await code(vault.list('b/***'))).toBe('invalid_argument')
      await vault.run(rotate, { key: 'a' })
      const [info] = await vault.list('a')
      expect(info).toMatchObject({ path: 'a', type: 'hmac-sha2', version: 2 })
      if (init.listing === 'usable') return
      expect(info).toMatchObject({
        versions: [1, 2],
        minimum: 1,
        origin: 'generated',
        labels: { usage: ['copy', 'mac', 'mac-verify'], egress: 'public', sync: false },
      })
    })

    test('labels hold: what is not allowed is denied', async () => {
      const labels = { usage: ['mac' as const] }
      await vault.run(generate, { type: 'hmac-sha2', to: 'mac', labels })
      expect(await code(vault.run(copy, { from: 'mac', to: 'other' }))).toBe('permission_denied')
      expect(await paths()).toEqual(['mac'])
    })
  })
}
