/** What every guard writes down, wherever it runs. */
import { encode } from '@stronghold/core'
import { describe, expect, it } from 'vitest'

import { allApprovals } from '../src/all-approvals.ts'
import { verifyExport } from '../src/audit/export.ts'
import { exportLines } from '../src/audit/lines.ts'
import { readWitness } from '../src/audit/verify.ts'
import type { Guard } from '../src/doors.ts'
import { decodeReceipt } from '../src/receipts.ts'
import { sha256 } from '../src/sha256.ts'
import { CI, SIGN, signing, step, STRANGER, told, unlock, withRuleOf } from './guard-of.ts'
import type { SuiteSetup } from './guard-of.ts'

/** Signs until the audit is full. */
async function fill({ network, owner }: Pick<Guard, 'network' | 'owner'>): Promise<void> {
  await owner.addRule({ ...SIGN, effect: 'allow' })
  let last = ''
  for (let i = 0; i < 50 && last !== 'resource_exhausted audit_unavailable'; i++) {
    last = told(await network.submit(CI, signing(`${i}`)))
  }
  expect(last).toBe('resource_exhausted audit_unavailable')
}

/** The audit: what it holds, shows and bears. */
export function auditSuite(guarded: SuiteSetup): void {
  const withRule = withRuleOf(guarded)

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
      await fill(all.guard)
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
      const { owner } = all.guard
      await fill(all.guard)
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
      const [approval] = await allApprovals(owner)
      const hashes = [approval?.boundHash ?? new Uint8Array()]
      await expect(owner.decide(hashes, 'once')).rejects.toThrow('full')
      expect(await owner.decide(hashes, 'deny')).toHaveLength(1)
      await owner.blockPeer(CI.peer, true)
      expect(await allApprovals(owner)).toEqual([])
      await owner.lock()
      expect((await owner.status()).locked).toBe(true)
    })
  })
}
