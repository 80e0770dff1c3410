/**
 * What was asked of others, so that somebody who went away comes back to it: one small file a request, in a directory of the
 * home, each written whole or not at all, so that runs beside each other take nothing from each other. No input is kept. What
 * is long over is taken away.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { fromHex } from '@stronghold/core'
import { named, requestName, shortest } from '@stronghold/guard/proofs'
import { z } from 'zod'

import { deliveryShape } from './deliver.ts'
import type { Delivery } from './deliver.ts'
import { Failure, quoted } from './failure.ts'
import { makeHome } from './home.ts'
import type { Home } from './home.ts'
import { printLine } from './line.ts'
import { KEEP_REQUEST_MS, MAX_AGAIN_LENGTH, MAX_REQUESTS } from './limits.ts'

/** Where a request is: sent and not heard of, waiting for a person, or over: done, or the word of its exit code. */
export type RequestState = 'sent' | 'pending' | 'done' | (string & {})

/** A request as the home remembers it. */
export interface AskedRequest {
  /** 32 hex digits. */
  readonly id: string
  readonly peer: string
  /** What the peer was called then. */
  readonly name: string
  /** What it would touch, a line each: `sign:key release/app`. */
  readonly what: readonly string[]
  readonly reason: string
  readonly askedAtMs: number
  /** By the clock of this machine. */
  readonly expiresAtMs: number
  readonly state: RequestState
  /** Its id was given by whoever asked, who may ask again. */
  readonly isRepeatable: boolean
  /** Where what comes of it goes; files are absolute. */
  readonly delivery: Delivery
  /** The command that asks again for the same, where it can be told. It holds no input that is not in it. */
  readonly again?: string | undefined
}

const requestFile = z.strictObject({
  v: z.literal(1),
  id: z.string().regex(/^[0-9a-f]{32}$/),
  peer: z.string().max(128),
  name: z.string().max(128),
  what: z.array(z.string().max(1200)).max(512),
  reason: z.string().max(256),
  askedAtMs: z.int(),
  expiresAtMs: z.int(),
  state: z.string().max(32),
  isRepeatable: z.boolean(),
  delivery: deliveryShape,
  again: z.string().max(MAX_AGAIN_LENGTH).optional(),
})

/** Every request that is remembered, the oldest first. What is no request's file is passed over. */
export function readRequests(home: Home): AskedRequest[] {
  return namesIn(home)
    .flatMap((name) => readOne(join(home.requests, name)) ?? [])
    .sort((a, b) => a.askedAtMs - b.askedAtMs)
}

/**
 * Remembers a request, or what became of it.
 *
 * @throws `Failure` `limit` where too many are not over yet
 */
export function writeRequest(home: Home, request: AskedRequest, nowMs: number): void {
  const path = pathOf(home, request.id)
  const names = namesIn(home)
  const isNew = !names.includes(`${request.id}.json`)
  if (isNew && names.length > 0) makeRoom(home, nowMs)
  makeHome(home)
  mkdirSync(home.requests, { recursive: true, mode: 0o700 })
  const temporary = `${path}.${process.pid}.tmp`
  try {
    writeFileSync(temporary, `${JSON.stringify({ v: 1, ...request })}\n`, { mode: 0o600 })
    renameSync(temporary, path)
  } finally {
    rmSync(temporary, { force: true })
  }
}

/** Forgets a request. */
export function forgetRequest(home: Home, id: string): void {
  rmSync(pathOf(home, id), { force: true })
}

/** The request of an id that was asked of a peer; `undefined` for none. */
export function requestOf(home: Home, peer: string, id: string): AskedRequest | undefined {
  const found = readOne(pathOf(home, id))
  return found?.peer === peer ? found : undefined
}

/** Is it neither done nor refused, as far as was heard, nor past its deadline. */
export function isOpen({ state, expiresAtMs }: AskedRequest, nowMs: number): boolean {
  return (state === 'sent' || state === 'pending') && nowMs < expiresAtMs
}

/** What people call a request: `q-` and as much of its id as no other of the home has. */
export function shortName(id: string, others: readonly AskedRequest[]): string {
  return shortest(
    nameOf(id),
    others.map((other) => nameOf(other.id)),
  )
}

/**
 * The ids that somebody may mean.
 *
 * @param text - `q-7f3a`, without its letter, or all 32 digits
 * @throws `Failure` `usage` for what begins no id
 */
export function idsNamed(text: string, requests: readonly AskedRequest[]): string[] {
  try {
    return named(
      text,
      requests.map(({ id }) => nameOf(id)),
    ).map((name) => name.slice(2))
  } catch {
    throw new Failure('usage', `cannot find request ${quoted(text)}`, {
      reason: 'that is not q- and at least four digits',
      hint: 'stronghold request list',
    })
  }
}

/** The command that asks for the same again, but for the id; `undefined` where it is too long to be remembered. */
export function commandAgain(words: readonly string[]): string | undefined {
  const kept = words.filter(
    (word, index) =>
      word !== '--no-wait' &&
      !word.startsWith('--request-id') &&
      words[index - 1] !== '--request-id',
  )
  const line = `stronghold ${printLine(kept)}`
  return line.length <= MAX_AGAIN_LENGTH ? line : undefined
}

function nameOf(id: string): string {
  return requestName(fromHex(id))
}

function pathOf(home: Home, id: string): string {
  return join(home.requests, `${id}.json`)
}

function namesIn(home: Home): string[] {
  try {
    return readdirSync(home.requests).filter((name) => /^[0-9a-f]{32}\.json$/.test(name))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

function readOne(path: string): AskedRequest | undefined {
  try {
    const { v: _, ...request } = requestFile.parse(JSON.parse(readFileSync(path, 'utf8')))
    return request
  } catch {
    return undefined
  }
}

/** Takes away what is long over, then what is over, the oldest first. */
function makeRoom(home: Home, nowMs: number): void {
  const kept = readRequests(home).filter(({ id, expiresAtMs }) => {
    const isLongOver = expiresAtMs + KEEP_REQUEST_MS < nowMs
    if (isLongOver) forgetRequest(home, id)
    return !isLongOver
  })
  const over = kept.filter((request) => !isOpen(request, nowMs))
  const [oldest] = over
  if (kept.length < MAX_REQUESTS) return
  if (oldest === undefined) {
    throw new Failure('limit', 'cannot ask', {
      reason: `${MAX_REQUESTS} requests to others wait already`,
      hint: 'take some back: stronghold request list',
    })
  }
  forgetRequest(home, oldest.id)
}
