/** Requests of a peer that is known, while connections break, peers go and come back, and people take their time. */
import { toHex } from '@stronghold/core'
import { allApprovals } from '@stronghold/guard'
import type { Answer } from '@stronghold/guard'
import { CERTIFICATE_ENVELOPE, decodeHead } from '@stronghold/guard/proofs'
import { pub, random, sign, verify } from '@stronghold/vault/catalog'
import { expect, test } from 'vitest'

import { connectVault, sshsigDigest } from '../src/index.ts'
import { ASK, asked, EVERYTHING, failure, identity, served, SIGN, text } from './served.ts'
import type { Served } from './served.ts'

const KEY = 'release/app'
const ID = '00112233445566778899aabbccddeeff'
const SIGNING = { key: KEY, message: text('v2.4.0') }

async function headOf({ guard }: Served): Promise<Uint8Array> {
  const { head } = await guard.owner.status()
  if (head === undefined) throw new Error('locked')
  return head
}

test('a request made again is the same request, and gets the same bytes', async () => {
  await using all = await served({ rules: [EVERYTHING] })
  const { remote } = all
  const asking = { length: 32 }
  const once = await remote.run(random, asking, { requestId: ID })
  expect(await remote.run(random, asking, { requestId: ID })).toEqual(once)
  await all.away.disconnect(all.home.peer)
  expect(await remote.run(random, asking, { requestId: ID })).toEqual(once)
  await all.stop()
  await all.start()
  expect(await remote.run(random, asking, { requestId: ID })).toEqual(once)
  expect(await remote.run(random, asking)).not.toEqual(once)
})

test('another request under the same id is a conflict', async () => {
  await using all = await served({ rules: [EVERYTHING] })
  const { remote } = all
  await remote.run(random, { length: 32 }, { requestId: ID })
  expect(await failure(remote.run(random, { length: 31 }, { requestId: ID }))).toMatchObject({
    code: 'failed_precondition',
    reason: 'conflict',
    ran: 'no',
  })
})

test('a person approves while the connection is cut, and the answer comes', async () => {
  await using all = await served({ rules: [ASK] })
  const pending = await all.remote.submit(sign, SIGNING, { reason: 'v2.4.0' })
  expect(pending.state).toBe('pending')
  expect(pending.expiresAtMs).toBeGreaterThan(Date.now())
  const result = pending.result()
  const { boundHash, reason } = await asked(all)
  expect(reason).toBe('v2.4.0')
  await all.home.disconnect(all.away.peer)
  await all.guard.owner.decide([boundHash], 'once')
  const { signature } = await result
  expect(new TextDecoder().decode(signature)).toContain('BEGIN SSH SIGNATURE')
  expect(pending.state).toBe('done')
})

test('the server restarts while somebody waits for a person', async () => {
  await using all = await served({ rules: [ASK] })
  const result = all.remote.run(sign, SIGNING)
  const { boundHash } = await asked(all)
  await all.stop()
  await all.start()
  await all.guard.owner.decide([boundHash], 'once')
  expect((await result).signature.byteLength).toBeGreaterThan(0)
})

test('a request that was taken is asked about again until the server is back', async () => {
  await using all = await served({ rules: [ASK] })
  const pending = await all.remote.submit(sign, SIGNING)
  const { boundHash } = await asked(all)
  await all.stop()
  const tried = all.away.events({ types: ['dialFailed'] })
  const result = pending.result()
  // What was never sent is not waited for.
  expect(await failure(all.remote.run(sign, SIGNING))).toMatchObject({
    code: 'unavailable',
    ran: 'no',
  })
  for await (const _ of tried) break
  await all.start()
  await all.guard.owner.decide([boundHash], 'once')
  expect((await result).version).toBe(1)
})

test('a vault that is locked while somebody waits answers once it is unlocked', async () => {
  await using all = await served({ rules: [ASK] })
  const result = all.remote.run(sign, SIGNING)
  await asked(all)
  await all.guard.owner.lock()
  // Also whoever comes meanwhile.
  const pending = await all.remote.submit(sign, { ...SIGNING, message: text('v2.4.1') })
  expect(pending.state).toBe('pending')
  const later = pending.result()
  await all.stop()
  await all.start()
  const approvals = await allApprovals(all.guard.owner)
  expect(approvals).toHaveLength(2)
  await all.guard.owner.decide(
    approvals.map(({ boundHash }) => boundHash),
    'once',
  )
  expect((await result).signature.byteLength).toBeGreaterThan(0)
  expect((await later).signature.byteLength).toBeGreaterThan(0)
})

test('what a rule allows and what a person denies while its peer is away, once the vault is unlocked', async () => {
  await using all = await served({ rules: [{ ...ASK, paths: ['ask/**'] }, SIGN] })
  await all.guard.owner.run([
    { procedure: 'generate', version: 1, input: { to: 'ask/key', type: 'ed25519' } },
  ])
  await all.guard.owner.lock()
  const allowed = await all.remote.submit(sign, SIGNING)
  const denied = await all.remote.submit(sign, { ...SIGNING, key: 'ask/key' })
  expect([allowed.state, denied.state]).toEqual(['pending', 'pending'])
  await all.stop()
  await all.start()
  const { boundHash } = await asked(all)
  await all.guard.owner.decide([boundHash], 'deny')
  expect((await allowed.result()).signature.byteLength).toBeGreaterThan(0)
  expect(await failure(denied.result())).toMatchObject({ reason: 'denied_by_person' })
})

test('a requester goes, and another life of it comes back for the answer', async () => {
  const own = { identity: identity(), listen: [] }
  await using all = await served({ rules: [ASK], away: own })
  const { id } = await all.remote.submit(sign, SIGNING)
  all.remote.close()
  await all.away.stop()
  const { boundHash } = await asked(all)
  await all.guard.owner.decide([boundHash], 'once')
  const again = await all.network.createNode(own)
  await using remote = connectVault(again, all.home.addresses)
  const pending = await remote.resume(id)
  expect(await pending.result()).toMatchObject([{ version: 1 }])
  expect(await failure(remote.resume(ID))).toMatchObject({ code: 'not_found' })
})

test('a receipt of an earlier life is verified without the inputs, and an answer that arrived is forgotten', async () => {
  await using all = await served({ rules: [SIGN] })
  const options = { receipt: true, requestId: ID }
  const first = await all.remote.submit(sign, SIGNING, options)
  const output = await first.result()
  await using remote = connectVault(all.away, all.home.addresses)
  const back = await remote.resume(ID, { verify: true })
  expect(await back.result()).toEqual([output])
  expect(back.receipt).toEqual(first.receipt)
  const stranger = await all.network.createNode()
  const { domain, payloadType } = CERTIFICATE_ENVELOPE
  const kind = { domain, payloadType: text(payloadType) }
  const payload = await all.guard.owner.certificateRequest()
  await all.guard.owner.setCertificate(await stranger.sealEnvelope(kind, payload))
  const forged = await remote.resume(ID, { verify: true })
  expect(await failure(forged.result())).toMatchObject({ reason: 'receipt_invalid' })
  await (await remote.resume(ID)).result()
  await remote.acknowledge(ID)
  expect(await failure(remote.resume(ID))).toMatchObject({ code: 'not_found' })
})

test('giving up to wait leaves a request pending; taking it back does not', async () => {
  await using all = await served({ rules: [ASK] })
  const control = new AbortController()
  const pending = await all.remote.submit(sign, SIGNING, { signal: control.signal })
  const result = pending.result()
  await asked(all)
  const reason = new Error('enough')
  control.abort(reason)
  await expect(result).rejects.toBe(reason)
  await asked(all)
  const back = await all.remote.resume(pending.id)
  expect(back.state).toBe('pending')
  expect(await back.cancel()).toBe(true)
  expect(await failure(back.result())).toMatchObject({ code: 'canceled', reason: 'canceled' })
  expect(await allApprovals(all.guard.owner)).toEqual([])
})

test('a vault that is locked has not decided: what waits is taken back once it is unlocked', async () => {
  await using all = await served({ rules: [ASK] })
  const { id } = await all.remote.submit(sign, SIGNING)
  await all.guard.owner.lock()
  const noted = await all.remote.submit(sign, { ...SIGNING, message: text('v2.4.1') })
  const before = await all.remote.resume(id)
  await expect(before.cancel()).rejects.toMatchObject({ reason: 'locked' })
  await all.stop()
  await all.start()
  expect(await allApprovals(all.guard.owner)).toHaveLength(2)
  expect(await before.cancel()).toBe(true)
  expect(before.state).toBe('canceled')
  // A note that its peer does not show again is taken back all the same.
  const back = await all.remote.resume(noted.id)
  expect(await failure(back.result())).toMatchObject({ reason: 'locked' })
  expect(await back.cancel()).toBe(true)
  expect(await allApprovals(all.guard.owner)).toEqual([])
})

test('a denial by a person, by a rule, and nobody in time are told apart', async () => {
  await using all = await served({ rules: [ASK] })
  const first = all.remote.run(sign, SIGNING)
  const denied = failure(first)
  const { boundHash } = await asked(all)
  await all.guard.owner.decide([boundHash], 'deny')
  expect(await denied).toMatchObject({ code: 'permission_denied', reason: 'denied_by_person' })
  const late = failure(all.remote.run(sign, SIGNING, { timeoutMs: 300 }))
  expect(await late).toMatchObject({ code: 'deadline_exceeded', reason: 'expired' })
  expect(await failure(all.remote.run(random, { length: 1 }))).toMatchObject({
    code: 'permission_denied',
    reason: 'denied_by_rule',
    ran: 'no',
  })
})

test('a rule that tells says which one it was', async () => {
  const deny = { ...ASK, effect: 'deny', note: 'not on Fridays', tell: true } as const
  await using all = await served({ rules: [deny] })
  await expect(all.remote.run(sign, SIGNING)).rejects.toMatchObject({
    rule: { id: 'r1', note: 'not on Fridays' },
  })
})

test('a file is hashed here where its signature is over the hash, and signed as a whole', async () => {
  await using all = await served({ rules: [EVERYTHING] })
  const message = new Uint8Array(10 * 1024 * 1024).fill(0x61)
  const { signature } = await all.remote.run(sign, { key: KEY, message })
  const as = { format: 'sshsig', namespace: 'file', hash: 'sha512' } as const
  expect(await all.remote.run(verify, { key: KEY, message, signature, as })).toEqual({
    valid: true,
  })
  const pieces = [message.subarray(0, 7), message.subarray(7)]
  const digested = { key: KEY, message: await sshsigDigest(pieces), as: { ...as, digested: true } }
  expect(await all.remote.run(verify, { ...digested, signature })).toEqual({ valid: true })
  expect(await all.remote.run(sign, digested)).toMatchObject({ signature })
  // What has to be seen to be signed is not hashed here.
  const jws = { key: KEY, message, as: { format: 'jws' } } as const
  expect(await failure(all.remote.run(sign, jws))).toMatchObject({ ran: 'no' })
})

test('a receipt comes along and is verified: by the key of the heads, then by the certificate', async () => {
  await using all = await served({ rules: [SIGN] })
  const options = { receipt: true, reason: 'v2.4.0' }
  const first = await all.remote.submit(sign, SIGNING, options)
  await first.result()
  expect(first.receipt).toBeInstanceOf(Uint8Array)
  const { domain, payloadType } = CERTIFICATE_ENVELOPE
  const kind = { domain, payloadType: text(payloadType) }
  const payload = await all.guard.owner.certificateRequest()
  await all.guard.owner.setCertificate(await all.home.sealEnvelope(kind, payload))
  const second = await all.remote.submit(sign, SIGNING, options)
  await second.result()
  expect(second.receipt?.byteLength).toBeGreaterThan(first.receipt?.byteLength ?? 0)
  // Vouched for by somebody else.
  const stranger = await all.network.createNode()
  await all.guard.owner.setCertificate(await stranger.sealEnvelope(kind, payload))
  expect(await failure(all.remote.run(sign, SIGNING, options))).toMatchObject({
    code: 'data_loss',
    reason: 'receipt_invalid',
    ran: 'yes',
  })
})

test('a vault that is an older one than it was is reported, or what it answers is refused', async () => {
  let old: Uint8Array | undefined
  let replay = false
  await using all = await served({
    rules: [EVERYTHING],
    door: (network) => ({
      submit: async (...args) => {
        const answer = await network.submit(...args)
        if (answer.state !== 'done') return answer
        old ??= answer.head
        return replay ? { ...answer, head: old } : answer
      },
    }),
  })
  await all.remote.run(pub, { key: KEY })
  await all.remote.run(random, { length: 1 })
  const { head } = all.remote
  if (head === undefined) throw new Error('no head')
  replay = true
  expect(await failure(all.remote.run(pub, { key: KEY }))).toMatchObject({
    code: 'data_loss',
    reason: 'rolled_back',
  })
  // Known from an earlier life, and told to whoever wants to hear it.
  const told: unknown[] = []
  const onRollback = (rollback: unknown): void => {
    told.push(rollback)
  }
  await using later = connectVault(all.away, all.home.addresses, { head, onRollback })
  expect(await later.run(pub, { key: KEY })).toMatchObject({ version: 1 })
  expect(told).toMatchObject([{ had: decodeHead(head) }])
  expect(later.head).toEqual(head)
})

test('an answer that is not what the procedure gives is none, and what it says stands on one line', async () => {
  const answers: unknown[] = [
    { state: 'done', outputs: [{ version: 1 }], head: new Uint8Array(3) },
    { state: 'failed', code: 'internal', ran: 'maybe', message: 'It\nbroke\u202e.' },
  ]
  await using all = await served({
    door: () => ({ submit: () => Promise.resolve(answers.shift() as Answer) }),
  })
  expect(await failure(all.remote.run(sign, SIGNING))).toMatchObject({
    code: 'data_loss',
    reason: 'bad_answer',
  })
  expect(await failure(all.remote.run(sign, SIGNING))).toEqual({
    code: 'internal',
    reason: undefined,
    ran: 'maybe',
    message: 'Cannot run request: It broke',
  })
  answers.push({ state: 'done', outputs: [{ signature: 'text' }], head: await headOf(all) })
  expect(await failure(all.remote.run(sign, SIGNING))).toMatchObject({
    code: 'data_loss',
    reason: 'bad_answer',
    ran: 'yes',
  })
})

test('firewall and logs see procedures and paths, and no input', async () => {
  await using all = await served({ rules: [EVERYTHING] })
  const events = all.home.events({ types: ['request'] })
  await all.remote.run(sign, { ...SIGNING, as: { format: 'raw' } })
  for await (const event of events) {
    expect(event).toMatchObject({ facts: { procedures: ['sign'], paths: [KEY] } })
    expect(Object.keys((event as { facts: object }).facts)).toEqual(['procedures', 'paths'])
    break
  }
})

test('what arrived is acknowledged, but not where the caller may ask again', async () => {
  const ids: string[] = []
  await using all = await served({
    rules: [EVERYTHING],
    door: (network) => ({
      acknowledge: async (asker, some) => {
        ids.push(...some.map(toHex))
        await network.acknowledge(asker, some)
      },
    }),
  })
  const pending = await all.remote.submit(random, { length: 1 })
  await all.remote.run(random, { length: 1 }, { requestId: ID })
  expect(ids).toEqual([pending.id])
  await all.remote.submit(random, { length: 1 })
  all.remote.close()
  await expect.poll(() => ids.length).toBe(2)
  expect(ids).not.toContain(ID)
  expect(await failure(all.remote.run(random, { length: 1 }))).toMatchObject({
    code: 'failed_precondition',
  })
})

test('a thousand requests go by one prompt that nobody answers', async () => {
  await using all = await served({ rules: [ASK, { ...EVERYTHING, procedures: ['pub'] }] })
  const waiting = await all.remote.submit(sign, SIGNING)
  for (let batch = 0; batch < 10; batch++) {
    const some = Array.from({ length: 100 }, () => all.remote.run(pub, { key: KEY }))
    expect(await Promise.all(some)).toHaveLength(100)
  }
  expect(waiting.state).toBe('pending')
  await asked(all)
})

test('over a relay that carries little, what fits is done and what does not ends in a clear error', async () => {
  const KIB = 1024
  await using all = await served({ rules: [EVERYTHING] })
  const relay = await all.network.createNode({
    relay: { serve: true },
    limits: { maxRelayCircuitBytes: 32 * KIB },
  })
  await all.home.listen(`${relay.addresses[0]}/p2p-circuit`)
  const relayed = all.home.addresses.filter((address) => address.includes('p2p-circuit'))
  const away = await all.network.createNode({ listen: [] })
  await all.guard.owner.addPeer(away.peer, 'far')
  await using remote = connectVault(away, relayed)
  for (let i = 0; i < 20; i++) {
    expect((await remote.run(random, { length: KIB })).bytes).toHaveLength(KIB)
  }
  const message = new Uint8Array(48 * KIB)
  expect(
    await failure(remote.run(sign, { key: KEY, message, as: { format: 'raw' } })),
  ).toMatchObject({ code: 'resource_exhausted', reason: 'relay_bytes', ran: 'no' })
  expect(await failure(remote.run(random, { length: 48 * KIB }))).toMatchObject({
    code: 'resource_exhausted',
    reason: 'relay_bytes',
  })
})

test('over TCP: the same', async () => {
  await using all = await served({ rules: [ASK], over: 'tcp' })
  const result = all.remote.run(sign, SIGNING)
  const { boundHash } = await asked(all)
  await all.guard.owner.decide([boundHash], 'once')
  expect((await result).version).toBe(1)
})
