/** A partnership, as the program tells it: how it stands, and what to type where it does not go on. Pure. */
import { toHex } from '@stronghold/core'
import type { SyncPartnership } from '@stronghold/guard'
import { z } from 'zod'

import { printMoment } from './duration.ts'
import { Failure, quoted } from './failure.ts'

/** Which way records go. */
export const MODES = ['two-way', 'push', 'pull'] as const
/** What may be done to a record. */
export const MERGES = ['keep-old', 'replace', 'newest-version'] as const

/** A partnership as `--json` prints it. */
export const partnerShape = z.object({
  name: z.string(),
  peer: z.string(),
  peerName: z.string(),
  vault: z.string(),
  fingerprint: z.string(),
  paths: z.array(z.string()),
  maps: z.array(z.object({ from: z.string(), to: z.string() })),
  mode: z.enum(MODES),
  merge: z.enum(MERGES),
  everyMs: z.number().nullable(),
  onChange: z.boolean(),
  paused: z.boolean(),
  state: z.string(),
  why: z.string().nullable(),
  lastRun: z.string().nullable(),
  inStep: z.string().nullable(),
  conflicts: z.int(),
})

/** A partnership as plain JSON. */
export function partnerJson(one: SyncPartnership): z.infer<typeof partnerShape> {
  const moment = (ms: number | undefined): string | null =>
    ms === undefined ? null : printMoment(ms)
  return {
    name: one.name,
    peer: one.peer,
    peerName: one.peerName,
    vault: toHex(one.vault),
    fingerprint: one.fingerprint,
    paths: [...one.paths],
    maps: one.maps.map(({ from, to }) => ({ from, to })),
    mode: one.mode,
    merge: one.merge,
    everyMs: one.everyMs ?? null,
    onChange: one.onChange,
    paused: one.paused,
    state: one.state,
    why: one.why ?? null,
    lastRun: moment(one.lastRunAtMs),
    inStep: moment(one.inStepAtMs),
    conflicts: one.conflicts,
  }
}

/** Why nothing is exchanged until a person decides, and what that person types. */
export function stopOf({
  name,
  why,
}: SyncPartnership): { reason: string; hint: string } | undefined {
  const resolve = `stronghold sync resolve ${name} --accept-older or --take-newer`
  switch (why) {
    case 'rolled-back':
      return { reason: 'the partner is older than it was', hint: resolve }
    case 'unseen':
      return { reason: 'not seen for too long', hint: resolve }
    case 'key':
      return { reason: 'the partner shows another key', hint: `stronghold sync pin ${name}` }
    default:
      return undefined
  }
}

/** How a partnership stands, in words, with what to type where somebody has to. */
export function standing(partnership: SyncPartnership): string {
  const { name, state, why, paused, inStepAtMs } = partnership
  const held = paused ? 'paused, ' : ''
  const stop = stopOf(partnership)
  if (stop !== undefined) return `${held}stopped: ${stop.reason}; ${stop.hint}`
  if (why === 'records') return `${held}in conflict: stronghold sync conflicts ${name}`
  if (state === 'behind') return `${held}not in step: stronghold sync run ${name}`
  return state === 'in-step' && inStepAtMs !== undefined
    ? `${held}in step since ${printMoment(inStepAtMs)}`
    : `${held}nothing exchanged yet`
}

/** There is no partnership of that name. */
export function noPartner(name: string): Failure {
  return new Failure('not_found', `cannot find partnership ${quoted(name)}`, {
    reason: 'there is none of that name',
    hint: 'stronghold sync list',
  })
}
