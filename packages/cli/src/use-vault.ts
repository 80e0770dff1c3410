/**
 * Procedures on a vault, whoever's it is: the own one, or that of another Stronghold, where a person may be asked and somebody
 * waits. Each command is written once for both. What comes of it is handed over by `deliver.ts`.
 */
import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'

import type { Call } from './command.ts'
import { deliver } from './deliver.ts'
import type { Delivery, Outcome } from './deliver.ts'
import { parseDuration, printRest } from './duration.ts'
import { Failure, failureOf, quoted } from './failure.ts'
import { MAX_REASON_LENGTH, MAX_WAIT_MS } from './limits.ts'
import type { AskedPeer, Told } from './node/asking.ts'
import type { NodeDoor } from './node/door.ts'
import { peerTarget } from './node/target.ts'
import { runAll, tellSteps, wouldTouch } from './procedures.ts'
import type { NamedStep } from './procedures.ts'
import { askedOf } from './receipt-file.ts'
import { refusal } from './refusals.ts'
import {
  commandAgain,
  forgetRequest,
  readRequests,
  requestOf,
  shortName,
  writeRequest,
} from './requests.ts'
import type { AskedRequest } from './requests.ts'

/** Options of every command that may ask another Stronghold. */
export const ASKING = {
  reason: { value: 'TEXT', says: 'why; whoever decides, and the audit, read it' },
  receipt: { value: 'FILE', says: 'where the proof of it goes' },
  wait: { value: 'TIME', says: 'how long another Stronghold has to decide; default 10m' },
  'no-wait': { says: 'do not wait for a person: end with 5, and come back by request wait' },
  'request-id': { value: 'ID', says: '32 hex digits; the same again is the same request' },
} as const

/** The same, as they were given. */
interface AskingValues {
  readonly reason?: string
  readonly receipt?: string
  readonly wait?: string
  readonly 'no-wait'?: boolean
  readonly 'request-id'?: string
}

/** A call of a command that has these options. */
type AskingCall = Omit<Call, 'options'> & { readonly options: AskingValues }

/** What is to be done, where, and what becomes of the outputs. */
export interface Use {
  /** Name or id of the peer; `undefined` for the own vault. */
  readonly peer: string | undefined
  readonly steps: readonly NamedStep[]
  readonly delivery: Omit<Delivery, 'receipt'>
}

const USUAL_WAIT_MS = 600_000
const TICK_MS = 1000

/**
 * Runs a chain and hands over what came of it; with `--dry-run`, tells what it would touch.
 *
 * @throws `Failure` for all that comes of it otherwise: `pending` where it waits for a person and nobody waits for them
 */
export async function useVault(call: AskingCall, { peer, steps, delivery }: Use): Promise<void> {
  const { options } = call
  if (call.dryRun) {
    await tellSteps(call, steps, peer)
    return
  }
  if ((options.reason?.length ?? 0) > MAX_REASON_LENGTH) {
    throw new Failure('usage', 'cannot use --reason', {
      reason: `it is longer than ${MAX_REASON_LENGTH} characters`,
    })
  }
  const whole = { ...delivery, receipt: options.receipt ?? null }
  if (peer === undefined) await useOwn(call, steps, whole)
  else await ask(call, peer, steps, whole)
}

async function useOwn(
  call: AskingCall,
  steps: readonly NamedStep[],
  delivery: Delivery,
): Promise<void> {
  for (const name of ['wait', 'no-wait', 'request-id'] as const) {
    if (call.options[name] === undefined) continue
    throw new Failure('usage', `cannot use --${name}`, {
      reason: 'nobody is asked about the own vault',
      hint: 'name another Stronghold: PEER:PATH',
    })
  }
  const { reason } = call.options
  const asked = askedOf(steps, { reason: reason ?? '', timeoutMs: 0 })
  const outcome = await call.withOwner((owner) =>
    runAll(owner, steps, {
      ...(reason === undefined ? {} : { reason }),
      ...(delivery.receipt === null ? {} : { receipt: true }),
    }),
  )
  const whole = { ...delivery, ...(asked === undefined ? {} : { asked }) }
  await deliver(call, whole, outcome, { peer: null, request: null })
}

async function ask(
  call: AskingCall,
  peer: string,
  steps: readonly NamedStep[],
  delivery: Delivery,
): Promise<void> {
  const { options, home, io } = call
  const target = peerTarget(home, peer)
  const timeoutMs = waitOf(options.wait)
  const given = options['request-id']
  if (given !== undefined && !/^[0-9a-f]{32}$/.test(given)) {
    throw new Failure('usage', 'cannot use --request-id', {
      reason: `${quoted(given)} is not 32 hex digits`,
      hint: `like --request-id ${randomBytes(16).toString('hex')}`,
    })
  }
  const askedAtMs = io.clock.nowMs()
  const kept =
    delivery.receipt === null
      ? undefined
      : askedOf(steps, { reason: options.reason ?? '', timeoutMs })
  const whole = { ...delivery, ...(kept === undefined ? {} : { asked: kept }) }
  const request: AskedRequest = {
    id: given ?? randomBytes(16).toString('hex'),
    peer: target.peer,
    name: peer,
    what: wouldTouch(steps),
    reason: options.reason ?? '',
    askedAtMs,
    expiresAtMs: askedAtMs + timeoutMs,
    state: 'sent',
    isRepeatable: given !== undefined,
    delivery: {
      ...whole,
      out: absolute(call, delivery.out),
      receipt: absolute(call, delivery.receipt),
    },
    again: commandAgain(call.words),
  }
  // Remembered before it is sent: whatever happens to this process, somebody can come back to it.
  writeRequest(home, request, askedAtMs)
  const { id, reason } = request
  const asked = { id, steps, reason, timeoutMs, receipt: delivery.receipt !== null }
  await call.withNode((node) =>
    follow({ ...call, node, target }, request, whole, {
      begin: (signal) => node.submit(target, asked, { signal }),
      waits: options['no-wait'] !== true,
    }),
  )
}

/** Where a request is followed. */
type FollowCall = Pick<Call, 'io' | 'terminal' | 'json' | 'home'> & {
  readonly node: NodeDoor
  readonly target: AskedPeer
}

/**
 * Waits for what becomes of a request, keeps whoever sits in front informed, and hands it over. ^C leaves it pending.
 *
 * @param how - `begin` asks, or comes back; without `waits` it ends where a person is asked
 * @throws `Failure`
 */
export async function follow(
  call: FollowCall,
  request: AskedRequest,
  delivery: Delivery,
  how: { readonly begin: (signal: AbortSignal) => AsyncIterable<Told>; readonly waits: boolean },
): Promise<void> {
  const { io, home, node, target } = call
  const { id, name } = request
  const mark = (state: string): void => {
    // What is over stays so, whatever is heard of it later.
    if (request.state !== 'done' && requestOf(home, request.peer, id) !== undefined) {
      writeRequest(home, { ...request, state }, io.clock.nowMs())
    }
  }
  const enough = new AbortController()
  using _ending = io.onEnding(() => {
    enough.abort()
  })
  const waiting = new Waiting(call, request)
  const back = `${name}:${call.json ? id : waiting.short}`
  let told: Told | undefined
  try {
    for await (told of how.begin(enough.signal)) {
      if (told.state !== 'pending') break
      mark('pending')
      if (!how.waits) break
      await waiting.start()
    }
  } catch (error) {
    throw cutOff(error, name, back)
  } finally {
    waiting.stop()
    enough.abort()
  }
  if (told === undefined || told.state === 'pending') throw waiting.left(back)
  if (told.state === 'failed') {
    const { state: _, ...refused } = told
    const what = inWords(request)
    const again = `${request.again ?? 'the same command again, with'} --request-id ${id}`
    const failure = refusal(refused, { name, what, back, again, homePath: home.path })
    // What was not heard of may have been done all the same, and what is locked is not decided.
    if (failure.exit === 'unreachable' && refused.ran === 'no') forgetRequest(home, id)
    else if (failure.exit !== 'unreachable' && failure.exit !== 'locked') mark(failure.exit)
    throw failure
  }
  const failure = await handOver(call, {
    request,
    delivery,
    outcome: told,
    back,
    says: waiting.approved(),
  })
  mark(failure?.exit ?? 'done')
  if (!request.isRepeatable) await node.acknowledge(target, id)
  if (failure !== undefined) throw failure
}

/** The Stronghold of this home, through which it was asked, went away: the request did not. */
function cutOff(error: unknown, name: string, back: string): Failure {
  const failure = failureOf(error)
  if (failure.exit !== 'unreachable') return failure
  return new Failure('unreachable', `cannot wait for ${name} any longer`, {
    reason: [failure.message, failure.reason].filter((part) => part !== undefined).join(': '),
    hint: `stronghold request wait ${back}`,
    cause: error,
  })
}

/**
 * Hands over. What cannot be written is still there, and is told where.
 *
 * @returns what is wrong with the answer itself
 * @throws `Failure` for an answer that did not get to where it belongs
 */
async function handOver(
  call: FollowCall,
  given: {
    readonly request: AskedRequest
    readonly delivery: Delivery
    readonly outcome: Outcome
    readonly back: string
    readonly says: string | undefined
  },
): Promise<Failure | undefined> {
  const { request, delivery, outcome, back, says } = given
  try {
    await deliver(call, delivery, outcome, {
      peer: request.peer,
      request: request.id,
      ...(says === undefined ? {} : { says }),
    })
    return undefined
  } catch (error) {
    const failure = failureOf(error)
    if (failure.exit === 'verification_failed') return failure
    const { exit, message, reason, cause } = failure
    throw new Failure(exit, message, {
      cause,
      hint: `the answer is there: stronghold request wait ${back} --out FILE`,
      ...(reason === undefined ? {} : { reason }),
    })
  }
}

/** What whoever sits in front sees while a person elsewhere is asked. */
class Waiting {
  readonly #call: FollowCall
  readonly #request: AskedRequest
  /** What people call the request. */
  readonly short: string
  #sinceMs: number | undefined
  #stop: (() => void) | undefined

  constructor(call: FollowCall, request: AskedRequest) {
    this.#call = call
    this.#request = request
    this.short = shortName(request.id, readRequests(call.home))
    // Somebody comes back to what a person was asked about before.
    if (request.state === 'pending') this.#sinceMs = request.askedAtMs
  }

  /** Once for a log, again and again on a terminal. */
  async start(): Promise<void> {
    const { io, terminal } = this.#call
    this.#sinceMs ??= io.clock.nowMs()
    if (io.stderr.isTerminal) await this.#tick()
    else await terminal.note(this.#lines()[0] ?? '')
  }

  stop(): void {
    this.#stop?.()
    this.#stop = undefined
    this.#call.terminal.endProgress()
  }

  /** That it waits on, when nobody waits for it any more. */
  left(back: string): Failure {
    const { name } = this.#request
    return new Failure('pending', `${name} has not decided yet`, {
      reason: `request ${this.short} waits for a person there, ${this.#left()} left`,
      hint: `to come back: stronghold request wait ${back}`,
    })
  }

  /** Who approved it, where somebody had to wait for that. */
  approved(): string | undefined {
    if (this.#sinceMs === undefined) return undefined
    const tookMs = this.#call.io.clock.nowMs() - this.#sinceMs
    const took = tookMs < 60_000 ? `${Math.round(tookMs / 1000)} s` : printRest(tookMs)
    return `approved by a person at ${this.#request.name}, ${took}`
  }

  async #tick(): Promise<void> {
    const { io, terminal } = this.#call
    // The longest that the line has room for: the rest is told again at the end.
    const lines = this.#lines()
    const room = (io.stderr.columns ?? terminal.columns) - 1
    await terminal.progress(lines.find((line) => line.length <= room) ?? lines.at(-1) ?? '')
    this.#stop = io.clock.setTimer(TICK_MS, () => void this.#tick())
  }

  #lines(): string[] {
    const { name } = this.#request
    const request = this.short
    const front = `waiting for a person at ${name}, request ${request}, ${this.#left()} left`
    return [
      `${front} · ^C leaves it: stronghold request wait ${name}:${request}`,
      `${front} · ^C leaves it`,
      `waiting, ${request}, ${this.#left()} left`,
    ]
  }

  #left(): string {
    return printRest(this.#request.expiresAtMs - this.#call.io.clock.nowMs())
  }
}

/** What was asked, as a sentence names it: `sign on release/app`. */
export function inWords({ what }: Pick<AskedRequest, 'what'>): string {
  const [first, ...more] = what
  if (first === undefined) return 'the request'
  const [use = '', path = ''] = first.split(' ')
  const where = path === '' || path === '-' ? '' : ` on ${path}`
  const others = more.length === 0 ? '' : ` and ${more.length} more`
  return `${use.split(':')[0] ?? use}${where}${others}`
}

function waitOf(text: string | undefined): number {
  if (text === undefined) return USUAL_WAIT_MS
  const ms = parseDuration(text)
  if (ms <= MAX_WAIT_MS) return ms
  throw new Failure('usage', 'cannot use --wait', { reason: 'the longest is 24h' })
}

function absolute({ io }: Pick<Call, 'io'>, file: string | null): string | null {
  return file === null || file === '-' ? file : resolve(io.cwd, file)
}
