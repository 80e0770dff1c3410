/**
 * How often a rule was used, for its limits (`10/day`): windows that slide, in a bounded number of buckets. A use counts until
 * its whole bucket has left the window, so no stretch of a window ever sees more than the limit. Pure: values in, values
 * out; it knows no rows, and time is handed in and never runs back. What is reserved by requests that wait is counted by
 * whoever holds them.
 */
import { decode, encode } from '@stronghold/core'

import { Fields } from './fields.ts'
import { MAX_LIMIT_COUNT, MAX_RULE_LIST, MAX_USAGE_BUCKETS, MAX_WINDOW_MS } from './limits.ts'
import type { Limit } from './rules/rule.ts'

/** Uses of one rule that were executed. Immutable. */
export interface RuleUsage {
  /** The latest time that was seen, milliseconds since the epoch. */
  readonly atMs: number
  /** One for each length of window that the rule's limits have. */
  readonly windows: readonly WindowUsage[]
}

/** The same within one window. */
export interface WindowUsage {
  readonly windowMs: number
  /** Bucket and uses in it, oldest first, `MAX_USAGE_BUCKETS` at most. Bucket n begins at n times the bucket's length. */
  readonly buckets: readonly (readonly [bucket: number, uses: number])[]
}

/** Uses within a window that ends now; of a rule that was never used none. */
export function usedWithin(usage: RuleUsage | undefined, windowMs: number, nowMs: number): number {
  if (usage === undefined) return 0
  const now = Math.max(nowMs, usage.atMs)
  return sum(live(bucketsFor(usage, windowMs), windowMs, now))
}

/** With one more use, executed now. `limits` are the rule's as it reads now: windows that it has no more go. */
export function countUse(
  usage: RuleUsage | undefined,
  limits: readonly Limit[],
  nowMs: number,
): RuleUsage {
  return added(usage, limits, nowMs, () => 1)
}

/** All limits used up now: how a rule begins where nobody knows what was used, as after a restore. */
export function usedUp(limits: readonly Limit[], nowMs: number): RuleUsage {
  return added(undefined, limits, nowMs, ({ count }) => count)
}

/** Whether nothing of it counts any more: it need not be kept. */
export function isForgotten(usage: RuleUsage, nowMs: number): boolean {
  return usage.windows.every(({ windowMs }) => usedWithin(usage, windowMs, nowMs) === 0)
}

/** Usage as bytes: some 10 for each bucket in use. */
export function encodeUsage({ atMs, windows }: RuleUsage): Uint8Array {
  return encode({
    v: 1,
    at: atMs,
    windows: windows.map(({ windowMs, buckets }) => [windowMs, ...buckets.flat()]),
  })
}

/** @throws `SyntaxError` for anything that `encodeUsage` did not write */
export function decodeUsage(bytes: Uint8Array): RuleUsage {
  const fields = new Fields(decode(bytes), 'usage')
  if (fields.uint('v') !== 1) throw fields.bad('of another version')
  const usage = { atMs: fields.uint('at'), windows: fields.list('windows', readWindow) }
  fields.end()
  if (usage.windows.length > MAX_RULE_LIST) throw fields.bad('too many windows')
  return usage
}

function readWindow(value: unknown): WindowUsage | undefined {
  if (!Array.isArray(value) || !value.every(isCount)) return undefined
  const [windowMs = 0, ...rest] = value
  if (windowMs < 1 || windowMs > MAX_WINDOW_MS || rest.length % 2 !== 0) return undefined
  if (rest.length > 2 * MAX_USAGE_BUCKETS) return undefined
  const buckets: [number, number][] = []
  for (let at = 0; at < rest.length; at += 2) {
    const [bucket = 0, uses = 0] = [rest[at], rest[at + 1]]
    const last = buckets.at(-1)?.[0] ?? -1
    if (bucket <= last || uses === 0) return undefined
    buckets.push([bucket, uses])
  }
  return { windowMs, buckets }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** A window spans two buckets more than fit into it, so that at most MAX_USAGE_BUCKETS ever count. */
function bucketMs(windowMs: number): number {
  return Math.ceil(windowMs / (MAX_USAGE_BUCKETS - 2))
}

function live(
  buckets: WindowUsage['buckets'],
  windowMs: number,
  nowMs: number,
): WindowUsage['buckets'] {
  const width = bucketMs(windowMs)
  // A bucket's last moment is the one before the next begins.
  return buckets.filter(([bucket]) => (bucket + 1) * width > nowMs - windowMs)
}

/**
 * The buckets of a window. One that the rule has only now takes over what the longest of the others knows, each use at the end of
 * its bucket, so that an edited limit does not begin anew.
 */
function bucketsFor(usage: RuleUsage, windowMs: number): WindowUsage['buckets'] {
  const own = usage.windows.find((window) => window.windowMs === windowMs)
  if (own !== undefined) return own.buckets
  const longest = usage.windows.reduce<WindowUsage | undefined>(
    (best, window) => (best === undefined || window.windowMs > best.windowMs ? window : best),
    undefined,
  )
  if (longest === undefined) return []
  const [from, to] = [bucketMs(longest.windowMs), bucketMs(windowMs)]
  const buckets = new Map<number, number>()
  for (const [bucket, uses] of longest.buckets) {
    const lastMs = Math.min((bucket + 1) * from - 1, usage.atMs)
    const at = Math.floor(lastMs / to)
    buckets.set(at, (buckets.get(at) ?? 0) + uses)
  }
  return [...buckets]
}

function added(
  usage: RuleUsage | undefined,
  limits: readonly Limit[],
  nowMs: number,
  usesOf: (limit: Limit) => number,
): RuleUsage {
  const atMs = Math.max(nowMs, usage?.atMs ?? 0)
  const windows = new Map<number, WindowUsage>()
  for (const limit of limits) {
    const { windowMs } = limit
    const bucket = Math.floor(atMs / bucketMs(windowMs))
    const before = live(usage === undefined ? [] : bucketsFor(usage, windowMs), windowMs, atMs)
    const last = before.at(-1)
    const most = windows.get(windowMs)?.buckets.at(-1)?.[1] ?? 0
    const uses = Math.min((last?.[0] === bucket ? last[1] : 0) + usesOf(limit), MAX_LIMIT_COUNT)
    const others = last?.[0] === bucket ? before.slice(0, -1) : before
    windows.set(windowMs, { windowMs, buckets: [...others, [bucket, Math.max(uses, most)]] })
  }
  return { atMs, windows: [...windows.values()] }
}

function sum(buckets: WindowUsage['buckets']): number {
  return buckets.reduce((total, [, uses]) => total + uses, 0)
}
