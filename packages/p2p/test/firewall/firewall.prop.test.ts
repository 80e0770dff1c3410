import { manualClock } from '@stronghold/testkit'
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { Firewall } from '../../src/firewall/firewall.ts'
import type { FinalDecision } from '../../src/firewall/firewall.ts'
import type { AskAnswer, Direction, Rule } from '../../src/firewall/rules.ts'
import type { PeerId } from '../../src/identity.ts'
import { later, peerOf, requestOf, settle } from './facts.ts'
import { NaiveFirewall, RULES } from './naive.ts'
import type { RuleName } from './naive.ts'

const LIMITS = { maxAsks: 4, maxAsksPerPeer: 2, askTimeoutMs: 100, maxNewPeerVerdicts: 2 }
const PEERS = ['Ann', 'Bob', 'Cid', 'Dan']

const direction = fc.constantFrom<Direction>('inbound', 'inbound', 'outbound')
const peer = fc.constantFrom(...PEERS)
const target = fc.constantFrom(...PEERS, 'fallback')
const rule = fc.constantFrom<RuleName>('ask', 'ask', 'allow', 'deny', 'stat', 'throws', 'async')

const command = fc.oneof(
  fc.record({ do: fc.constant('set' as const), direction, target, rule }),
  fc.record({ do: fc.constant('delete' as const), direction, target }),
  fc.record({ do: fc.constant('block' as const), peer }),
  fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 120 }) }),
  ...[1, 2, 3].map(() =>
    fc.record({
      do: fc.constant('request' as const),
      direction,
      peer,
      method: fc.constantFrom('stat', 'write'),
      timeoutMs: fc.constantFrom(undefined, 0, 30, 90, 500),
    }),
  ),
  fc.record({ do: fc.constant('cancel' as const), which: fc.nat(7) }),
  fc.record({
    do: fc.constant('answer' as const),
    which: fc.nat(7),
    answer: fc.constantFrom('allow', 'allow', 'deny', 'ask', 'junk'),
  }),
  ...[1, 2, 3].map(() =>
    fc.record({
      do: fc.constant('meet' as const),
      peer,
      rule: fc.oneof({ weight: 7, arbitrary: rule }, fc.constant('junk' as const)),
    }),
  ),
  fc.record({ do: fc.constant('look' as const), direction, peer }),
)

test('the firewall decides as a naive interpreter does, whatever happens in whatever order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.boolean(),
      fc.array(command, { maxLength: 100, size: 'max' }),
      async (meets, asks, commands) => {
        const clock = manualClock(0)
        const blocked = new Set<PeerId>()
        const questions = new Map<number, (answer: AskAnswer) => void>()
        const meetings = new Map<PeerId, (rule: Rule) => void>()
        const inbound = {
          onNewPeer: ({ peer }: { peer: PeerId }) => {
            const { promise, resolve } = later<Rule>()
            meetings.set(peer, resolve)
            return promise
          },
        }
        const onAsk = ({ facts }: { facts: Readonly<Record<string, unknown>> | undefined }) => {
          const { promise, resolve } = later<AskAnswer>()
          questions.set(facts?.['id'] as number, resolve)
          return promise
        }
        const firewall = new Firewall(
          { ...(meets ? { inbound } : {}), ...(asks ? { onAsk } : {}) },
          { clock, limits: LIMITS, parsePeer: peerOf, isBlocked: (peer) => blocked.has(peer) },
        )
        const naive = new NaiveFirewall(LIMITS, meets, asks)
        const decided: (FinalDecision | undefined)[] = []
        const controllers: AbortController[] = []

        for (const step of commands) {
          switch (step.do) {
            case 'set':
              firewall.set(step.direction, step.target as PeerId, RULES[step.rule])
              naive.set(step.direction, step.target, step.rule)
              break
            case 'delete':
              firewall.delete(step.direction, step.target as PeerId)
              naive.delete(step.direction, step.target)
              break
            case 'block': {
              const id = peerOf(step.peer)
              if (!blocked.delete(id)) blocked.add(id)
              firewall.recheck(id)
              naive.block(step.peer)
              break
            }
            case 'advance':
              clock.advance(step.ms)
              naive.advance(step.ms)
              break
            case 'request': {
              const id = decided.length
              decided.push(undefined)
              const controller = new AbortController()
              controllers.push(controller)
              const request = requestOf(step.peer, { method: step.method, facts: { id } })
              const options = { timeoutMs: step.timeoutMs, signal: controller.signal }
              const answer = firewall[step.direction](request, options)
              if (answer instanceof Promise) void answer.then((final) => (decided[id] = final))
              else decided[id] = answer
              naive.request(step.direction, step.peer, step.method, step.timeoutMs)
              break
            }
            case 'cancel': {
              const id = naive.waiting[step.which]?.id
              if (id === undefined) break
              controllers[id]?.abort()
              naive.cancel(id)
              break
            }
            case 'answer': {
              const id = naive.waiting[step.which]?.id
              if (id === undefined) break
              const asking = naive.waiting[step.which]?.stage === 'ask'
              if (asking) questions.get(id)?.(step.answer as AskAnswer)
              if (asking) naive.answer(id, step.answer)
              break
            }
            case 'look': {
              const look = firewall.firstLook(step.direction, peerOf(step.peer))
              expect(look.verdict === 'deny').toBe(naive.refuses(step.direction, step.peer))
              break
            }
            case 'meet': {
              const met = step.rule === 'junk' ? ('junk' as Rule) : RULES[step.rule]
              meetings.get(peerOf(step.peer))?.(met)
              naive.meet(step.peer, step.rule)
              break
            }
          }
          await settle()
          expect(decided).toEqual(naive.decided)
          expect(firewall.waiting).toBe(naive.waiting.length)
        }
        firewall.close()
        await settle()
        expect(decided.includes(undefined)).toBe(false)
        expect(clock.timers).toBe(0)
      },
    ),
    { numRuns: 400 },
  )
}, 60_000)
