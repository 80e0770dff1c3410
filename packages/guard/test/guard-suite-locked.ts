/** What every guard does while its vault is locked, wherever it runs. */
import { describe, expect, it } from 'vitest'

import { allApprovals } from '../src/all-approvals.ts'
import type { Asker } from '../src/doors.ts'
import { decodeReceipt } from '../src/receipts.ts'
import { BOX, CI, signing, step, STRANGER, told, unlock, withRuleOf } from './guard-of.ts'
import type { SuiteSetup } from './guard-of.ts'

/** Requests that wait for the vault to be unlocked. */
export function lockedSuite(guarded: SuiteSetup): void {
  const withRule = withRuleOf(guarded)

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
      const [approval] = await allApprovals(owner)
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
      const [approval] = await allApprovals(owner)
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
      expect(await allApprovals(owner)).toEqual([])
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
      expect(await allApprovals(owner)).toEqual([])
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
      expect(await allApprovals(owner)).toEqual([])
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
}
