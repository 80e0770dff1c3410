/**
 * On what terms a relay serves: who may be reached through it, and how much anybody may use. A file of the home, so that they
 * survive a restart. It gives no right on any vault.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'

import type { RelayQuota } from '@stronghold/p2p'
import { z } from 'zod'

import { parseDuration } from './duration.ts'
import { Failure, quoted } from './failure.ts'
import { makeHome } from './home.ts'
import type { Home } from './home.ts'
import { MAX_RELAY_PEERS } from './limits.ts'

/** The terms of one relay. */
export interface RelayTerms {
  /** Whether everybody who is not denied may be reached through it; else only who is allowed by name. */
  readonly everybody: boolean
  readonly allowed: readonly string[]
  readonly denied: readonly string[]
  /** What everybody may use, where it is not what is usual. */
  readonly quota: RelayQuota
  /** What single peers may use in the place of that. */
  readonly quotas: Readonly<Record<string, RelayQuota>>
}

/** The terms where nobody said anything. */
export const USUAL_TERMS: RelayTerms = Object.freeze({
  everybody: true,
  allowed: [],
  denied: [],
  quota: {},
  quotas: {},
})

const peerId = z.string().regex(/^[1-9A-HJ-NP-Za-km-z]{40,128}$/)
const count = z.int().min(0).optional()
const quotaShape = z.strictObject({
  bytesPerDay: count,
  circuits: count,
  circuitBytes: count,
  circuitMs: count,
})
const peerList = z.array(peerId).max(MAX_RELAY_PEERS)
const termsFile = z.strictObject({
  v: z.literal(1),
  everybody: z.boolean(),
  allowed: peerList,
  denied: peerList,
  quota: quotaShape,
  quotas: z
    .record(peerId, quotaShape)
    .refine((all) => Object.keys(all).length <= MAX_RELAY_PEERS, 'too many'),
})

/** @throws `Failure` `usage` for a file that holds something else */
export function readTerms({ relay }: Pick<Home, 'relay'>): RelayTerms {
  let text: string
  try {
    text = readFileSync(relay, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return USUAL_TERMS
    throw error
  }
  try {
    const { everybody, allowed, denied, quota, quotas } = termsFile.parse(JSON.parse(text))
    const each = Object.entries(quotas).map(([peer, one]) => [peer, whole(one)] as const)
    return { everybody, allowed, denied, quota: whole(quota), quotas: Object.fromEntries(each) }
  } catch (cause) {
    throw new Failure('usage', `cannot read ${quoted(relay)}`, {
      reason: 'it holds no terms of a relay',
      hint: `move it away: mv ${relay} ${relay}.old`,
      cause,
    })
  }
}

/** Writes terms, whole or not at all. @throws `Failure` `limit` past `MAX_RELAY_PEERS` */
export function writeTerms(home: Home, terms: RelayTerms): void {
  const { allowed, denied, quotas } = terms
  const most = Math.max(allowed.length, denied.length, Object.keys(quotas).length)
  if (most > MAX_RELAY_PEERS) {
    throw new Failure('limit', 'cannot change the relay', {
      reason: `${MAX_RELAY_PEERS} peers are named already`,
    })
  }
  makeHome(home)
  const temporary = `${home.relay}.${process.pid}.tmp`
  try {
    const text = JSON.stringify({ v: 1, ...terms }, undefined, 2)
    writeFileSync(temporary, `${text}\n`, { mode: 0o600 })
    renameSync(temporary, home.relay)
  } finally {
    rmSync(temporary, { force: true })
  }
}

/** Terms with a peer, or everybody, allowed or denied. Pure. */
export function withPeer(terms: RelayTerms, peer: string, verdict: 'allow' | 'deny'): RelayTerms {
  if (peer === 'everybody') return { ...terms, everybody: verdict === 'allow' }
  const others = (list: readonly string[]): string[] => list.filter((one) => one !== peer)
  const [allowed, denied] = [others(terms.allowed), others(terms.denied)]
  return verdict === 'allow'
    ? { ...terms, allowed: [...allowed, peer], denied }
    : { ...terms, allowed, denied: [...denied, peer] }
}

/** Terms with another quota for a peer, or everybody; `undefined` takes it back. Pure. */
export function withQuota(
  terms: RelayTerms,
  peer: string,
  quota: RelayQuota | undefined,
): RelayTerms {
  if (peer === 'everybody') return { ...terms, quota: quota ?? {} }
  const others = Object.entries(terms.quotas).filter(([one]) => one !== peer)
  return {
    ...terms,
    quotas: Object.fromEntries(quota === undefined ? others : [...others, [peer, quota]]),
  }
}

/** Words of a quota and what they are. */
const WORDS = {
  'bytes-per-day': 'bytesPerDay',
  circuits: 'circuits',
  'circuit-bytes': 'circuitBytes',
  'circuit-time': 'circuitMs',
} as const

/** How a quota is written. */
export const QUOTA_FORM =
  'NAME=VALUE with NAME one of bytes-per-day, circuits, circuit-bytes, circuit-time'

/**
 * Reads `bytes-per-day=1GB`, `circuits=4`, `circuit-bytes=128kB`, `circuit-time=2m`.
 *
 * @throws `Failure` `usage` for anything else
 */
export function parseQuota(words: readonly string[]): RelayQuota {
  const quota: { -readonly [K in keyof RelayQuota]: RelayQuota[K] } = {}
  for (const word of words.flatMap((one) => one.split(','))) {
    const [name = '', value = ''] = word.split('=')
    if (!Object.hasOwn(WORDS, name)) throw noQuota(word)
    const known = name as keyof typeof WORDS
    quota[WORDS[known]] =
      known === 'circuit-time'
        ? value === '0'
          ? 0
          : parseDuration(value)
        : parseCount(word, value, known !== 'circuits')
  }
  return quota
}

/** A quota as it is typed; empty for none. */
export function printQuota(quota: RelayQuota): string {
  const { bytesPerDay, circuits, circuitBytes, circuitMs } = quota
  return [
    ...(bytesPerDay === undefined ? [] : [`bytes-per-day=${bytesPerDay}`]),
    ...(circuits === undefined ? [] : [`circuits=${circuits}`]),
    ...(circuitBytes === undefined ? [] : [`circuit-bytes=${circuitBytes}`]),
    ...(circuitMs === undefined ? [] : [`circuit-time=${circuitMs === 0 ? 0 : `${circuitMs}ms`}`]),
  ].join(' ')
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
}

function parseCount(word: string, text: string, isBytes: boolean): number {
  const [, digits = '', unit = ''] = /^([0-9]{1,12})([A-Za-z]*)$/.exec(text) ?? []
  const factor = isBytes || unit === '' ? UNITS[unit] : undefined
  const value = digits === '' || factor === undefined ? NaN : Number(digits) * factor
  if (Number.isSafeInteger(value)) return value
  throw noQuota(word)
}

function noQuota(word: string): Failure {
  return new Failure('usage', 'cannot read the quota', {
    reason: `${quoted(word)} is not like circuits=4, bytes-per-day=1GB or circuit-time=2m`,
    hint: QUOTA_FORM,
  })
}

/** Without what is not said. */
function whole(quota: z.output<typeof quotaShape>): RelayQuota {
  return Object.fromEntries(Object.entries(quota).filter(([, value]) => value !== undefined))
}
