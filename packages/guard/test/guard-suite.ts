/**
 * What every guard does, wherever it runs: in this thread, in a thread of its own, and with its owner at a socket. A suite
 * for `openGuard()`, `openKeeper()` and `connectOwner()`.
 */
import { encode } from '@stronghold/core'
import { sealTo } from '@stronghold/vault'
import { describe, expect, it } from 'vitest'

import { exportLines, verifyExport } from '../src/audit/export.ts'
import { readWitness } from '../src/audit/verify.ts'
import type { Asker, Guard, OwnerDoor, PeerRequest, UnlockBy } from '../src/doors.ts'
import type { GuardLimits } from '../src/limits.ts'
import { decodeReceipt } from '../src/receipts.ts'
import { sha256 } from '../src/sha256.ts'
import { pairProof } from '../src/tickets.ts'
import { BOX, CI, HOME, PASSPHRASE, signing, step, STRANGER, told } from './guard-of.ts'

/** Signing with what is under `release`, for `ci`. */
export const SIGN: { peers: string[]; procedures: string[]; paths: string[] } = {
  peers: ['ci'],
  procedures: ['sign'],
  paths: ['release/**'],
}

/** A guard with one key at `release/app`, two known peers `ci` and `box`, no rule, and a clock that is moved. */
export interface SuiteGuard extends AsyncDisposable {
  readonly guard: Pick<Guard, 'network' | 'owner'>
  readonly clock: { advance(byMs: number): unknown }
}

/** Unlocks with the passphrase, sealed. */
async function unlock(owner: OwnerDoor): Promise<void> {
  const sealed = sealTo(await owner.boxKey(), PASSPHRASE)
  await owner.unlock({ by: 'passphrase', passphrase: { sealed } })
}

/** The suite. */
export function guardSuite({
  setup: guarded,
}: {
  setup: (init?: {
    limits?: Partial<GuardLimits>
    confirmApprovals?: boolean
  }) => Promise<SuiteGuard>
}): void {
  async function withRule(
    effect: 'allow' | 'ask' | 'deny',
    more: object = {},
  ): Promise<SuiteGuard> {
    const all = await guarded()
    await all.guard.owner.addRule({ ...SIGN, effect, ...more })
    return all
  }

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

  describe('an ask', () => {
    it('waits for a person, runs once approved, and answers whoever waits', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      const request = signing('x', 'release/app', { reason: 'v2.4.0' })
      expect(told(await network.submit(CI, request))).toBe('pending')
      const waiting = network.wait(CI, request.id)
      const [approval] = await owner.approvals()
      expect(approval).toMatchObject({ peerName: 'ci', reason: 'v2.4.0', rule: { id: 'r1' } })
      if (approval === undefined) return
      await owner.decide([approval.boundHash], 'once')
      expect(told(await waiting)).toBe('done')
      expect(await owner.approvals()).toEqual([])
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
      const [approval] = await owner.approvals()
      await owner.decide([approval?.boundHash ?? new Uint8Array()], 'deny')
      expect(told(await network.submit(CI, request))).toBe('permission_denied denied_by_person')
    })

    it('expires when nobody decides, and signs nothing afterwards', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      const request = signing('x')
      await network.submit(CI, request)
      const [approval] = await owner.approvals()
      const waiting = network.wait(CI, request.id)
      await all.clock.advance(61_000)
      expect(told(await waiting)).toBe('deadline_exceeded expired')
      const late = owner.decide([approval?.boundHash ?? new Uint8Array()], 'once')
      await expect(late).rejects.toThrow('nothing such is pending')
      expect(told(await network.submit(CI, request))).toBe('deadline_exceeded expired')
    })

    it('is asked anew when the key was rotated between prompt and use', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      const request = signing('x')
      await network.submit(CI, request)
      const [before] = await owner.approvals()
      await owner.run([step('rotate', { key: 'release/app' })])
      const stale = owner.decide([before?.boundHash ?? new Uint8Array()], 'once')
      await expect(stale).rejects.toThrow('nothing such is pending')
      const [after] = await owner.approvals()
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
      expect(await owner.approvals()).toEqual([])
      expect(told(await network.cancel(BOX, request.id))).toBe('not_found')
    })

    it('of one peer never blocks another, and floods cost only who floods', async () => {
      await using all = await guarded({ limits: { maxPendingPerPeer: 2 } })
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
    })

    it('survives a lock: who waits is told, and the question stands again after unlock', async () => {
      await using all = await withRule('ask')
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
      const approvals = await owner.approvals()
      expect(approvals).toHaveLength(1)
      const [approval] = approvals
      await owner.decide([approval?.boundHash ?? new Uint8Array()], 'once')
      expect(told(await network.wait(CI, request.id))).toBe('done')
    })
  })

  describe('an approval', () => {
    it('is explained part by part, by the rules of that moment', async () => {
      await using all = await withRule('ask', { limits: ['1/day'] })
      const { network, owner } = all.guard
      await network.submit(CI, signing('x'))
      const [approval] = await owner.approvals()
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
      const [one] = await owner.approvals()
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
      const [two] = await owner.approvals()
      expect(two?.grantable).toBe(false)
      const [second] = await owner.decide([two?.boundHash ?? new Uint8Array()], 'time', {
        forMs: 60_000,
      })
      expect(second).toMatchObject({ state: 'executed' })
      expect(second).not.toHaveProperty('rememberedUntilMs')
    })

    it('takes the passphrase again where that is asked for, of whoever approves', async () => {
      await using all = await guarded({ confirmApprovals: true, limits: { maxWrongConfirms: 2 } })
      const { network, owner } = all.guard
      await owner.addRule({ ...SIGN, effect: 'ask' })
      expect(await owner.status()).toMatchObject({ confirms: true })
      const [one, two] = [signing('x'), signing('y')]
      await network.submit(CI, one)
      const [approval] = await owner.approvals()
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
      const [other] = await owner.approvals()
      await owner.decide([other?.boundHash ?? new Uint8Array()], 'deny')
      expect(told(await network.submit(CI, two))).toBe('permission_denied denied_by_person')
    })

    it('bears maxWrongConfirms wrong proofs, at once or one by one, and forgives one a minute', async () => {
      await using all = await guarded({ confirmApprovals: true, limits: { maxWrongConfirms: 2 } })
      const { network, owner } = all.guard
      await owner.addRule({ ...SIGN, effect: 'ask' })
      await network.submit(CI, signing('x', 'release/app', { timeoutMs: 3_600_000 }))
      const [approval] = await owner.approvals()
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

  describe('while the vault is locked', () => {
    it('who is known may wait, and whoever else asks hears what he hears of an unlocked vault', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      await owner.blockPeer(BOX.peer, true)
      const heard = async (asker: Asker): Promise<unknown[]> => {
        const id = new Uint8Array(16).fill(7)
        return await Promise.all([
          network.submit(asker, signing('x', 'release/app', { id })),
          network.wait(asker, id),
          network.cancel(asker, id),
          network.list(asker),
          network.pair(asker, id, new Uint8Array(32)),
        ])
      }
      const [stranger, blocked] = [await heard(STRANGER), await heard(BOX)]
      await owner.lock()
      expect(await heard(STRANGER)).toEqual(stranger)
      expect(await heard(BOX)).toEqual(blocked)
      expect(await network.standing(CI)).toBe('known')
      expect(await network.standing(STRANGER)).toBe('unknown')
      expect(await network.standing(BOX)).not.toBe('known')
      expect(await owner.status()).toMatchObject({ locked: true, intake: 0 })
      await unlock(owner)
      expect((await owner.knocks()).map(({ peer }) => peer)).toEqual([STRANGER.peer])
    })

    it('a request is noted; a person is asked after unlock; it runs when its peer sends it again', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      const request = signing('x', 'release/app', { reason: 'v2', receipt: true })
      await owner.lock()
      const answer = await network.submit(CI, request)
      expect(answer).toMatchObject({ state: 'pending', remainingMs: 60_000 })
      expect(await network.submit(CI, request)).toEqual(answer)
      expect((await owner.status()).intake).toBe(1)
      const waiting = network.wait(CI, request.id)
      await all.clock.advance(10_000)
      await unlock(owner)
      expect(told(await waiting)).toBe('failed_precondition locked')
      expect((await owner.status()).intake).toBe(0)
      const [approval] = await owner.approvals()
      expect(approval).toMatchObject({ peerName: 'ci', reason: 'v2', rule: { id: 'r1' } })
      // The deadline is that of the first copy.
      if (answer.state === 'pending') expect(approval?.expiresAtMs).toBe(answer.expiresAtMs)
      await owner.decide([approval?.boundHash ?? new Uint8Array()], 'once', { by: 'me' })
      expect(told(await network.wait(CI, request.id))).toBe('failed_precondition locked')
      expect(told(await network.submit(BOX, request))).toContain('permission_denied')
      const other = { ...request, steps: signing('y').steps }
      expect(told(await network.submit(CI, other))).toBe('failed_precondition conflict')
      const done = await network.submit(CI, request)
      if (done.state !== 'done') throw new Error(told(done))
      expect(decodeReceipt(done.receipt ?? new Uint8Array()).leaf).toMatchObject({
        approvals: ['me'],
        rule: 'r1',
      })
      const entries = await owner.auditEntries()
      const events = entries.map(
        ({ event, facts }) => (facts['outcome'] as string | undefined) ?? event,
      )
      expect(events.slice(events.indexOf('locked'))).toEqual([
        'locked',
        'unlocked',
        'intake',
        'asked',
        'decision',
        'approved',
        'denied',
        'conflict',
        'executed',
      ])
      expect((await owner.verifyAudit()).faults).toEqual([])
    })

    it('what a person is still asked about is claimed by sending it again, and then waited for', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      const request = signing('x')
      await owner.lock()
      await network.submit(CI, request)
      await unlock(owner)
      expect(told(await network.submit(CI, request))).toBe('pending')
      const waiting = network.wait(CI, request.id)
      const [approval] = await owner.approvals()
      await owner.decide([approval?.boundHash ?? new Uint8Array()], 'once')
      expect(told(await waiting)).toBe('done')
    })

    it('what a rule allows runs when its peer sends it again, and never before', async () => {
      await using all = await withRule('allow')
      const { network, owner } = all.guard
      const request = signing('x')
      await owner.lock()
      expect(told(await network.submit(CI, request))).toBe('pending')
      await unlock(owner)
      const executed = async (): Promise<number> =>
        (await owner.auditEntries()).filter(
          ({ facts }) => facts['outcome'] === 'executed' && 'peer' in facts,
        ).length
      expect(await executed()).toBe(0)
      const answers = [await network.submit(CI, request), await network.submit(CI, request)]
      expect(answers.map(told)).toEqual(['done', 'done'])
      expect(await executed()).toBe(1)
    })

    it('what no rule allows, or nobody can read, is denied when it is sent again', async () => {
      await using all = await withRule('allow')
      const { network, owner } = all.guard
      const denied = signing('x', 'other/key')
      const unknown = { ...signing('x'), steps: [step('sing', {})] }
      // Its format is what another step gives: nobody could decide on it.
      const made = step('generate', { type: 'ed25519' })
      const as = { step: 0, output: 'record' }
      const message = new Uint8Array(1)
      const steps = [made, step('sign', { key: 'release/app', message, as })]
      const formless = { ...signing('x'), steps }
      expect(told(await network.submit(CI, formless))).toBe('invalid_argument')
      await owner.lock()
      for (const request of [denied, unknown, formless]) {
        expect(told(await network.submit(CI, request))).toBe('pending')
      }
      const unreadable = { ...signing('x'), steps: [step('sign', { key: 1.5 })] }
      expect(told(await network.submit(CI, unreadable))).toBe('invalid_argument')
      await unlock(owner)
      expect(told(await network.submit(CI, denied))).toBe('permission_denied denied_by_rule')
      expect(told(await network.submit(CI, unknown))).toBe('unimplemented')
      expect(told(await network.submit(CI, formless))).toBe('invalid_argument')
      // One that cannot be read keeps the others from nothing.
      const [intake] = (await owner.auditEntries()).filter(({ event }) => event === 'intake')
      expect(intake?.facts['count']).toBe(3)
      expect(await owner.approvals()).toEqual([])
    })

    it('a request is taken back, and another under its id is a conflict', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      const request = signing('x')
      await owner.lock()
      await network.submit(CI, request)
      const other = { ...signing('y'), id: request.id }
      expect(told(await network.submit(CI, other))).toBe('failed_precondition conflict')
      const waiting = network.wait(CI, request.id)
      expect(told(await network.cancel(BOX, request.id))).toBe('failed_precondition locked')
      expect(told(await network.cancel(CI, request.id))).toBe('canceled canceled')
      expect(told(await waiting)).toBe('canceled canceled')
      expect((await owner.status()).intake).toBe(0)
      await unlock(owner)
      expect(await owner.approvals()).toEqual([])
    })

    it('a request expires, before and after unlock, and is forgotten later', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      const [early, late] = [signing('x'), signing('y')]
      await owner.lock()
      await network.submit(CI, early)
      const waiting = network.wait(CI, early.id)
      await all.clock.advance(61_000)
      expect(told(await waiting)).toBe('deadline_exceeded expired')
      expect(told(await network.submit(CI, early))).toBe('deadline_exceeded expired')
      await all.clock.advance(240_000)
      await network.submit(CI, late)
      expect((await owner.status()).intake).toBe(2)
      await all.clock.advance(61_000)
      expect((await owner.status()).intake).toBe(1)
      await unlock(owner)
      expect(await owner.approvals()).toEqual([])
      expect(told(await network.submit(CI, late))).toBe('deadline_exceeded expired')
    })

    it('a flood costs only who floods', async () => {
      const limits = { maxIntakePerPeer: 2, maxIntakeTotal: 3, maxIntakeRequestBytes: 1000 }
      await using all = await guarded({ limits })
      const { network, owner } = all.guard
      await owner.addPeer(STRANGER.peer, 'eve')
      await owner.lock()
      const submit = async (asker: Asker, text: string): Promise<string> =>
        told(await network.submit(asker, signing(text)))
      expect(await submit(CI, 'x'.repeat(1000))).toBe('resource_exhausted')
      expect(await submit(CI, '1')).toBe('pending')
      expect(await submit(CI, '2')).toBe('pending')
      expect(await submit(CI, '3')).toBe('resource_exhausted')
      expect(await submit(BOX, '1')).toBe('pending')
      expect(await submit(STRANGER, '1')).toBe('resource_exhausted')
      expect((await owner.status()).intake).toBe(3)
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
      const [approval] = await owner.approvals()
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
      const [approval] = await owner.approvals()
      await owner.decide([approval?.boundHash ?? new Uint8Array()], 'time', { forMs: 60_000 })
      const [grant] = await owner.grants()
      expect(await owner.revokeGrant(grant?.id ?? '')).toBe(true)
      expect(told(await network.submit(CI, signing('y')))).toBe('pending')
    })
  })

  describe('limits of a rule', () => {
    it('count what ran and what waits, also across a lock', async () => {
      await using all = await withRule('allow', { limits: ['2/day'] })
      const { network, owner } = all.guard
      expect(told(await network.submit(CI, signing('1')))).toBe('done')
      await owner.lock()
      await unlock(owner)
      expect(told(await network.submit(CI, signing('2')))).toBe('done')
      expect(told(await network.submit(CI, signing('3')))).toBe('permission_denied denied_by_rule')
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
      const [approval] = await owner.approvals()
      await owner.decide([approval?.boundHash ?? new Uint8Array()], 'deny')
      expect(told(await network.submit(CI, signing('3')))).toBe('pending')
    })
  })

  describe('the audit', () => {
    it('holds what happened, verifies, and finds a head that it does not lead to', async () => {
      await using all = await withRule('allow')
      const { network, owner } = all.guard
      const answer = await network.submit(CI, signing('x', 'release/app', { receipt: true }))
      if (answer.state !== 'done') throw new Error(told(answer))
      const witnesses = [answer.head, answer.receipt ?? new Uint8Array()]
      expect(await owner.verifyAudit({ witnesses })).toMatchObject({ signed: true, faults: [] })
      const entries = await owner.auditEntries()
      const events = entries.map(({ event }) => event).filter((event) => event !== 'unlocked')
      expect(events).toEqual(['owner', 'peer', 'peer', 'rule', 'request'])
      await using other = await withRule('allow')
      const foreign = await other.guard.owner.verifyAudit({ witnesses })
      expect(foreign.faults.length).toBeGreaterThan(0)
    })

    it('holds what the owner ran, why, and proves it by a receipt', async () => {
      await using all = await guarded()
      const { owner } = all.guard
      const message = new TextEncoder().encode('x')
      const steps = [step('sign', { key: 'release/app', message })]
      expect(await owner.run(steps)).not.toHaveProperty('receipt')
      const { outputs, receipt } = await owner.run(steps, { reason: 'by hand', receipt: true })
      const { leaf } = decodeReceipt(receipt ?? new Uint8Array())
      expect(leaf).toMatchObject({
        peer: '',
        rule: null,
        approvals: [],
        result: sha256(encode(outputs)),
      })
      const [record] = await owner.records('release/app')
      expect(leaf.use).toEqual([['sign', 'key', 'release/app', record?.id, 1]])
      const entry = (await owner.auditEntries()).find(({ position }) => position === leaf.position)
      expect(entry).toMatchObject({ event: 'owner', facts: { id: leaf.id, reason: 'by hand' } })
      const witnesses = [receipt ?? new Uint8Array()]
      expect((await owner.verifyAudit({ witnesses })).faults).toEqual([])
      await using other = await guarded()
      expect((await other.guard.owner.verifyAudit({ witnesses })).faults).not.toEqual([])
    })

    it('is exported page by page, and verifies from its lines alone', async () => {
      await using all = await withRule('allow')
      const { network, owner } = all.guard
      const first = await owner.auditLines({ from: 2 })
      await network.submit(CI, signing('x'))
      const lines: string[] = []
      for await (const line of exportLines(owner)) lines.push(line)
      const entries = await owner.auditEntries()
      expect(lines).toHaveLength(entries.length + 1)
      const head = (await owner.status()).head ?? new Uint8Array()
      const witnesses = [readWitness(head)]
      expect(verifyExport(lines, { witnesses })).toMatchObject({ signed: true, faults: [] })
      expect(verifyExport(lines.toSpliced(1, 1)).faults).not.toEqual([])
      // What came later is not in an export that was begun before.
      const again = await owner.auditLines({ from: 2, head: first.head })
      expect(again).toEqual(first)
      await expect(owner.auditLines({ head: new Uint8Array(3) })).rejects.toThrow('Cannot')
    })

    it('is cut up to a signed checkpoint, which stays', async () => {
      await using all = await guarded({ limits: { maxEntriesPerCheckpoint: 3 } })
      const { network, owner } = all.guard
      await owner.addRule({ ...SIGN, effect: 'allow' })
      const answer = await network.submit(CI, signing('x'))
      const early = answer.state === 'done' ? answer.head : new Uint8Array()
      await all.clock.advance(5000)
      const checkpoints = async (): Promise<number[]> =>
        (await owner.auditEntries())
          .filter(({ event }) => event === 'checkpoint')
          .map(({ position }) => position)
      const [at = 0, ...more] = await checkpoints()
      expect([at > 3, more]).toEqual([true, []])
      await network.submit(CI, signing('y'))
      const head = (await owner.status()).head ?? new Uint8Array()
      const { atMs } = (await owner.auditEntries({ from: at, count: 1 }))[0] ?? { atMs: 0 }
      expect(await owner.cutAudit({ before: atMs })).toEqual({ entries: 0, from: 0 })
      const cut = { entries: at, from: at }
      expect(await owner.cutAudit({ before: atMs + 1, dryRun: true })).toEqual(cut)
      expect(await owner.cutAudit({ before: atMs + 1 })).toEqual(cut)
      expect((await owner.auditEntries())[0]).toMatchObject({ position: at, event: 'checkpoint' })
      expect((await owner.verifyAudit({ witnesses: [head] })).faults).toEqual([])
      const now = await owner.cutAudit()
      expect((await owner.auditEntries()).map(({ position }) => position)).toEqual([now.from])
      expect((await owner.verifyAudit({ witnesses: [head, early] })).faults).toEqual([])
      await owner.lock()
      await unlock(owner)
      expect((await owner.verifyAudit({ witnesses: [head] })).faults).toEqual([])
      const lines: string[] = []
      for await (const line of exportLines(owner)) lines.push(line)
      expect(verifyExport(lines).faults).toEqual([])
      expect(told(await network.submit(CI, signing('z')))).toBe('done')
    })

    it('that is full is cut, and goes on', async () => {
      await using all = await guarded({ limits: { maxAuditBytes: 9000, reservedAuditBytes: 4000 } })
      const { network, owner } = all.guard
      await owner.addRule({ ...SIGN, effect: 'allow' })
      let last = ''
      for (let i = 0; i < 50 && last !== 'resource_exhausted audit_unavailable'; i++) {
        last = told(await network.submit(CI, signing(`${i}`)))
      }
      expect(last).toBe('resource_exhausted audit_unavailable')
      const before = (await owner.status()).auditBytes ?? 0
      expect((await owner.cutAudit()).entries).toBeGreaterThan(5)
      expect((await owner.status()).auditBytes).toBeLessThan(before / 4)
      expect(told(await network.submit(CI, signing('x')))).toBe('done')
    })

    it('counts strangers once a minute and writes none of them', async () => {
      await using all = await guarded()
      for (let i = 0; i < 50; i++) await all.guard.network.submit(STRANGER, signing('x'))
      await all.clock.advance(61_000)
      await all.guard.network.submit(CI, signing('x'))
      const entries = await all.guard.owner.auditEntries()
      const strangers = entries.filter(({ event }) => event === 'strangers')
      expect(strangers.map(({ facts }) => facts['count'])).toEqual([50])
    })

    it('that is full refuses and loses nothing; what takes rights away still works', async () => {
      await using all = await guarded({ limits: { maxAuditBytes: 9000, reservedAuditBytes: 4000 } })
      const { network, owner } = all.guard
      await owner.addRule({ ...SIGN, effect: 'allow' })
      let last = ''
      for (let i = 0; i < 50 && last !== 'resource_exhausted audit_unavailable'; i++) {
        last = told(await network.submit(CI, signing(`${i}`)))
      }
      expect(last).toBe('resource_exhausted audit_unavailable')
      await owner.blockPeer(CI.peer, true)
      expect((await owner.verifyAudit()).faults).toEqual([])
    })

    it('that is full still denies and blocks who waits, whatever peers ask for again', async () => {
      const limits = { maxAuditBytes: 20_000, reservedAuditBytes: 8000 }
      await using all = await guarded({ limits })
      const { network, owner } = all.guard
      await owner.run([step('generate', { to: 'ask/app', type: 'ed25519' })])
      await owner.addRule({ ...SIGN, effect: 'allow' })
      await owner.addRule({ ...SIGN, paths: ['ask/**'], effect: 'ask' })
      for (const text of ['one', 'two']) await network.submit(CI, signing(text, 'ask/app'))
      const again = signing('again')
      expect(told(await network.submit(CI, again))).toBe('done')
      for (const next of [() => signing('x'), () => again]) {
        let last = ''
        for (let i = 0; i < 200 && last !== 'resource_exhausted audit_unavailable'; i++) {
          last = told(await network.submit(CI, next()))
        }
        expect(last).toBe('resource_exhausted audit_unavailable')
      }
      const [approval] = await owner.approvals()
      const hashes = [approval?.boundHash ?? new Uint8Array()]
      await expect(owner.decide(hashes, 'once')).rejects.toThrow('full')
      expect(await owner.decide(hashes, 'deny')).toHaveLength(1)
      await owner.blockPeer(CI.peer, true)
      expect(await owner.approvals()).toEqual([])
      await owner.lock()
      expect((await owner.status()).locked).toBe(true)
    })
  })

  describe('pair()', () => {
    it('makes exactly the peer known that proves the ticket, once, without any right', async () => {
      await using all = await guarded()
      const { network, owner } = all.guard
      await owner.addRule({ peers: ['@new'], procedures: ['pub'], paths: ['x'], effect: 'ask' })
      const ticket = await owner.newTicket({ name: 'laptop', lifetimeMs: 60_000 })
      const used = owner.ticketUsed(ticket.id, { signal: AbortSignal.timeout(10_000) })
      // Over a socket the network door is another way, and may be the shorter one.
      await owner.status()
      const peers = { joins: STRANGER.peer, opened: HOME }
      const proof = pairProof(ticket.secret, 'joins', peers)
      expect(await network.pair(CI, ticket.id, proof)).toEqual({ paired: false })
      expect(await network.pair(STRANGER, ticket.id, proof)).toEqual({
        paired: true,
        proof: pairProof(ticket.secret, 'opened', peers),
        name: 'laptop',
      })
      expect(await used).toMatchObject({ peer: STRANGER.peer, name: 'laptop', via: 'paired' })
      expect(await network.pair(STRANGER, ticket.id, proof)).toEqual({ paired: false })
      expect(await network.list(STRANGER)).toEqual([])
    })

    it('maxPeers: makes nobody known past it, and keeps the ticket', async () => {
      await using all = await guarded({ limits: { maxPeers: 2 } })
      const { network, owner } = all.guard
      const { id, secret } = await owner.newTicket({ name: 'laptop', lifetimeMs: 60_000 })
      const proof = pairProof(secret, 'joins', { joins: STRANGER.peer, opened: HOME })
      expect(await network.pair(STRANGER, id, proof)).toEqual({ paired: false })
      await owner.removePeer(BOX.peer)
      expect(await network.pair(STRANGER, id, proof)).toMatchObject({ paired: true })
      expect(await owner.peers()).toHaveLength(2)
    })

    it('closes a ticket after ten wrong proofs, and when its time is over', async () => {
      await using all = await guarded()
      const { network, owner } = all.guard
      const ticket = await owner.newTicket({ lifetimeMs: 60_000 })
      const wrong = new Uint8Array(32)
      for (let i = 0; i < 10; i++) await network.pair(STRANGER, ticket.id, wrong)
      expect(await owner.tickets()).toEqual([])
      const late = await owner.newTicket({ lifetimeMs: 60_000 })
      await all.clock.advance(60_000)
      const proof = pairProof(late.secret, 'joins', { joins: STRANGER.peer, opened: HOME })
      expect(await network.pair(STRANGER, late.id, proof)).toEqual({ paired: false })
    })

    it('is told of by how many tickets are open, also when one is used, canceled or over', async () => {
      await using all = await guarded()
      const { network, owner } = all.guard
      const stop = new AbortController()
      const counts = network.pairing({ signal: stop.signal })[Symbol.asyncIterator]()
      const next = async (): Promise<unknown> => (await counts.next()).value
      expect(await next()).toBe(0)
      const used = await owner.newTicket({ lifetimeMs: 60_000 })
      expect(await next()).toBe(1)
      const canceled = await owner.newTicket({ lifetimeMs: 50_000 })
      expect(await next()).toBe(2)
      await owner.cancelTicket(canceled.id)
      expect(await next()).toBe(1)
      const proof = pairProof(used.secret, 'joins', { joins: STRANGER.peer, opened: HOME })
      await network.pair(STRANGER, used.id, proof)
      expect(await next()).toBe(0)
      await owner.newTicket({ lifetimeMs: 60_000 })
      expect(await next()).toBe(1)
      await all.clock.advance(60_000)
      expect(await next()).toBe(0)
      stop.abort()
      expect(await counts.next()).toMatchObject({ done: true })
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

  describe('peers', () => {
    it('that are blocked or removed lose their standing and what they asked for', async () => {
      await using all = await withRule('ask')
      const { network, owner } = all.guard
      const request = signing('x')
      await network.submit(CI, request)
      const stop = new AbortController()
      const cuts = network.cutOff({ signal: stop.signal })[Symbol.asyncIterator]()
      const waiting = network.wait(CI, request.id)
      await owner.blockPeer(CI.peer, true)
      expect(await cuts.next()).toEqual({ done: false, value: CI.peer })
      expect(told(await waiting)).toBe('permission_denied denied_by_rule')
      expect(await owner.approvals()).toEqual([])
      expect(await network.standing(CI)).toBe('blocked')
      await owner.removePeer(CI.peer)
      expect(await network.standing(CI)).toBe('unknown')
      stop.abort()
    })

    it('that nobody knows are remembered, and cause no prompt', async () => {
      await using all = await guarded({ limits: { maxKnocks: 3 } })
      const { network, owner } = all.guard
      await owner.addRule({ ...SIGN, peers: ['known'], effect: 'ask' })
      for (let i = 0; i < 5; i++) {
        const stranger = { peer: `${STRANGER.peer}${i}`, connection: '/memory/9' }
        expect(told(await network.submit(stranger, signing('x')))).toContain('permission_denied')
      }
      expect(await owner.approvals()).toEqual([])
      expect((await owner.knocks()).map(({ peer }) => peer.at(-1))).toEqual(['4', '3', '2'])
    })

    it('with another’s name bring no rights along', async () => {
      await using all = await withRule('allow')
      const { network, owner } = all.guard
      await owner.removePeer(CI.peer)
      await owner.addPeer(STRANGER.peer, 'ci')
      expect(told(await network.submit(STRANGER, signing('x')))).toBe(
        'permission_denied denied_by_rule',
      )
    })
  })

  describe('list()', () => {
    it('shows what a peer may use and nothing else', async () => {
      await using all = await withRule('ask')
      await all.guard.owner.run([step('generate', { to: 'private/key', type: 'ed25519' })])
      expect(await all.guard.network.list(CI)).toMatchObject([
        { path: 'release/app', type: 'ed25519', uses: [{ use: 'sign', effect: 'ask' }] },
      ])
      expect(await all.guard.network.list(BOX)).toEqual([])
      expect(await all.guard.network.list(STRANGER)).toEqual([])
    })
  })
}
