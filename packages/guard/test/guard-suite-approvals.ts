/** What every guard does with what a person is asked, wherever it runs. */
import { sealTo } from '@stronghold/vault'
import { describe, expect, it } from 'vitest'

import { allApprovals } from '../src/all-approvals.ts'
import type { Choice, PeerStep, UnlockBy } from '../src/doors.ts'
import { MAX_APPROVAL_PAGE_LENGTH } from '../src/limits.ts'
import { BOX, CI, PASSPHRASE, SIGN, signing, step, told, unlock, withRuleOf } from './guard-of.ts'
import type { SuiteSetup } from './guard-of.ts'

/** Asks, approvals and what is remembered of them. */
export function approvalsSuite(guarded: SuiteSetup): void {
  const withRule = withRuleOf(guarded)

  describe('an ask', () => {
    it('waits for a person, runs once approved, and answers whoever waits', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      const request = signing('x', 'release/app', { reason: 'v2.4.0' })
      expect(told(await network.submit(CI, request))).toBe('pending')
      const waiting = network.wait(CI, request.id)
      const [approval] = await allApprovals(owner)
      expect(approval).toMatchObject({ peerName: 'ci', reason: 'v2.4.0', rule: { id: 'r1' } })
      if (approval === undefined) return
      await owner.decide([approval.boundHash], 'once')
      expect(told(await waiting)).toBe('done')
      expect(await allApprovals(owner)).toEqual([])
      expect(told(await network.submit(CI, request))).toBe('done')
      // Acknowledged, the answer goes; that it ran does not.
      await network.acknowledge(CI, [request.id])
      expect(told(await network.submit(CI, request))).toBe('data_loss answer_gone')
    })

    it('is denied by a person, and stays so', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      const request = signing('x')
      await network.submit(CI, request)
      const [approval] = await allApprovals(owner)
      await owner.decide([approval?.boundHash ?? new Uint8Array()], 'deny')
      expect(told(await network.submit(CI, request))).toBe('permission_denied denied_by_person')
    })

    it('expires when nobody decides, and signs nothing afterwards', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      const request = signing('x')
      await network.submit(CI, request)
      const [approval] = await allApprovals(owner)
      const waiting = network.wait(CI, request.id)
      await all.clock.advance(61_000)
      expect(told(await waiting)).toBe('deadline_exceeded expired')
      const late = owner.decide([approval?.boundHash ?? new Uint8Array()], 'once')
      await expect(late).rejects.toThrow('nothing such is pending')
      expect(told(await network.submit(CI, request))).toBe('deadline_exceeded expired')
      // Once a second somebody looks at deadlines: this one is over, and nobody has.
      const [one, two, three] = ['1', '2', '3'].map((text) =>
        signing(text, 'release/app', { timeoutMs: 60_500 }),
      )
      if (one === undefined || two === undefined || three === undefined) throw new Error()
      for (const unseen of [one, two, three]) await network.submit(CI, unseen)
      const hashes = (await allApprovals(owner)).map(({ boundHash }) => boundHash)
      expect(hashes).toHaveLength(3)
      await all.clock.advance(60_700)
      for (const hash of hashes) {
        await expect(owner.decide([hash], 'once')).rejects.toThrow('nothing such is pending')
      }
      expect(told(await network.submit(CI, one))).toBe('deadline_exceeded expired')
      expect(told(await network.cancel(CI, two.id))).toBe('deadline_exceeded expired')
      await owner.addRule({ ...SIGN, effect: 'allow' }, { first: true })
      expect(told(await network.submit(CI, three))).toBe('deadline_exceeded expired')
    })

    it('is asked anew when the key was rotated between prompt and use', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      const request = signing('x')
      await network.submit(CI, request)
      const [before] = await allApprovals(owner)
      await owner.run([step('rotate', { key: 'release/app' })])
      const stale = owner.decide([before?.boundHash ?? new Uint8Array()], 'once')
      await expect(stale).rejects.toThrow('nothing such is pending')
      const [after] = await allApprovals(owner)
      expect(after?.boundHash).not.toEqual(before?.boundHash)
      await owner.decide([after?.boundHash ?? new Uint8Array()], 'once')
      expect(told(await network.submit(CI, request))).toBe('done')
    })

    it('ends when a rule comes to deny it, and runs when one comes to allow it', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      const [one, two] = [signing('x'), signing('y', 'release/other')]
      await owner.run([step('generate', { to: 'release/other', type: 'ed25519' })])
      await network.submit(CI, one)
      await network.submit(CI, two)
      await owner.addRule({ ...SIGN, paths: ['release/app'], effect: 'deny' })
      expect(told(await network.submit(CI, one))).toBe('permission_denied denied_by_rule')
      await owner.addRule({ ...SIGN, effect: 'allow' }, { first: true })
      expect(told(await network.wait(CI, two.id))).toBe('done')
    })

    it('is taken back by its peer', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      const request = signing('x')
      await network.submit(CI, request)
      expect(told(await network.cancel(CI, request.id))).toBe('canceled canceled')
      expect(await allApprovals(owner)).toEqual([])
      expect(told(await network.cancel(BOX, request.id))).toBe('not_found')
    })

    it('of one peer never blocks another, and floods cost only who floods', async () => {
      const limits = { maxPendingPerPeer: 2, maxPendingTotal: 3 }
      await using all = await guarded({ limits })
      const { network, owner } = all.guard
      await owner.addRule({ ...SIGN, peers: ['known'], effect: 'ask' })
      const answers = await Promise.all(
        Array.from({ length: 5 }, () => network.submit(CI, signing('x'))),
      )
      expect(answers.map(told)).toEqual([
        'pending',
        'pending',
        'resource_exhausted',
        'resource_exhausted',
        'resource_exhausted',
      ])
      expect(told(await network.submit(BOX, signing('x')))).toBe('pending')
      // All together have a bound of their own.
      expect(told(await network.submit(BOX, signing('x')))).toBe('resource_exhausted')
      await owner.blockPeer(CI.peer, true)
      expect(told(await network.submit(BOX, signing('x')))).toBe('pending')
    })

    it('survives a lock: who waits is told, and the question stands again after unlock', async () => {
      await using all = await withRule('ask', { limits: ['1/day'] })
      const { network, owner } = all.guard
      const request = signing('x')
      await network.submit(CI, request)
      const waiting = network.wait(CI, request.id)
      await owner.lock()
      expect(told(await waiting)).toBe('failed_precondition locked')
      expect(told(await network.wait(CI, request.id))).toBe('failed_precondition locked')
      expect(told(await network.cancel(CI, request.id))).toBe('failed_precondition locked')
      expect(told(await network.submit(CI, request))).toBe('pending')
      await unlock(owner)
      const approvals = await allApprovals(owner)
      expect(approvals).toHaveLength(1)
      // What it reserved of the limit is reserved again.
      expect(told(await network.submit(CI, signing('y')))).toBe('permission_denied denied_by_rule')
      const [approval] = approvals
      await owner.decide([approval?.boundHash ?? new Uint8Array()], 'once')
      expect(told(await network.wait(CI, request.id))).toBe('done')
    })
  })

  describe('approvals()', () => {
    it('MAX_APPROVAL_PAGE_LENGTH: comes page by page in the order of asking, however long it is', async () => {
      await using all = await guarded()
      const { network, owner } = all.guard
      await owner.run([step('generate', { to: 'release/payer', type: 'secp256k1' })])
      await owner.addRule({ ...SIGN, formats: ['ethereum:eip712'], effect: 'ask' })
      for (const text of ['a', 'b']) {
        const steps = Array.from({ length: 16 }, () => longestPrompt(text))
        expect(told(await network.submit(CI, { ...signing(''), steps, reason: text }))).toBe(
          'pending',
        )
        await all.clock.advance(1)
      }
      const { approvals, next } = await owner.approvals()
      const lengths = approvals.map((one) => JSON.stringify(one).length)
      const sum = (of: readonly number[]): number => of.reduce((a, b) => a + b, 0)
      expect(sum(lengths)).toBeGreaterThanOrEqual(MAX_APPROVAL_PAGE_LENGTH)
      expect(sum(lengths.slice(0, -1))).toBeLessThan(MAX_APPROVAL_PAGE_LENGTH)
      expect(next).toBeDefined()
      const whole = await allApprovals(owner)
      expect(whole.map(({ reason }) => reason).join('')).toBe('ab')
      // What a page was to begin with may be gone when it is asked for.
      const gone = whole[approvals.length]
      await owner.decide([gone?.boundHash ?? new Uint8Array()], 'deny')
      const rest = await owner.approvals(next === undefined ? {} : { from: next })
      expect(rest.approvals).toEqual(whole.slice(approvals.length + 1))
      expect(rest.next).toBeUndefined()
      await expect(owner.approvals({ from: 'nowhere' })).rejects.toMatchObject({
        code: 'invalid_argument',
      })
    })
  })

  describe('an approval', () => {
    it('is explained part by part, by the rules of that moment', async () => {
      await using all = await withRule('ask', { limits: ['1/day'] })
      const { network, owner } = all.guard
      await network.submit(CI, signing('x'))
      const [approval] = await allApprovals(owner)
      const hash = approval?.boundHash ?? new Uint8Array(32)
      // What it reserved of the limit itself does not stand in its way.
      const [told, ...more] = await owner.explainApproval(hash)
      expect(told).toContain('a person is asked: by rule r1 (ci may, after a person agreed,')
      expect(told).toContain('on sign on release/app as sshsig:file')
      expect(more).toEqual([])
      await owner.decide([hash], 'deny')
      await expect(owner.explainApproval(hash)).rejects.toMatchObject({ code: 'not_found' })
    })

    it('says until when it is remembered, and does not where it counts once', async () => {
      await using all = await guarded({ limits: { maxGrantMs: 30_000 } })
      const { network, owner } = all.guard
      await owner.addRule({ ...SIGN, effect: 'ask', formats: ['sshsig', 'raw'] })
      await network.submit(CI, signing('x'))
      const [one] = await allApprovals(owner)
      const [first] = await owner.decide([one?.boundHash ?? new Uint8Array()], 'time', {
        forMs: 60_000,
      })
      const [grant] = await owner.grants()
      expect(first?.rememberedUntilMs).toBe(grant?.expiresAtMs)
      expect((grant?.expiresAtMs ?? 0) - (grant?.grantedAtMs ?? 0)).toBe(30_000)
      const as = { format: 'raw' }
      const message = new TextEncoder().encode('x')
      const steps = [step('sign', { key: 'release/app', message, as })]
      await network.submit(CI, { ...signing(''), steps })
      const [two] = await allApprovals(owner)
      expect(two?.grantable).toBe(false)
      const [second] = await owner.decide([two?.boundHash ?? new Uint8Array()], 'time', {
        forMs: 60_000,
      })
      expect(second).toMatchObject({ state: 'executed' })
      expect(second).not.toHaveProperty('rememberedUntilMs')
      // So does a choice that nobody knows.
      await owner.revokeGrant(grant?.id ?? '')
      await network.submit(CI, signing('y'))
      const [three] = await allApprovals(owner)
      const hashes = [three?.boundHash ?? new Uint8Array()]
      const [third] = await owner.decide(hashes, 'forever' as Choice, { forMs: 60_000 })
      expect(third).toMatchObject({ state: 'executed' })
      expect(await owner.grants()).toEqual([])
      const chosen = (await owner.auditEntries())
        .filter(({ event }) => event === 'decision')
        .map(({ facts }) => facts['choice'])
      expect(chosen).toEqual(['time', 'time', 'once'])
    })

    it('takes the passphrase again where that is asked for, of whoever approves', async () => {
      await using all = await guarded({ confirmApprovals: true, limits: { maxWrongConfirms: 2 } })
      const { network, owner } = all.guard
      await owner.addRule({ ...SIGN, effect: 'ask' })
      expect(await owner.status()).toMatchObject({ confirms: true })
      const [one, two] = [signing('x'), signing('y')]
      await network.submit(CI, one)
      const [approval] = await allApprovals(owner)
      const hash = approval?.boundHash ?? new Uint8Array()
      const by = async (passphrase: Uint8Array): Promise<UnlockBy> => ({
        by: 'passphrase',
        passphrase: { sealed: sealTo(await owner.boxKey(), passphrase) },
      })
      const wrong = await by(new TextEncoder().encode('wrong'))
      const refused = { code: 'unauthenticated' }
      await expect(owner.decide([hash], 'once')).rejects.toMatchObject(refused)
      // A file proves nobody where there is a passphrase.
      const file = { by: 'passphrase-file', path: '/nowhere' } as const
      await expect(owner.decide([hash], 'time', { proof: file })).rejects.toMatchObject(refused)
      await expect(owner.decide([hash], 'once', { proof: wrong })).rejects.toThrow(
        'Cannot approve: that passphrase or key file does not open the vault',
      )
      expect(told(await network.submit(CI, one))).toBe('pending')
      await owner.decide([hash], 'once', { proof: await by(PASSPHRASE) })
      expect(told(await network.submit(CI, one))).toBe('done')
      // Whoever says no shows nothing.
      await network.submit(CI, two)
      const [other] = await allApprovals(owner)
      await owner.decide([other?.boundHash ?? new Uint8Array()], 'deny')
      expect(told(await network.submit(CI, two))).toBe('permission_denied denied_by_person')
    })

    it('bears maxWrongConfirms wrong proofs, at once or one by one, and forgives one a minute', async () => {
      await using all = await guarded({ confirmApprovals: true, limits: { maxWrongConfirms: 2 } })
      const { network, owner } = all.guard
      await owner.addRule({ ...SIGN, effect: 'ask' })
      await network.submit(CI, signing('x', 'release/app', { timeoutMs: 3_600_000 }))
      const [approval] = await allApprovals(owner)
      const hash = approval?.boundHash ?? new Uint8Array()
      const boxKey = await owner.boxKey()
      const tried = (passphrase: Uint8Array): Promise<string> =>
        owner
          .decide([hash], 'once', {
            proof: { by: 'passphrase', passphrase: { sealed: sealTo(boxKey, passphrase) } },
          })
          .then(
            () => 'done',
            (error: unknown) => String((error as { code?: unknown }).code),
          )
      const wrong = new TextEncoder().encode('wrong')
      const all3 = await Promise.all([tried(wrong), tried(wrong), tried(wrong)])
      expect(all3).toEqual(['unauthenticated', 'unauthenticated', 'resource_exhausted'])
      expect(await tried(PASSPHRASE)).toBe('resource_exhausted')
      const written = async (): Promise<unknown[]> =>
        (await owner.auditEntries())
          .filter(({ event }) => event === 'unproven')
          .map(({ facts }) => [facts['by'], facts['count']])
      // The first at once, the others together when there is something to write.
      expect(await written()).toEqual([['owner', 1]])
      await all.clock.advance(60_000)
      expect(await tried(wrong)).toBe('unauthenticated')
      expect(await written()).toEqual([
        ['owner', 1],
        ['owner', 4],
      ])
      await all.clock.advance(60_000)
      expect(await tried(PASSPHRASE)).toBe('done')
    })
  })

  describe('a grant', () => {
    it('answers the next ask of that peer on that key in that format, and nothing else', async () => {
      await using all = await guarded()
      const { network, owner } = all.guard
      await owner.addRule({ ...SIGN, peers: ['known'], effect: 'ask' })
      await owner.run([step('generate', { to: 'release/other', type: 'ed25519' })])
      const request = signing('x')
      await network.submit(CI, request)
      const [approval] = await allApprovals(owner)
      await owner.decide([approval?.boundHash ?? new Uint8Array()], 'time', { forMs: 60_000 })
      expect(told(await network.submit(CI, signing('y')))).toBe('done')
      expect(told(await network.submit(BOX, signing('y')))).toBe('pending')
      expect(told(await network.submit(CI, signing('y', 'release/other')))).toBe('pending')
      const git = {
        ...signing(''),
        steps: [
          step('sign', { key: 'release/app', message: new Uint8Array(1), as: { format: 'raw' } }),
        ],
      }
      expect(told(await network.submit(CI, git))).toBe('pending')
      const [grant] = await owner.grants()
      expect(grant).toMatchObject({ use: 'sign', path: 'release/app', rule: 'r1' })
      await all.clock.advance(61_000)
      expect(told(await network.submit(CI, signing('z')))).toBe('pending')
      expect(await owner.grants()).toEqual([])
    })

    it('is revoked by its id', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      await network.submit(CI, signing('x'))
      const [approval] = await allApprovals(owner)
      await owner.decide([approval?.boundHash ?? new Uint8Array()], 'time', { forMs: 60_000 })
      const [grant] = await owner.grants()
      expect(await owner.revokeGrant(grant?.id ?? '')).toBe(true)
      expect(told(await network.submit(CI, signing('y')))).toBe('pending')
    })
  })
}

/** A step of which as much is shown as of any. */
function longestPrompt(text: string): PeerStep {
  const names = Array.from({ length: 30 }, (_, index) => `${'n'.repeat(50)}${index}`)
  const typed = {
    types: {
      EIP712Domain: [{ name: 'name', type: 'string' }],
      Mail: names.map((name) => ({ name, type: 'string' })),
    },
    primaryType: 'Mail',
    domain: { name: 'long' },
    message: Object.fromEntries(names.map((name) => [name, `${text}${'e'.repeat(600)}`])),
  }
  return step('sign', {
    key: 'release/payer',
    message: new TextEncoder().encode(JSON.stringify(typed)),
    as: { format: 'ethereum', kind: 'eip712' },
  })
}
