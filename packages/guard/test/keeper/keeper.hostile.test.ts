import { randomBytes } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { MessageChannel } from 'node:worker_threads'
import type { MessagePort, Worker } from 'node:worker_threads'

import { createVault, sealTo } from '@stronghold/vault'
import { afterAll, describe, expect, it } from 'vitest'

import { allApprovals } from '../../src/all-approvals.ts'
import type { Answer } from '../../src/doors.ts'
import { openKeeper } from '../../src/keeper/client.ts'
import { encodeMessage, packTurn } from '../../src/keeper/messages.ts'
import { networkMethods } from '../../src/keeper/network-methods.ts'
import { OWNER_METHODS } from '../../src/keeper/owner-methods.ts'
import { PortCaller, servePort } from '../../src/keeper/port.ts'
import type { KeeperSeams, Thread } from '../../src/keeper/start.ts'
import { DEFAULT_KEEPER_LIMITS } from '../../src/limits.ts'
import type { KeeperLimits } from '../../src/limits.ts'
import { CI, guarded, PASSPHRASE, SIGN, signing, step, STRANGER, told } from '../guard-of.ts'
import { home, kept, KeeperThreads, OWN_THREAD, unlock } from './keeper-of.ts'

const threads = new KeeperThreads()
afterAll(() => threads.stop())

/** Seams that show every message on the network port and on the owner's, both ways. */
function recording(inner: KeeperSeams): { seams: KeeperSeams; heard: Uint8Array[] } {
  const heard: Uint8Array[] = []
  const relay = (port: MessagePort): MessagePort => {
    const { port1, port2 } = new MessageChannel()
    const pass = (from: MessagePort, to: MessagePort): void => {
      from.on('message', (message: Uint8Array) => {
        heard.push(Uint8Array.from(message))
        to.postMessage(message)
      })
      from.on('close', () => {
        to.close()
      })
    }
    pass(port, port1)
    pass(port1, port)
    return port2
  }
  const thread = (data: Parameters<NonNullable<KeeperSeams['thread']>>[0]): Thread => {
    const [network, owner] = [relay(data.network), relay(data.owner)]
    const started = inner.thread?.({ ...data, network, owner }, [network, owner])
    if (started === undefined) throw new Error('no thread')
    return started
  }
  return { seams: { thread }, heard }
}

/** Finds bytes in messages, as they are and as text. */
function finds(heard: readonly Uint8Array[], secret: Uint8Array): boolean {
  const all = Buffer.concat(heard)
  const bytes = Buffer.from(secret)
  const forms = [bytes, bytes.toString('hex'), bytes.toString('base64').slice(0, 40)]
  return forms.some((form) => all.includes(form))
}

describe('the network port', () => {
  it('knows no message that unlocks, approves, or changes rules or peers', async () => {
    await using all = await guarded()
    const { port1, port2 } = new MessageChannel()
    const served = servePort(port2, networkMethods(all.guard.network), DEFAULT_KEEPER_LIMITS)
    const port = new PortCaller(port1, DEFAULT_KEEPER_LIMITS)
    const before = await all.guard.owner.auditEntries()
    const others = ['constructor', '__proto__', 'toString', 'close', 'owner', 'network', '']
    for (const name of [...Object.keys(OWNER_METHODS), ...others]) {
      for (const args of [[], [CI, new Uint8Array(32)], [CI.peer, true]]) {
        await expect(port.call(name, args), name).rejects.toMatchObject({ code: 'unimplemented' })
      }
    }
    expect(await all.guard.owner.auditEntries()).toEqual(before)
    served.close()
  })

  it('drops what it cannot read, and goes on', async () => {
    await using all = await guarded()
    const { port1, port2 } = new MessageChannel()
    const served = servePort(port2, networkMethods(all.guard.network), DEFAULT_KEEPER_LIMITS)
    const call = encodeMessage({ kind: 'call', id: 9, method: 'standing', args: [CI] })
    const junk: unknown[] = [null, 7, 'x', {}, [], new ArrayBuffer(9), packTurn([new Uint8Array()])]
    for (let i = 0; i < 500; i++) junk.push(new Uint8Array(randomBytes(i % 64)))
    for (let i = 0; i < call.byteLength; i++) junk.push(packTurn([call.subarray(0, i)]))
    for (const message of junk) port1.postMessage(message)
    const port = new PortCaller(port1, DEFAULT_KEEPER_LIMITS)
    for (const args of [[], [7], [{ peer: 1, connection: '' }], ['x', 'y']]) {
      for (const method of ['submit', 'wait', 'acknowledge', 'pair', 'list', 'standing']) {
        await expect(port.call(method, args)).rejects.toMatchObject({ code: 'invalid_argument' })
      }
    }
    expect(await port.call('standing', [CI])).toBe('known')
    served.close()
  })

  it('carries what one turn says in one message, answers in one for each half, and nothing that lies beside it in memory', async () => {
    const { seams, heard } = recording(threads)
    await using all = await kept({}, seams)
    await all.guard.owner.addRule({ ...SIGN, effect: 'allow' })
    // Small buffers share their memory: what is next to one belongs to somebody else.
    const neighbour = Buffer.from('somebody else’s secret')
    const id = Buffer.from(randomBytes(16))
    const before = heard.length
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        all.guard.network.submit(
          CI,
          signing(`${i}`, 'release/app', { id: Buffer.from([...id.subarray(0, 15), i]) }),
        ),
      ),
    )
    expect(new Set(answers.map(told))).toEqual(new Set(['done']))
    expect(heard.length - before).toBe(3)
    expect(finds(heard, neighbour)).toBe(false)
  })

  it('with 1,000 calls without an answer answers them all', async () => {
    await using all = await kept(
      { limits: { maxPendingPerPeer: 1000, maxPendingTotal: 1000 } },
      threads,
    )
    await all.guard.owner.addRule({ ...SIGN, effect: 'ask' })
    const requests = Array.from({ length: 500 }, (_, i) => signing(`${i}`))
    const submitted = requests.map((request) => all.guard.network.submit(CI, request))
    expect(new Set((await Promise.all(submitted)).map(told))).toEqual(new Set(['pending']))
    const waiting = [...requests, ...requests].map(({ id }) => all.guard.network.wait(CI, id))
    const approvals = await allApprovals(all.guard.owner)
    const hashes = approvals.map(({ boundHash }) => boundHash)
    await all.guard.owner.decide(hashes, 'deny')
    const answers = new Set((await Promise.all(waiting)).map(told))
    expect(answers).toEqual(new Set(['permission_denied denied_by_person']))
  })

  it.each([
    ['maxCalls', { maxCalls: 2 }],
    ['maxCallBytes', { maxCallBytes: 700 }],
  ] satisfies [string, Partial<KeeperLimits>][])(
    '%s: one more is refused before it is sent, and calls go on afterwards',
    async (_, limits) => {
      await using all = await kept({ limits }, threads)
      await all.guard.owner.addRule({ ...SIGN, effect: 'allow' })
      const submit = (): Promise<Answer> => all.guard.network.submit(CI, signing('x'.repeat(60)))
      const answers = await Promise.all([submit(), submit(), submit()])
      expect(answers.map(told)).toEqual(['done', 'done', 'resource_exhausted'])
      expect(answers[2]).toMatchObject({ ran: 'no' })
      expect(told(await submit())).toBe('done')
    },
  )

  it('maxWaits: one more is refused; waits take no place from other calls', async () => {
    await using all = await kept({ limits: { maxWaits: 2, maxCalls: 1 } }, threads)
    await all.guard.owner.addRule({ ...SIGN, effect: 'ask' })
    const { network } = all.guard
    const request = signing('x')
    await network.submit(CI, request)
    const stop = new AbortController()
    const waits = [1, 2, 3].map(() => network.wait(CI, request.id, { signal: stop.signal }))
    expect(told((await waits[2])!)).toBe('resource_exhausted')
    expect(await network.standing(CI)).toBe('known')
    stop.abort()
    expect((await Promise.all(waits.slice(0, 2))).map(told)).toEqual(['pending', 'pending'])
    expect(told(await network.wait(CI, request.id, { signal: AbortSignal.abort() }))).toBe(
      'pending',
    )
  })
})

describe('the thread', () => {
  it('that is killed answers all that waits, says so, and leaves the vault whole', async () => {
    let worker: Worker | undefined
    const { at: _, ...init } = await home()
    const keeper = await openKeeper(init, {
      thread: (data, transferList) => {
        worker = OWN_THREAD.thread?.(data, transferList) as Worker
        return worker
      },
    })
    await unlock(keeper.owner)
    await keeper.owner.run([step('generate', { to: 'release/app', type: 'ed25519' })])
    await keeper.owner.addPeer(CI.peer, 'ci')
    await keeper.owner.addRule({ ...SIGN, effect: 'ask' })
    const request = signing('x')
    await keeper.network.submit(CI, request)
    const waiting = [
      keeper.network.wait(CI, request.id),
      ...Array.from({ length: 64 }, () => keeper.network.submit(CI, signing('y'))),
    ]
    const cuts = keeper.network.cutOff({ signal: AbortSignal.timeout(10_000) })
    const cut = cuts[Symbol.asyncIterator]().next()
    const asked = keeper.owner.rules().catch((error: unknown) => error)
    await worker?.terminate()
    for (const answer of await Promise.all(waiting)) {
      if (answer.state === 'pending') continue
      expect(answer).toMatchObject({ state: 'failed', code: 'unavailable', ran: 'maybe' })
    }
    expect(await waiting[0]).toMatchObject({ code: 'unavailable' })
    expect(await keeper.ended).toMatchObject({ code: 'unavailable' })
    expect(await cut).toMatchObject({ done: true })
    await asked
    expect(told(await keeper.network.submit(CI, request))).toBe('unavailable')
    await expect(keeper.network.standing(CI)).rejects.toMatchObject({ code: 'unavailable' })
    await expect(keeper.owner.status()).rejects.toMatchObject({ code: 'unavailable' })
    await keeper.close()

    // With the clock of before: by another its deadline may be over.
    await using again = await openKeeper(init, OWN_THREAD)
    await unlock(again.owner)
    expect(await again.owner.verifyAudit()).toMatchObject({ faults: [] })
    expect(told(await again.network.submit(CI, request))).toBe('pending')
  })

  it('that cannot open its vault says why, and its home can be opened later', async () => {
    const { at, ...init } = await home()
    const nowhere = openKeeper({ ...init, vault: { at: `${at}/none` } }, threads)
    await expect(nowhere).rejects.toMatchObject({ name: 'VaultError' })
    const missing = { by: 'key-file', path: `${at}/none` } as const
    await expect(openKeeper({ ...init, unlock: missing }, threads)).rejects.toMatchObject({
      name: 'VaultError',
    })
    const path = `${at}/${'x'.repeat(120)}`
    const long = openKeeper({ ...init, socket: { ...init.socket!, path } }, threads)
    await expect(long).rejects.toThrow('where a socket may have 103')
    await using keeper = await openKeeper(init, threads)
    await expect(openKeeper(init, threads)).rejects.toMatchObject({ name: 'VaultError' })
    expect(await keeper.network.standing(STRANGER)).toBe('unknown')
  })

  it('once closed answers as unavailable, and closing again does nothing', async () => {
    const { at: _, ...init } = await home()
    const keeper = await openKeeper(init, threads)
    await Promise.all([keeper.close(), keeper.close()])
    await keeper.close()
    expect(await keeper.ended).toBeUndefined()
    expect(await keeper.network.submit(CI, signing('x'))).toMatchObject({
      code: 'unavailable',
      ran: 'no',
    })
  })

  it('sees a secret, the ports never do: imported, used, sealed on its way', async () => {
    const { seams, heard } = recording(OWN_THREAD)
    await using all = await kept({}, seams)
    const seed = new Uint8Array(randomBytes(32))
    for (const [index, owner] of [all.guard.owner, all.owner()].entries()) {
      const secret = { sealed: sealTo(await owner.boxKey(), seed) }
      const to = `release/planted${index}`
      await owner.run([step('import', { to, as: { format: 'raw', type: 'ed25519' }, secret })])
    }
    await all.guard.owner.addRule({ ...SIGN, effect: 'allow' })
    for (let i = 0; i < 8; i++) {
      const answer = await all.guard.network.submit(CI, signing(`${i}`, `release/planted${i % 2}`))
      expect(told(answer)).toBe('done')
    }
    await all.guard.network.list(CI)
    expect(finds(heard, new TextEncoder().encode('SSH SIGNATURE'))).toBe(true)
    expect(finds(heard, seed)).toBe(false)
    expect(finds(heard, PASSPHRASE)).toBe(false)
  })

  it('computes a slow key and signs beside it while this one stays free', async ({ annotate }) => {
    const { at, ...init } = await home()
    // Some 1,000 ms on one core in the long run.
    const kdf = { memoryKiB: 128 * 1024, passes: process.env['STRONGHOLD_LONG'] === '1' ? 11 : 2 }
    const slow = await createVault({
      at: `${at}/slow`,
      credential: { passphrase: PASSPHRASE },
      kdf,
    })
    await slow.close()
    await using keeper = await openKeeper({ ...init, vault: { at: `${at}/slow` } }, OWN_THREAD)
    await unlock(keeper.owner)
    await keeper.owner.run([step('generate', { to: 'release/app', type: 'ed25519' })])
    await keeper.owner.addPeer(CI.peer, 'ci')
    await keeper.owner.addRule({ ...SIGN, effect: 'allow' })
    const passphrase = { sealed: sealTo(await keeper.owner.boxKey(), PASSPHRASE) }
    const present = { by: 'passphrase', passphrase } as const
    let computing = true
    const started = performance.now()
    const added = keeper.owner.addUnlocker(present, present, 'second').finally(() => {
      computing = false
    })
    const lag = monitorEventLoopDelay({ resolution: 1 })
    lag.enable()
    let signed = 0
    const worker = async (): Promise<void> => {
      while (computing) {
        const request = signing('x')
        expect(told(await keeper.network.submit(CI, request))).toBe('done')
        await keeper.network.acknowledge(CI, [request.id])
        signed++
      }
    }
    await Promise.all(Array.from({ length: 64 }, worker))
    await added
    lag.disable()
    const ms = (nanoseconds: number): string => `${(nanoseconds / 1e6).toFixed(1)} ms`
    await annotate(
      `lag of the main thread: p50 ${ms(lag.percentile(50))}, p99 ${ms(lag.percentile(99))}, most ${ms(lag.max)}; ` +
        `${signed} signatures in ${Math.round(performance.now() - started)} ms`,
    )
    expect(signed).toBeGreaterThan(0)
  })
})
