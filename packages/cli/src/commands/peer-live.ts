/** `peer connect`, `disconnect`, `ping`: connections with peers, now. Whom the owner knows is no matter of theirs. */
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Command } from '../command.ts'
import { Failure } from '../failure.ts'
import { MAX_PINGS } from '../limits.ts'
import { peerTarget } from '../node/target.ts'
import { connectedShape } from '../shapes.ts'
import { unreached } from '../unreached.ts'
import { printAddress, printConnected, printRtt } from '../ways.ts'
import { givenUp, runningHere, whomOf } from './net.ts'

/** How often a peer is pinged where nobody says. */
const USUAL_PINGS = 5

const connect = defineCommand({
  name: 'peer connect',
  says: 'Connect with a peer, and say how it is reached',
  operands: 'PEER',
  examples: [
    ['stronghold peer connect ci', 'the Stronghold that runs here keeps the connection'],
    ['stronghold peer connect ci --json', 'for a program'],
  ],
  prints: z.object({ ...connectedShape, name: z.string() }),
  async run(call) {
    const { terminal, io } = call
    const target = peerTarget(call.home, call.operands[0] ?? '')
    const over = new AbortController()
    using _ending = io.onEnding(() => {
      over.abort()
    })
    await terminal.progress(`connecting with ${target.name} · ^C gives up`)
    const isKept = (await call.runningNode()) !== undefined
    const found = await call
      .withNode((node) => node.connectPeer(whomOf(target), { signal: over.signal }))
      .catch((error: unknown) => {
        throw unreached(error, target.name)
      })
    terminal.endProgress()
    if (found === undefined) throw givenUp()
    const { peer, address, way, security, rttMs } = found
    await terminal.result(
      { name: target.name, peer, address: printAddress(address), way, security, rttMs },
      `${target.name}  ${peer}  ${printConnected(found)}  ${printAddress(address)}`,
    )
    if (!isKept) {
      await terminal.note('the connection is gone again, since nothing runs here: stronghold up')
    }
  },
})

const disconnect = defineCommand({
  name: 'peer disconnect',
  says: 'Close every connection with a peer; it may connect again',
  operands: 'PEER',
  changes: true,
  examples: [
    ['stronghold peer disconnect ci', 'what it asked goes on when it is back'],
    ['stronghold peer disconnect ci --dry-run', 'says what would be done'],
  ],
  prints: z.object({ peer: z.string(), closed: z.int() }),
  async run(call) {
    const { peer, name } = peerTarget(call.home, call.operands[0] ?? '')
    const node = await runningHere(call, `disconnect ${name}`)
    const closed = call.dryRun
      ? (await node.connections()).filter((one) => one.peer === peer).length
      : await node.disconnectPeer(peer)
    const count = `${closed} ${closed === 1 ? 'connection' : 'connections'}`
    await call.terminal.result(
      { peer, closed },
      `${name}  ${call.dryRun ? `${count} would be closed` : `closed ${count}`}`,
    )
  },
})

const ping = defineCommand({
  name: 'peer ping',
  says: 'Measure round trips to a peer, one a second',
  operands: 'PEER',
  options: { count: { value: 'N', says: `how many; default ${USUAL_PINGS}` } },
  examples: [
    ['stronghold peer ping ci', `${USUAL_PINGS} of them, then least and average`],
    ['stronghold peer ping ci --count 100 --json', 'for a program'],
  ],
  prints: z.object({
    peer: z.string(),
    name: z.string(),
    sent: z.int(),
    answered: z.int(),
    rttsMs: z.array(z.number().nullable()),
    minMs: z.number().nullable(),
    avgMs: z.number().nullable(),
  }),
  async run(call) {
    const { terminal, io, options } = call
    const target = peerTarget(call.home, call.operands[0] ?? '')
    const count = countOf(options.count)
    const over = new AbortController()
    using _ending = io.onEnding(() => {
      over.abort()
    })
    const all: (number | null)[] = []
    await call
      .withNode(async (node) => {
        const pings = node.pings(whomOf(target), count, { signal: over.signal })
        for await (const { rttMs } of pings) {
          all.push(rttMs)
          if (!call.json) await terminal.result({}, `${target.name}  ${printRtt(rttMs)}`)
        }
      })
      .catch((error: unknown) => {
        throw unreached(error, target.name)
      })
    const answered = all.filter((one) => one !== null)
    const minMs = answered.length === 0 ? null : Math.min(...answered)
    const avgMs =
      answered.length === 0 ? null : answered.reduce((sum, one) => sum + one, 0) / answered.length
    const sums = minMs === null ? '' : `, least ${printRtt(minMs)}, average ${printRtt(avgMs)}`
    await terminal.result(
      {
        peer: target.peer,
        name: target.name,
        sent: all.length,
        answered: answered.length,
        rttsMs: all,
        minMs,
        avgMs,
      },
      `${answered.length} of ${all.length} answered${sums}`,
    )
    if (all.length > 0 && answered.length === 0) {
      throw new Failure('unreachable', `cannot reach ${target.name}`, {
        reason: `it is connected, and answered none of ${all.length}`,
        hint: `stronghold peer disconnect ${target.name}, then try again`,
      })
    }
  },
})

function countOf(text: string | undefined): number {
  if (text === undefined) return USUAL_PINGS
  const count = /^[0-9]{1,6}$/.test(text) ? Number(text) : NaN
  if (count >= 1 && count <= MAX_PINGS) return count
  throw new Failure('usage', 'cannot use --count', {
    reason: `it is not between 1 and ${MAX_PINGS}`,
  })
}

/** Connections, now. */
export const PEER_LIVE_COMMANDS: readonly Command[] = [connect, disconnect, ping]
