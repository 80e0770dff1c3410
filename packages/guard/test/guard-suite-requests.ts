/** What every guard does with a request that nobody is asked about, wherever it runs. */
import { describe, expect, it } from 'vitest'

import { allApprovals } from '../src/all-approvals.ts'
import type { PeerRequest } from '../src/doors.ts'
import { BOX, CI, SIGN, signing, step, STRANGER, told, unlock, withRuleOf } from './guard-of.ts'
import type { SuiteSetup } from './guard-of.ts'

/** Requests, limits of rules, and what a peer is shown. */
export function requestsSuite(guarded: SuiteSetup): void {
  const withRule = withRuleOf(guarded)

  describe('submit()', () => {
    it('denies where no rule says anything', async () => {
      await using all = await guarded()
      expect(told(await all.guard.network.submit(CI, signing('x')))).toBe(
        'permission_denied denied_by_rule',
      )
    })

    it('runs what a rule allows, and answers with a signed head', async () => {
      await using all = await withRule('allow')
      const answer = await all.guard.network.submit(CI, signing('x'))
      expect(told(answer)).toBe('done')
      if (answer.state !== 'done') return
      const [output] = answer.outputs
      expect(new TextDecoder().decode(output?.['signature'] as Uint8Array)).toContain(
        'SSH SIGNATURE',
      )
      expect(answer.head.byteLength).toBeGreaterThan(100)
    })

    it('answers the same request with the same bytes, and runs it once', async () => {
      await using all = await withRule('allow')
      const request = signing('x')
      const [one, two] = await Promise.all([
        all.guard.network.submit(CI, request),
        all.guard.network.submit(CI, request),
      ])
      const three = await all.guard.network.submit(CI, request)
      if (one.state !== 'done' || two.state !== 'done' || three.state !== 'done') throw new Error()
      expect(two.outputs).toEqual(one.outputs)
      expect(three.outputs).toEqual(one.outputs)
      const entries = await all.guard.owner.auditEntries()
      const executed = entries.filter(
        ({ facts }) => facts['outcome'] === 'executed' && 'peer' in facts,
      )
      expect(executed).toHaveLength(1)
    })

    it('refuses another request under the same id', async () => {
      await using all = await withRule('allow')
      const request = signing('x')
      await all.guard.network.submit(CI, request)
      const other = await all.guard.network.submit(CI, { ...signing('y'), id: request.id })
      expect(told(other)).toBe('failed_precondition conflict')
      // Another peer's id is another request.
      expect(told(await all.guard.network.submit(BOX, request))).toBe(
        'permission_denied denied_by_rule',
      )
    })

    it('says the same of what is absent and of what is denied', async () => {
      await using all = await withRule('allow')
      const absent = await all.guard.network.submit(CI, signing('x', 'release/none'))
      const denied = await all.guard.network.submit(CI, signing('x', 'other/key'))
      expect({ ...absent, head: undefined }).toEqual({ ...denied, head: undefined })
      const stranger = await all.guard.network.submit(STRANGER, signing('x'))
      expect(told(stranger)).toBe(told(denied))
    })

    it('never runs for others what is for the owner only, whatever a rule says', async () => {
      await using all = await guarded()
      await all.guard.owner.addRule({
        peers: ['ci'],
        procedures: ['bip39-generate'],
        paths: ['**', '-'],
        effect: 'allow',
      })
      const request = { ...signing(''), steps: [step('bip39-generate', { to: 'wallet/seed' })] }
      expect(told(await all.guard.network.submit(CI, request))).toContain('permission_denied')
    })

    it('refuses what it cannot read, in one sentence', async () => {
      await using all = await withRule('allow')
      for (const [steps, code] of [
        [[step('sing', {})], 'unimplemented'],
        [[{ ...step('sign', {}), version: 9 }], 'unimplemented'],
        [[step('sign', { key: 'release/app' })], 'invalid_argument'],
        [
          [step('sign', { key: 'release/app', message: new Uint8Array(1), nonce: 1 })],
          'invalid_argument',
        ],
        [[], 'invalid_argument'],
      ] as const) {
        const answer = await all.guard.network.submit(CI, { ...signing(''), steps })
        expect(told(answer)).toBe(code)
      }
    })

    it('tells id and note of the rule that denied, only where the rule says so', async () => {
      await using all = await withRule('deny', { note: 'frozen until May', tell: true })
      const answer = await all.guard.network.submit(CI, signing('x'))
      expect(answer).toMatchObject({ rule: { id: 'r1', note: 'frozen until May' } })
    })

    it('forgets an answer that was acknowledged, and makes room', async () => {
      await using all = await guarded({ limits: { maxKeptPerPeer: 2 } })
      const { network, owner } = all.guard
      await owner.addRule({ ...SIGN, effect: 'allow' })
      const [one, two, three] = [signing('1'), signing('2'), signing('3')]
      await network.submit(CI, one)
      await network.submit(CI, two)
      expect(told(await network.submit(CI, three))).toBe('resource_exhausted')
      await network.acknowledge(CI, [one.id])
      expect(told(await network.submit(CI, three))).toBe('done')
    })

    it('maxKeptBytesPerPeer: holds no more of what one peer was answered', async () => {
      await using all = await guarded({ limits: { maxKeptBytesPerPeer: 100_000 } })
      const { network, owner } = all.guard
      const mine = { effect: 'allow' as const, procedures: ['encrypt'], paths: ['data/**'] }
      await owner.run([step('generate', { to: 'data/key', type: 'xchacha20-poly1305' })])
      for (const peers of [['ci'], ['box']]) await owner.addRule({ ...mine, peers })
      const message = new Uint8Array(60_000)
      const encrypting = (): PeerRequest => ({
        ...signing(''),
        steps: [step('encrypt', { key: 'data/key', message })],
      })
      const [one, two, three] = [encrypting(), encrypting(), encrypting()]
      for (const request of [one, two]) expect(told(await network.submit(CI, request))).toBe('done')
      expect(told(await network.submit(CI, three))).toBe('resource_exhausted')
      expect(told(await network.submit(CI, one))).toBe('done')
      expect(told(await network.submit(BOX, encrypting()))).toBe('done')
      await network.acknowledge(CI, [one.id])
      expect(told(await network.submit(CI, three))).toBe('done')
    })
  })

  it('wait() in the turn of submit() finds it', async () => {
    await using all = await withRule('allow')
    const request = signing('x')
    const [submitted, waited] = await Promise.all([
      all.guard.network.submit(CI, request),
      all.guard.network.wait(CI, request.id),
    ])
    expect([submitted, waited].map(told)).toEqual(['done', 'done'])
    expect(told(await all.guard.network.wait(CI, signing('x').id))).toBe('not_found')
  })

  describe('limits of a rule', () => {
    it('count what ran and what waits, also across a lock', async () => {
      await using all = await withRule('allow', { limits: ['2/day'] })
      const { network, owner } = all.guard
      const [one, two] = [signing('1'), signing('2')]
      expect(told(await network.submit(CI, one))).toBe('done')
      await owner.lock()
      await unlock(owner)
      expect(told(await network.submit(CI, two))).toBe('done')
      // Nothing that its peer can say gives one back.
      await network.cancel(CI, one.id)
      await network.acknowledge(CI, [one.id, two.id])
      expect(told(await network.submit(CI, signing('3')))).toBe('permission_denied denied_by_rule')
      expect(told(await network.submit(CI, one))).toBe('permission_denied denied_by_rule')
      await all.clock.advance(2 * 86_400_000)
      expect(told(await network.submit(CI, signing('4')))).toBe('done')
    })

    it('count each step of a chain as a use of its own', async () => {
      await using all = await guarded()
      const { network, owner } = all.guard
      await owner.addRule({ ...SIGN, effect: 'allow', limits: ['3/day'] })
      const chain = (length: number): PeerRequest => ({
        ...signing('x'),
        steps: Array.from({ length }, () => signing('x').steps).flat(),
      })
      expect(told(await network.submit(CI, chain(4)))).toBe('permission_denied denied_by_rule')
      expect(told(await network.submit(CI, chain(2)))).toBe('done')
      expect(told(await network.submit(CI, chain(2)))).toBe('permission_denied denied_by_rule')
      expect(told(await network.submit(CI, chain(1)))).toBe('done')
      expect(told(await network.submit(CI, chain(1)))).toBe('permission_denied denied_by_rule')
    })

    it('reserve what waits for a person, and give it back when it is denied', async () => {
      await using all = await withRule('ask', { limits: ['1/day'] })
      const { network, owner } = all.guard
      expect(told(await network.submit(CI, signing('1')))).toBe('pending')
      expect(told(await network.submit(CI, signing('2')))).toBe('permission_denied denied_by_rule')
      const [approval] = await allApprovals(owner)
      await owner.decide([approval?.boundHash ?? new Uint8Array()], 'deny')
      expect(told(await network.submit(CI, signing('3')))).toBe('pending')
    })
  })

  describe('head()', () => {
    it('is the signed head that status tells, and nothing while the vault is locked', async () => {
      await using all = await guarded()
      const { network, owner } = all.guard
      const head = await network.head()
      expect(head).toBeDefined()
      expect(await owner.status()).toMatchObject({ head })
      await owner.lock()
      expect(await network.head()).toBeUndefined()
    })
  })

  describe('list()', () => {
    it('shows what a peer may use and nothing else', async () => {
      await using all = await withRule('ask')
      await all.guard.owner.run([step('generate', { to: 'private/key', type: 'ed25519' })])
      const { network } = all.guard
      const release = {
        path: 'release/app',
        type: 'ed25519',
        uses: [{ use: 'sign', effect: 'ask' }],
      }
      expect(await network.list(CI)).toMatchObject({ records: [release], more: false })
      const nothing = { records: [], more: false }
      expect(await network.list(CI, { after: 'release/app' })).toEqual(nothing)
      expect(await network.list(CI, { pattern: 'other/**' })).toEqual(nothing)
      expect(await network.list(CI, { pattern: '*/app', after: 'a' })).toMatchObject({
        records: [release],
      })
      await expect(network.list(CI, { pattern: '**/app' })).rejects.toMatchObject({
        code: 'invalid_argument',
      })
      expect(await network.list(BOX)).toEqual(nothing)
      expect(await network.list(STRANGER)).toEqual(nothing)
    })
  })
}
