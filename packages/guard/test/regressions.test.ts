/**
 * Holes that must never open, each by its name. Those of peers, grants, expiry and rotated keys that every guard has to
 * keep closed, wherever it runs, stand in `guard-suite-*.ts`.
 */
import { encode, encodeUtf8 } from '@stronghold/core'
import { sealTo } from '@stronghold/vault'
import { describe, expect, it } from 'vitest'

import { allApprovals } from '../src/all-approvals.ts'
import type { OwnerDoor } from '../src/doors.ts'
import { openGuard } from '../src/guard.ts'
import { KINDS } from '../src/kinds.ts'
import { isInTree } from '../src/merkle.ts'
import { decodeReceipt } from '../src/receipts.ts'
import { BOX, CI, guarded, HOME, PASSPHRASE, SIGN, signing, step, told } from './guard-of.ts'
import type { Guarded } from './guard-of.ts'
import { sha256 } from './signing.ts'

async function unlock(owner: OwnerDoor): Promise<void> {
  const sealed = sealTo(await owner.boxKey(), PASSPHRASE)
  await owner.unlock({ by: 'passphrase', passphrase: { sealed } })
}

/** Rules as another version of this program, or nobody, wrote them. */
function writeRules({ vault }: Guarded, row: Uint8Array): void {
  vault.transaction((tx) => {
    tx.put(KINDS.rules, encodeUtf8('rules'), row)
  })
}

describe('unanswered', () => {
  it('is never stored as an answer: what is asked later is asked again', async () => {
    await using all = await guarded()
    const { network, owner } = all.guard
    await owner.addRule({ ...SIGN, effect: 'ask' })
    const request = signing('x')
    expect(told(await network.submit(CI, request))).toBe('pending')
    all.clock.advance(61_000)
    expect(told(await network.wait(CI, request.id))).toBe('deadline_exceeded expired')
    expect(await owner.grants()).toEqual([])
    for (const again of [signing('x'), signing('y')]) {
      expect(told(await network.submit(CI, again))).toBe('pending')
    }
    await owner.lock()
    await unlock(owner)
    expect(await allApprovals(owner)).toHaveLength(2)
    const events = (await owner.auditEntries()).map(({ event }) => event)
    expect(events).not.toContain('decision')
    expect(events).not.toContain('grant')
  })
})

describe('a deny', () => {
  it('keeps the connection, by a rule and by a person; only a block cuts it', async () => {
    await using all = await guarded()
    const { network, owner } = all.guard
    await owner.addRule({ ...SIGN, effect: 'ask' })
    const stop = new AbortController()
    const cuts = network.cutOff({ signal: stop.signal })[Symbol.asyncIterator]()
    expect(told(await network.submit(BOX, signing('x')))).toContain('denied_by_rule')
    const decided = async (choice: 'deny' | 'deny-and-block'): Promise<string> => {
      const request = signing('x')
      await network.submit(CI, request)
      const [approval] = await allApprovals(owner)
      await owner.decide([approval?.boundHash ?? new Uint8Array()], choice)
      return network.standing(CI)
    }
    expect(await decided('deny')).toBe('known')
    expect(told(await network.submit(CI, signing('y')))).toBe('pending')
    expect(await decided('deny-and-block')).toBe('blocked')
    // The first that is heard of at all.
    await owner.removePeer(BOX.peer)
    expect([(await cuts.next()).value, (await cuts.next()).value]).toEqual([CI.peer, BOX.peer])
    stop.abort()
  })
})

describe('a load failure', () => {
  it('is not ready: nothing is decided by rules that could not be read', async () => {
    await using all = await guarded()
    const { network, owner } = all.guard
    await owner.addRule({ ...SIGN, effect: 'allow' })
    writeRules(all, encodeUtf8('junk'))
    await owner.lock()
    for (let attempt = 0; attempt < 2; attempt++) {
      await expect(unlock(owner)).rejects.toMatchObject({ code: 'data_loss' })
      expect(await owner.status()).toMatchObject({ locked: true })
      expect(all.vault.state).toBe('locked')
      await expect(owner.rules()).rejects.toMatchObject({ reason: 'locked' })
    }
    expect(told(await network.submit(CI, signing('x')))).toBe('pending')
    await all.vault.unlock({ passphrase: PASSPHRASE })
    expect(() => openGuard({ vault: all.vault, peer: HOME })).toThrow('damaged')
  })
})

describe('a peer that may wrap under a key', () => {
  it('cannot wrap that key', async () => {
    await using all = await guarded()
    const { network, owner } = all.guard
    // A key that may be used to wrap and may leave: only the right to be wrapped keeps it in.
    const kek = { type: 'aes-256-kw', labels: { egress: 'material', usage: ['wrap', 'copy'] } }
    await owner.run([step('generate', { ...kek, to: 'kek/one' })])
    await owner.run([step('generate', { ...kek, to: 'data/one' })])
    const wrap = async (source: string): Promise<string> =>
      told(
        await network.submit(CI, {
          ...signing(''),
          steps: [step('wrap', { key: 'kek/one', source })],
        }),
      )
    const mine = { peers: ['ci'], effect: 'allow' as const }
    await owner.addRule({ ...mine, procedures: ['wrap:key'], paths: ['kek/**'] })
    expect(await wrap('kek/one')).toBe('permission_denied denied_by_rule')
    await owner.addRule({ ...mine, procedures: ['wrap:source'], paths: ['data/**'] })
    expect(await wrap('data/one')).toBe('done')
    expect(await wrap('kek/one')).toBe('permission_denied denied_by_rule')
  })
})

describe('what this version does not know', () => {
  it('denies: a rule that names it lets nothing else count, and nobody in', async () => {
    for (const unknown of [
      { procedures: ['teleport'] },
      { formats: ['sshsig2'] },
      { effect: 'allow-once' },
      { until: 'May' },
      { peers: ['@'] },
    ]) {
      await using all = await guarded()
      const known = { id: 'r1', peers: [CI.peer], procedures: ['sign'], paths: ['**'] }
      const rules = [
        { ...known, effect: 'allow' },
        { ...known, id: 'r2', effect: 'allow', ...unknown },
      ]
      writeRules(all, encode({ next: 3, rules }))
      await all.guard.owner.lock()
      await expect(unlock(all.guard.owner)).rejects.toMatchObject({ code: 'data_loss' })
      expect(all.vault.state).toBe('locked')
    }
  })

  it('denies: a procedure, a version or a format that a request names', async () => {
    await using all = await guarded()
    const { network, owner } = all.guard
    await owner.addRule({ ...SIGN, peers: ['known'], effect: 'allow' })
    const message = new Uint8Array(1)
    for (const one of [
      step('teleport', { key: 'release/app' }),
      { ...step('sign', { key: 'release/app', message }), version: 2 },
      step('sign', { key: 'release/app', message, as: { format: 'sshsig2' } }),
      step('sign', { key: 'release/app', message, mode: 'fast' }),
    ]) {
      const answer = await network.submit(CI, { ...signing(''), steps: [one] })
      expect(answer).toMatchObject({ state: 'failed', ran: 'no' })
    }
  })
})

describe('the same request again, once it was answered', () => {
  it('gets the same answer and a receipt of it, also where nothing else is written, and harms nobody', async () => {
    await using all = await guarded()
    const { network, owner } = all.guard
    await owner.addRule({ ...SIGN, effect: 'allow' })
    const request = signing('x', 'release/app', { receipt: true })
    const answers = [await network.submit(CI, request)]
    answers.push(await network.submit(CI, request))
    // Twice in one commit, beside another.
    const other = signing('y', 'release/app', { receipt: true })
    const together = [request, other, request].map((one) => network.submit(CI, one))
    const [again, one, twice] = await Promise.all(together)
    if (again === undefined || one === undefined || twice === undefined)
      throw new Error('no answer')
    answers.push(again, twice)
    const leaves = answers.map((answer) => {
      if (answer.state !== 'done' || answer.receipt === undefined) throw new Error('no receipt')
      const { leaf, leafBytes, index, size, path, head } = decodeReceipt(answer.receipt)
      expect(
        isInTree(head.receipts ?? new Uint8Array(), leafBytes, { index, size }, path, sha256),
      ).toBe(true)
      expect(leaf.result).toEqual(sha256(encode(answer.outputs)))
      return leafBytes
    })
    for (const leaf of leaves) expect(leaf).toEqual(leaves[0])
    expect(told(one)).toBe('done')
    expect((await owner.verifyAudit()).faults).toEqual([])
  })
})

describe('a request', () => {
  it('is that of whoever asks, whatever else stands in it', async () => {
    await using all = await guarded()
    await all.guard.owner.addRule({ ...SIGN, effect: 'allow' })
    const forged = { ...signing('x'), peer: CI.peer, connection: CI.connection }
    expect(told(await all.guard.network.submit(BOX, forged))).toContain('denied_by_rule')
  })

  it('that waits is carried out as it was asked, whatever becomes of the memory it came in', async () => {
    await using all = await guarded()
    const { network, owner } = all.guard
    await owner.addRule({ ...SIGN, effect: 'ask' })
    const message = encodeUtf8('pay 1')
    const as = { format: 'sshsig', namespace: 'file' }
    const request = { ...signing(''), steps: [step('sign', { key: 'release/app', message, as })] }
    expect(told(await network.submit(CI, request))).toBe('pending')
    message.set(encodeUtf8('pay 9'))
    as.namespace = 'other'
    const [approval] = await allApprovals(owner)
    await owner.decide([approval?.boundHash ?? new Uint8Array()], 'once')
    const answer = await network.wait(CI, request.id)
    const signature = answer.state === 'done' ? answer.outputs[0]?.['signature'] : undefined
    const verified = await owner.run([
      step('verify', {
        key: 'release/app',
        message: encodeUtf8('pay 1'),
        signature,
        as: { format: 'sshsig', namespace: 'file' },
      }),
    ])
    expect(verified.outputs).toEqual([{ valid: true }])
  })
})
