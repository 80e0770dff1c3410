/** Requests in framings between a real side and a scripted one that writes and reads bytes. No libp2p. */
import { bytes, concat, fromHex, toHex } from '@stronghold/core'
import { manualClock } from '@stronghold/testkit'
import type { ManualClock } from '@stronghold/testkit'
import { z } from 'zod'

import type { Pipe } from '../../src/connection/pipe.ts'
import { EventHub } from '../../src/events.ts'
import { Firewall } from '../../src/firewall/firewall.ts'
import { original } from '../../src/framings/original.ts'
import { requestResponse } from '../../src/framings/request-response.ts'
import type { Framing } from '../../src/framings/framing.ts'
import type { Address, PeerId } from '../../src/identity.ts'
import { resolveLimits } from '../../src/limits.ts'
import type { P2pLimits } from '../../src/limits.ts'
import { defineProtocol, unary } from '../../src/protocol.ts'
import type { HandlerContext } from '../../src/protocol.ts'
import { Requests } from '../../src/requests.ts'
import type { Link } from '../../src/requests.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'

export const PEER = 'peer' as PeerId

export const echo = defineProtocol('/echo/1', {
  value: unary({ request: z.unknown(), response: z.unknown() }),
  read: unary({ request: z.unknown(), response: z.unknown(), readOnly: true }),
  bytes: unary({ request: bytes, response: bytes }),
})

/** One framing of each kind, each with a method of its own. */
export const FRAMINGS = {
  original: original({ method: 'value' }),
  json: requestResponse('/json/1', 'json', { method: 'read' }),
  cbor: requestResponse('/cbor/1', 'cbor', { method: 'value' }),
  raw: requestResponse('/raw/1', 'raw', { method: 'bytes' }),
}

/** The scripted end of one substream. */
export interface Scripted {
  pipe: Pipe
  /** What came so far, in hexadecimal. */
  received(): string
  /** How it ended: by an end of the other side, or a reset. */
  readonly over: Promise<'end' | 'reset'>
  ended: boolean
  write(hex: string): void
}

export function scripted(pipe: Pipe): Scripted {
  const chunks: Uint8Array[] = []
  const over = Promise.withResolvers<'end' | 'reset'>()
  const end: Scripted = {
    pipe,
    received: () => toHex(concat(chunks)),
    over: over.promise,
    ended: false,
    write: (hex) => {
      pipe.write([fromHex(hex.replaceAll(' ', ''))])
    },
  }
  pipe.listen({
    data: (chunk) => chunks.push(chunk),
    drain: () => {},
    end: () => {
      end.ended = true
      over.resolve('end')
    },
    close: (error) => {
      over.resolve(error === undefined ? 'end' : 'reset')
    },
  })
  pipe.resume()
  return end
}

export interface Side {
  requests: Requests
  clock: ManualClock
  link: Link
  /** Opens a substream to what is served. */
  ask(framing: Framing): Scripted
  /** Substreams that our own calls opened, in order. */
  opened(): Promise<Scripted>
  /** How often a handler ran. */
  ran(): number
}

/** A real side. Its handlers echo, unless they are given. */
export function side(
  limits: Partial<P2pLimits> = {},
  handler: (value: unknown, context: HandlerContext) => unknown = (value) => value,
): Side {
  const clock = manualClock()
  const all = resolveLimits(limits)
  const events = new EventHub(all, clock)
  const firewall = new Firewall(
    { inbound: { fallback: 'allow' } },
    { clock, limits: all, parsePeer: (text) => text as PeerId },
  )
  const link: Link = {
    peer: PEER,
    facts: {
      id: 'c1',
      direction: 'inbound',
      remoteAddress: '/memory/peer' as Address,
      security: 'noise',
      relayed: false,
    },
    channels: new Set(),
    usedAtMs: 0,
  }
  const waiting: Scripted[] = []
  const wanting: ((opened: Scripted) => void)[] = []
  const requests = new Requests({
    limits: all,
    clock,
    firewall,
    events,
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    open: () => {
      const [ours, theirs] = pipePair()
      const end = scripted(theirs)
      const want = wanting.shift()
      if (want === undefined) waiting.push(end)
      else want(end)
      return Promise.resolve({ pipe: ours, link })
    },
  })
  let ran = 0
  const run = (value: unknown, context: HandlerContext): unknown => {
    ran += 1
    return handler(value, context)
  }
  requests.serve(
    echo,
    { value: run, read: run, bytes: run as never },
    { as: Object.values(FRAMINGS) },
  )
  return {
    requests,
    clock,
    link,
    ask: ({ protocols: [protocol = ''] }) => {
      const [ours, theirs] = pipePair()
      const end = scripted(ours)
      requests.take(protocol, theirs, link)
      return end
    },
    opened: () => {
      const end = waiting.shift()
      return end === undefined
        ? new Promise((resolve) => wanting.push(resolve))
        : Promise.resolve(end)
    },
    ran: () => ran,
  }
}
