/**
 * Whether the two doors still answer while there is much to do: a ping beside passphrases that are stretched and signatures
 * that are made, and the owner's list of what waits beside a peer that sends as fast as it can. Figures with their targets.
 */
import { allApprovals, connectOwner, readToken } from '@stronghold/guard/owner'

import { short } from '../results.ts'
import { pace } from './inflight.ts'
import type { Pace } from './inflight.ts'
import type { Order, Told } from './process.ts'

/** How long something took, in milliseconds, and how long it may. */
export interface Answered {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly targetMs: number
}

/** What was found. */
export interface Responsive {
  /** From the asking side, which makes the signatures meanwhile. */
  readonly ping: Answered
  readonly signaturesPerSecond: number
  /** One passphrase stretched, at the door and behind it. */
  readonly argon2idMs: number
  /** Over the owner's socket, without the start of a program. */
  readonly approvalList: Answered
  readonly framesPerSecond: number
}

/** In flight beside a ping. */
const SIGNATURES = 64
/** In flight where a peer sends as fast as it can: each is one frame to the side that serves. */
const FLOOD = 512
const WARM_MS = 500
const PING_MS = 50
const LIST_MS = 200

type Ways = Readonly<Record<'ask' | 'serve', (order: Order) => Promise<Told>>>

/** Measures. @param at - where the owner's socket and token are */
export async function responsive(
  { ask, serve }: Ways,
  at: { readonly socket: string; readonly token: string },
  forMs: number,
): Promise<Responsive> {
  // Connected, and compiled.
  for (const whom of ['channel', 'stronghold']) {
    await ask({ do: 'measure', whom, atOnce: SIGNATURES, forMs: WARM_MS })
  }
  const [asked, stretched] = await Promise.all([
    ask({ do: 'ping', whom: 'stronghold', atOnce: SIGNATURES, forMs }),
    serve({ do: 'stretch', forMs }),
  ])
  const owner = connectOwner(at.socket, readToken(at.token))
  const list = async (): Promise<void> => {
    await allApprovals(owner)
  }
  await list()
  const [flood, listed] = await Promise.all([
    ask({ do: 'measure', whom: 'channel', atOnce: FLOOD, forMs }),
    pace(list, 1, forMs),
  ])
  if (!('pace' in asked) || !('pace' in stretched) || !('pace' in flood)) {
    throw new Error('it told no pace')
  }
  if (asked.ping === undefined) throw new Error('it did not ping')
  return {
    ping: answered(asked.ping, PING_MS),
    signaturesPerSecond: asked.pace.perSecond,
    argon2idMs: stretched.pace.p50Ms,
    approvalList: answered(listed, LIST_MS),
    framesPerSecond: flood.pace.perSecond,
  }
}

function answered({ p50Ms, p99Ms }: Pace, targetMs: number): Answered {
  return { p50Ms, p99Ms, targetMs }
}

/** The same as lines of a table. */
export function linesOf(found: Responsive): string {
  const { ping, approvalList, argon2idMs, signaturesPerSecond, framesPerSecond } = found
  const line = (what: string, { p50Ms, p99Ms, targetMs }: Answered, beside: string): string =>
    `  ${what.padEnd(14)} ${short(p50Ms).padStart(7)}  ${short(p99Ms).padStart(7)}  ${p99Ms < targetMs ? 'below' : 'ABOVE'} ${targetMs}  beside ${beside}`
  return [
    'responsive, ms: half within, 99 % within, target',
    line(
      'ping',
      ping,
      `${SIGNATURES} signatures in flight (${short(signaturesPerSecond)} a second) and Argon2id without a pause (${short(argon2idMs)} ms each)`,
    ),
    line('approval list', approvalList, `${short(framesPerSecond)} frames a second from a peer`),
  ].join('\n')
}
