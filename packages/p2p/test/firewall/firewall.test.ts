import { manualClock } from '@stronghold/testkit'
import type { ManualClock } from '@stronghold/testkit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { Firewall } from '../../src/firewall/firewall.ts'
import type { AskRequest, FirewallInit, NewPeer, Rule } from '../../src/firewall/rules.ts'
import type { PeerId } from '../../src/identity.ts'
import { later, peerOf, requestOf, settle } from './facts.ts'

const LIMITS = { maxAsks: 3, maxAsksPerPeer: 2, askTimeoutMs: 30_000, maxNewPeerVerdicts: 2 }
const ANN = peerOf('Ann')

let clock: ManualClock
let firewalls: Firewall[]
let blocked: Set<PeerId>

function firewallOf(init: FirewallInit): Firewall {
  const firewall = new Firewall(init, {
    clock,
    limits: LIMITS,
    parsePeer: peerOf,
    isBlocked: (peer) => blocked.has(peer),
  })
  firewalls.push(firewall)
  return firewall
}

/** An `onAsk` whose answers the test gives. */
function asked(): {
  onAsk: NonNullable<FirewallInit['onAsk']>
  asks: (AskRequest & { answer(a: unknown): void })[]
} {
  const asks: (AskRequest & { answer(a: unknown): void })[] = []
  const onAsk = (request: AskRequest): Promise<'allow' | 'deny'> => {
    const { promise, resolve } = later<unknown>()
    asks.push({ ...request, answer: resolve })
    return promise as Promise<'allow' | 'deny'>
  }
  return { onAsk, asks }
}

beforeEach(() => {
  clock = manualClock()
  firewalls = []
  blocked = new Set()
})

afterEach(() => {
  for (const firewall of firewalls) {
    firewall.close()
    expect(firewall.waiting).toBe(0)
  }
  expect(clock.timers).toBe(0)
})

describe('without asks', () => {
  test('inbound is denied and outbound allowed when nobody said anything', () => {
    const firewall = firewallOf({})
    expect(firewall.inbound(requestOf('Ann'))).toEqual({ verdict: 'deny', by: 'default' })
    expect(firewall.outbound(requestOf('Ann'))).toEqual({ verdict: 'allow', by: 'default' })
  })

  test('a blocked peer is denied in both directions whatever its rule', () => {
    const firewall = firewallOf({ inbound: { peers: { Ann: 'allow' } } })
    blocked.add(ANN)
    expect(firewall.inbound(requestOf('Ann'))).toEqual({ verdict: 'deny', by: 'block' })
    expect(firewall.outbound(requestOf('Ann'))).toEqual({ verdict: 'deny', by: 'block' })
    expect(firewall.firstLook('inbound', ANN)).toEqual({ verdict: 'deny', by: 'block' })
  })

  test('what is set holds from the next request on, for its direction only', () => {
    const firewall = firewallOf({})
    firewall.set('inbound', ANN, 'allow')
    expect(firewall.inbound(requestOf('Ann'))).toEqual({ verdict: 'allow', by: 'peer' })
    firewall.set('outbound', 'fallback', 'deny')
    expect(firewall.outbound(requestOf('Ann'))).toEqual({ verdict: 'deny', by: 'fallback' })
    expect([firewall.get('inbound', ANN), firewall.get('outbound', ANN)]).toEqual([
      'allow',
      undefined,
    ])
    expect(firewall.get('outbound', 'fallback')).toBe('deny')
    expect(firewall.delete('inbound', ANN)).toBe(true)
    expect(firewall.delete('inbound', ANN)).toBe(false)
    expect(firewall.delete('outbound', 'fallback')).toBe(true)
    expect(firewall.delete('outbound', 'fallback')).toBe(false)
    expect(firewall.inbound(requestOf('Ann'))).toEqual({ verdict: 'deny', by: 'default' })
    expect(firewall.outbound(requestOf('Ann'))).toEqual({ verdict: 'allow', by: 'default' })
  })

  test('the first look denies where no request could be allowed, and only there', () => {
    const firewall = firewallOf({
      inbound: { peers: { Bob: 'deny', Cid: 'ask', Dan: () => 'deny' } },
    })
    const looks = ['Ann', 'Bob', 'Cid', 'Dan'].map(
      (p) => firewall.firstLook('inbound', peerOf(p)).verdict,
    )
    expect(looks).toEqual(['deny', 'deny', 'ask', 'ask'])
    expect(firewall.firstLook('outbound', ANN).verdict).toBe('allow')
    const meeting = firewallOf({ inbound: { onNewPeer: () => 'deny' } })
    expect(meeting.firstLook('inbound', ANN).verdict).toBe('ask')
    void meeting.inbound(requestOf('Ann'))
    expect(meeting.firstLook('inbound', ANN)).toEqual({ verdict: 'deny', by: 'new-peer' })
  })

  test('misuse throws where it is made', () => {
    const firewall = firewallOf({})
    expect(() => firewall.set('inbound', ANN, 'yes' as Rule)).toThrow(TypeError)
    expect(() => firewall.set('both' as 'inbound', ANN, 'allow')).toThrow(TypeError)
    expect(() => firewall.set('inbound', 'ann' as PeerId, 'allow')).toThrow(SyntaxError)
    expect(() => firewallOf({ inbuond: {} } as FirewallInit)).toThrow(
      'unknown key "inbuond" in firewall',
    )
    expect(() => firewallOf({ inbound: { onAsk: 1 } } as FirewallInit)).toThrow(TypeError)
    expect(() => firewallOf({ onAsk: 'allow' } as never)).toThrow(TypeError)
  })

  test('rules are exported and restored, all or nothing', () => {
    const firewall = firewallOf({
      inbound: { peers: { Ann: 'allow' } },
      outbound: { fallback: 'ask' },
    })
    const exported = firewall.export()
    const other = firewallOf({ inbound: { peers: { Bob: 'allow' }, fallback: 'allow' } })
    expect(() => {
      other.restore({ ...exported, outbound: {} })
    }).toThrow(TypeError)
    expect(other.get('inbound', peerOf('Bob'))).toBe('allow')
    other.restore(exported)
    expect(other.export()).toEqual(exported)
    expect(other.inbound(requestOf('Bob'))).toEqual({ verdict: 'deny', by: 'default' })
  })
})

describe('asks', () => {
  test('onAsk sees what a rule sees, and its answer decides', async () => {
    const { onAsk, asks } = asked()
    const firewall = firewallOf({ inbound: { fallback: 'ask' }, onAsk })
    const request = requestOf('Ann', { facts: { name: 'a' } })
    const [allowed, denied] = [firewall.inbound(request), firewall.inbound(request)]
    expect(asks[0]).toMatchObject({ ...request, direction: 'inbound' })
    asks[0]?.answer('allow')
    asks[1]?.answer('deny')
    expect(await allowed).toEqual({ verdict: 'allow', by: 'fallback', asked: 'answered' })
    expect(await denied).toEqual({ verdict: 'deny', by: 'fallback', asked: 'answered' })
    expect(asks[0]?.signal.aborted).toBe(false)
  })

  test('an answer given at once needs no promise', () => {
    const firewall = firewallOf({ inbound: { fallback: 'ask' }, onAsk: () => 'allow' })
    expect(firewall.inbound(requestOf('Ann'))).toEqual({
      verdict: 'allow',
      by: 'fallback',
      asked: 'answered',
    })
  })

  test('without onAsk an ask is a denial', () => {
    const firewall = firewallOf({ inbound: { fallback: 'ask' } })
    expect(firewall.inbound(requestOf('Ann'))).toMatchObject({ verdict: 'deny', asked: 'nobody' })
  })

  test.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
    ['rejects', () => Promise.reject(new Error('no'))],
    ['answers nothing', () => undefined],
    ['answers ask', () => 'ask'],
    ['answers true', () => Promise.resolve(true)],
    ['answers a function', () => () => 'allow'],
    [
      'answers a hostile thenable',
      () => ({
        get then() {
          throw new Error('no')
        },
      }),
    ],
  ])('an onAsk that %s denies', async (_, onAsk) => {
    const firewall = firewallOf({ inbound: { fallback: 'ask' }, onAsk: onAsk as () => 'allow' })
    expect(await firewall.inbound(requestOf('Ann'))).toMatchObject({
      verdict: 'deny',
      asked: 'failed',
    })
  })

  test('no answer in askTimeoutMs denies, aborts the signal and hears no later answer', async () => {
    const { onAsk, asks } = asked()
    const firewall = firewallOf({ inbound: { fallback: 'ask' }, onAsk })
    const answer = firewall.inbound(requestOf('Ann'))
    clock.advance(29_999)
    expect(asks[0]?.signal.aborted).toBe(false)
    clock.advance(1)
    expect(asks[0]?.signal.reason).toMatchObject({ name: 'TimeoutError' })
    asks[0]?.answer('allow')
    expect(await answer).toMatchObject({ verdict: 'deny', asked: 'timeout' })
  })

  test("the request's deadline comes first where it is earlier", async () => {
    const { onAsk, asks } = asked()
    const firewall = firewallOf({ inbound: { fallback: 'ask' }, onAsk })
    const answer = firewall.inbound(requestOf('Ann'), { timeoutMs: 10 })
    clock.advance(10)
    expect(asks[0]?.signal.aborted).toBe(true)
    expect(await answer).toMatchObject({ asked: 'timeout' })
    expect(firewall.inbound(requestOf('Ann'), { timeoutMs: 0 })).toMatchObject({ asked: 'timeout' })
    expect(asks).toHaveLength(1)
  })

  test('a request that is canceled stops asking', async () => {
    const { onAsk, asks } = asked()
    const firewall = firewallOf({ inbound: { fallback: 'ask' }, onAsk })
    const cancel = new AbortController()
    const answer = firewall.inbound(requestOf('Ann'), { signal: cancel.signal })
    cancel.abort(new Error('gone'))
    expect(asks[0]?.signal.reason).toMatchObject({ message: 'gone' })
    expect(await answer).toMatchObject({ verdict: 'deny', asked: 'canceled' })
    expect(firewall.inbound(requestOf('Ann'), { signal: cancel.signal })).toMatchObject({
      asked: 'canceled',
    })
    expect(asks).toHaveLength(1)
  })

  test('maxAsksPerPeer requests of one peer wait, the next is denied', () => {
    const { onAsk, asks } = asked()
    const firewall = firewallOf({ inbound: { fallback: 'ask' }, onAsk })
    for (let i = 0; i < 2; i++) expect(firewall.inbound(requestOf('Ann'))).toBeInstanceOf(Promise)
    expect(firewall.inbound(requestOf('Ann'))).toMatchObject({ verdict: 'deny', asked: 'full' })
    expect(firewall.inbound(requestOf('Bob'))).toBeInstanceOf(Promise)
    expect(asks).toHaveLength(3)
  })

  test('maxAsks requests wait in all, the next is denied; each direction has its own', async () => {
    const { onAsk, asks } = asked()
    const firewall = firewallOf({
      inbound: { fallback: 'ask' },
      outbound: { fallback: 'ask' },
      onAsk,
    })
    for (const peer of ['Ann', 'Bob', 'Cid']) void firewall.inbound(requestOf(peer))
    expect(firewall.inbound(requestOf('Dan'))).toMatchObject({ verdict: 'deny', asked: 'full' })
    expect(firewall.outbound(requestOf('Dan'))).toBeInstanceOf(Promise)
    asks[0]?.answer('deny')
    await settle()
    expect(firewall.inbound(requestOf('Dan'))).toBeInstanceOf(Promise)
    expect(firewall.waiting).toBe(4)
  })

  test('a rule set meanwhile decides at once and ends the question', async () => {
    const { onAsk, asks } = asked()
    const firewall = firewallOf({ inbound: { fallback: 'ask' }, onAsk })
    const [ann, bob] = [firewall.inbound(requestOf('Ann')), firewall.inbound(requestOf('Bob'))]
    firewall.set('inbound', ANN, 'allow')
    expect(asks.map(({ signal }) => signal.aborted)).toEqual([true, false])
    expect(await ann).toEqual({ verdict: 'allow', by: 'peer' })
    firewall.set('inbound', 'fallback', 'deny')
    expect(await bob).toEqual({ verdict: 'deny', by: 'fallback' })
  })

  test('a rule that still says ask leaves the question alone', async () => {
    const { onAsk, asks } = asked()
    const firewall = firewallOf({ inbound: { fallback: 'ask' }, onAsk })
    const answer = firewall.inbound(requestOf('Ann'))
    firewall.set('inbound', ANN, 'ask')
    firewall.set('inbound', 'fallback', 'deny')
    expect(asks).toHaveLength(1)
    asks[0]?.answer('allow')
    expect(await answer).toEqual({ verdict: 'allow', by: 'peer', asked: 'answered' })
  })

  test('a block ends the question, and an answer given after it allows nothing', async () => {
    const { onAsk, asks } = asked()
    const firewall = firewallOf({ inbound: { fallback: 'ask' }, onAsk })
    const [first, second] = [firewall.inbound(requestOf('Ann')), firewall.inbound(requestOf('Bob'))]
    blocked.add(ANN).add(peerOf('Bob'))
    asks[1]?.answer('allow')
    expect(await second).toEqual({ verdict: 'deny', by: 'block' })
    firewall.recheck(ANN)
    expect(await first).toEqual({ verdict: 'deny', by: 'block' })
  })

  test('rules may be set from inside onAsk', async () => {
    const firewall: Firewall = firewallOf({
      inbound: { fallback: 'ask' },
      onAsk: ({ peer }) => {
        firewall.set('inbound', peer, 'deny')
        return 'allow'
      },
    })
    expect(await firewall.inbound(requestOf('Ann'))).toEqual({ verdict: 'deny', by: 'peer' })
  })

  test('rules may be set from an abort listener', async () => {
    const { onAsk, asks } = asked()
    const firewall = firewallOf({ inbound: { fallback: 'ask' }, onAsk })
    const answers = [firewall.inbound(requestOf('Ann')), firewall.inbound(requestOf('Bob'))]
    asks[0]?.signal.addEventListener('abort', () => {
      firewall.set('inbound', 'fallback', 'allow')
    })
    clock.advance(30_000)
    expect([await answers[0], await answers[1]]).toMatchObject([
      { verdict: 'deny' },
      { verdict: 'allow' },
    ])
  })

  test('close() denies what waits and what would have to', async () => {
    const { onAsk, asks } = asked()
    const firewall = firewallOf({
      inbound: { fallback: 'ask', peers: { Ann: 'allow' } },
      onAsk,
    })
    const answer = firewall.inbound(requestOf('Bob'))
    firewall.close()
    firewall.close()
    expect(asks[0]?.signal.aborted).toBe(true)
    expect(await answer).toMatchObject({ verdict: 'deny', asked: 'canceled' })
    expect(firewall.inbound(requestOf('Bob'))).toMatchObject({ verdict: 'deny', asked: 'canceled' })
    expect(firewall.inbound(requestOf('Ann'))).toMatchObject({ verdict: 'allow' })
  })
})

describe('first contact', () => {
  function meeting(): {
    onNewPeer: (peer: NewPeer) => Promise<Rule>
    calls: (NewPeer & { answer(a: unknown): void; fail(e: unknown): void })[]
  } {
    const calls: (NewPeer & { answer(a: unknown): void; fail(e: unknown): void })[] = []
    const onNewPeer = (peer: NewPeer): Promise<Rule> => {
      const { promise, resolve, reject } = later<unknown>()
      calls.push({ ...peer, answer: resolve, fail: reject })
      return promise as Promise<Rule>
    }
    return { onNewPeer, calls }
  }

  test('onNewPeer is asked once and its answer stands in the place of a rule', () => {
    let calls = 0
    const firewall = firewallOf({
      inbound: {
        peers: { Bob: 'deny' },
        fallback: 'deny',
        onNewPeer: () => {
          calls++
          return ({ method }) => (method === 'stat' ? 'allow' : 'deny')
        },
      },
    })
    expect(firewall.inbound(requestOf('Ann'))).toEqual({ verdict: 'allow', by: 'new-peer' })
    expect(firewall.inbound(requestOf('Ann', { method: 'write' }))).toMatchObject({
      verdict: 'deny',
    })
    expect(firewall.inbound(requestOf('Bob'))).toEqual({ verdict: 'deny', by: 'peer' })
    expect(calls).toBe(1)
    expect(firewall.get('inbound', ANN)).toBeUndefined()
    expect(firewall.outbound(requestOf('Cid'))).toEqual({ verdict: 'allow', by: 'default' })
  })

  test('requests of one new peer share one call', async () => {
    const { onNewPeer, calls } = meeting()
    const firewall = firewallOf({ inbound: { onNewPeer } })
    const answers = [firewall.inbound(requestOf('Ann')), firewall.inbound(requestOf('Ann'))]
    const other = firewall.inbound(requestOf('Bob'))
    expect(calls.map(({ peer }) => peer)).toEqual(['Ann', 'Bob'])
    calls[0]?.answer('allow')
    calls[1]?.answer('deny')
    expect([await answers[0], await answers[1]]).toEqual([
      { verdict: 'allow', by: 'new-peer' },
      { verdict: 'allow', by: 'new-peer' },
    ])
    expect(await other).toEqual({ verdict: 'deny', by: 'new-peer' })
  })

  test('a new peer of whom onNewPeer says ask goes on to onAsk, with a time of its own', async () => {
    const { onNewPeer, calls } = meeting()
    const { onAsk, asks } = asked()
    const firewall = firewallOf({ inbound: { onNewPeer }, onAsk })
    const answer = firewall.inbound(requestOf('Ann'))
    clock.advance(29_000)
    calls[0]?.answer('ask')
    await settle()
    clock.advance(29_000)
    asks[0]?.answer('allow')
    expect(await answer).toEqual({ verdict: 'allow', by: 'new-peer', asked: 'answered' })
  })

  test.each<[string, unknown]>([
    ['rejects', 'fail'],
    ['answers junk', 'junk'],
    ['answers undefined', undefined],
  ])('an onNewPeer that %s denies, and is asked again next time', async (how, value) => {
    const { onNewPeer, calls } = meeting()
    const firewall = firewallOf({ inbound: { onNewPeer, fallback: 'allow' } })
    const answer = firewall.inbound(requestOf('Ann'))
    if (how === 'rejects') calls[0]?.fail(new Error('no'))
    else calls[0]?.answer(value)
    expect(await answer).toEqual({ verdict: 'deny', by: 'new-peer', asked: 'failed' })
    void firewall.inbound(requestOf('Ann'))
    expect(calls).toHaveLength(2)
  })

  test('an onNewPeer that throws denies', () => {
    const onNewPeer = (): Rule => {
      throw new Error('no')
    }
    const firewall = firewallOf({ inbound: { onNewPeer } })
    expect(firewall.inbound(requestOf('Ann'))).toMatchObject({ verdict: 'deny', asked: 'failed' })
  })

  test('its time runs from the first request; who joins late waits no longer', async () => {
    const { onNewPeer, calls } = meeting()
    const firewall = firewallOf({ inbound: { onNewPeer } })
    const first = firewall.inbound(requestOf('Ann'))
    clock.advance(20_000)
    const second = firewall.inbound(requestOf('Ann'))
    clock.advance(9_999)
    expect(calls[0]?.signal.aborted).toBe(false)
    clock.advance(1)
    expect(calls[0]?.signal.aborted).toBe(true)
    expect([await first, await second]).toMatchObject([{ asked: 'timeout' }, { asked: 'timeout' }])
    calls[0]?.answer('allow')
    await settle()
    void firewall.inbound(requestOf('Ann'))
    expect(calls).toHaveLength(2)
  })

  test('one that is canceled leaves the others waiting; the last one ends the call', async () => {
    const { onNewPeer, calls } = meeting()
    const firewall = firewallOf({ inbound: { onNewPeer } })
    const [a, b] = [new AbortController(), new AbortController()]
    const answers = [
      firewall.inbound(requestOf('Ann'), { signal: a.signal }),
      firewall.inbound(requestOf('Ann'), { signal: b.signal }),
    ]
    a.abort()
    expect(calls[0]?.signal.aborted).toBe(false)
    b.abort()
    expect(calls[0]?.signal.aborted).toBe(true)
    expect([await answers[0], await answers[1]]).toMatchObject([
      { asked: 'canceled' },
      { asked: 'canceled' },
    ])
  })

  test('waiting for onNewPeer is bounded like asks are', () => {
    const { onNewPeer, calls } = meeting()
    const firewall = firewallOf({ inbound: { onNewPeer } })
    for (const peer of ['Ann', 'Ann', 'Bob']) void firewall.inbound(requestOf(peer))
    expect(firewall.inbound(requestOf('Bob'))).toMatchObject({ verdict: 'deny', asked: 'full' })
    expect(calls).toHaveLength(2)
  })

  test('a rule set meanwhile wins over the answer', async () => {
    const { onNewPeer, calls } = meeting()
    const firewall = firewallOf({ inbound: { onNewPeer } })
    const answer = firewall.inbound(requestOf('Ann'))
    firewall.set('inbound', ANN, 'deny')
    expect(calls[0]?.signal.aborted).toBe(true)
    calls[0]?.answer('allow')
    expect(await answer).toEqual({ verdict: 'deny', by: 'peer' })
    expect(firewall.delete('inbound', ANN)).toBe(true)
    void firewall.inbound(requestOf('Ann'))
    expect(calls).toHaveLength(2)
  })

  test('rules may be set from inside onNewPeer', () => {
    const firewall: Firewall = firewallOf({
      inbound: {
        onNewPeer: ({ peer }) => {
          firewall.set('inbound', peer, 'allow')
          return 'deny'
        },
      },
    })
    expect(firewall.inbound(requestOf('Ann'))).toEqual({ verdict: 'allow', by: 'peer' })
    firewall.delete('inbound', ANN)
    expect(firewall.inbound(requestOf('Ann'))).toEqual({ verdict: 'allow', by: 'peer' })
  })

  test('delete() forgets what onNewPeer said', () => {
    let calls = 0
    const firewall = firewallOf({
      inbound: { onNewPeer: () => (calls++ === 0 ? 'deny' : 'allow') },
    })
    expect(firewall.inbound(requestOf('Ann'))).toMatchObject({ verdict: 'deny' })
    expect(firewall.delete('inbound', ANN)).toBe(true)
    expect(firewall.inbound(requestOf('Ann'))).toMatchObject({ verdict: 'allow' })
  })

  test('maxNewPeerVerdicts are remembered, the least recently used is forgotten', () => {
    const calls: string[] = []
    const onNewPeer = ({ peer }: NewPeer): Rule => {
      calls.push(peer)
      return 'allow'
    }
    const firewall = firewallOf({ inbound: { onNewPeer } })
    for (const peer of ['Ann', 'Bob', 'Ann', 'Ann', 'Cid']) void firewall.inbound(requestOf(peer))
    expect(calls).toEqual(['Ann', 'Bob', 'Cid'])
    void firewall.inbound(requestOf('Ann'))
    expect(calls).toHaveLength(3)
    void firewall.inbound(requestOf('Bob'))
    expect(calls).toEqual(['Ann', 'Bob', 'Cid', 'Bob'])
  })
})
