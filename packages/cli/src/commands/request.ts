/** `request`: what was asked of others: looked up, waited for, taken back. */
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { PRINTS } from '../deliver.ts'
import { printMoment, printRest } from '../duration.ts'
import { exitOf, EXITS } from '../exits.ts'
import { Failure, quoted } from '../failure.ts'
import { peerTarget } from '../node/target.ts'
import type { PeerTarget } from '../node/target.ts'
import { atPeer } from '../refusals.ts'
import { idsNamed, isOpen, readRequests, shortName, writeRequest } from '../requests.ts'
import type { AskedRequest } from '../requests.ts'
import { remote } from '../terminal.ts'
import { follow, inWords } from '../use-vault.ts'

const shape = z.strictObject({
  id: z.string(),
  request: z.string(),
  peer: z.string(),
  name: z.string(),
  what: z.array(z.string()),
  reason: z.string(),
  state: z.string(),
  asked: z.string(),
  expires: z.string(),
  out: z.string().nullable(),
  receipt: z.string().nullable(),
})

const list = defineCommand({
  name: 'request list',
  says: 'List what was asked of others',
  operands: '[PEER]',
  examples: [
    ['stronghold request list', 'what waits, and what is over since a while'],
    ['stronghold request list home --json', 'of one peer, for a program'],
  ],
  prints: z.object({ requests: z.array(shape) }),
  async run({ home, operands, terminal, io }) {
    const [peer] = operands
    const of = peer === undefined ? undefined : peerTarget(home, peer.replace(/:$/, '')).peer
    const all = readRequests(home)
    const shown = all.filter((one) => of === undefined || one.peer === of)
    const nowMs = io.clock.nowMs()
    const rows = shown.map((one) => [
      `${one.name}:${shortName(one.id, all)}`,
      inWords(one),
      stateOf(one, nowMs),
      isOpen(one, nowMs) ? printRest(one.expiresAtMs - nowMs) : '',
      remote(one.reason),
    ])
    await terminal.result(
      { requests: shown.map((one) => asJson(one, all, nowMs)) },
      rows.length === 0 ? '' : terminal.table(rows, ['REQUEST', 'WHAT', 'STATE', 'LEFT', 'REASON']),
    )
    if (rows.length === 0) await terminal.note('nothing was asked of others lately')
  },
})

const show = defineCommand({
  name: 'request show',
  says: 'Show a request to another Stronghold, as far as was heard of it',
  operands: 'PEER:[ID]',
  examples: [
    ['stronghold request show home:q-7f3a', 'what was asked, and where it stands'],
    ['stronghold request show home: --json', 'the only one that waits there'],
  ],
  prints: shape,
  async run(call) {
    const { home, terminal, io, operands } = call
    const { request } = find(call, operands[0] ?? '')
    if (request === undefined) throw unknown(operands[0] ?? '')
    const all = readRequests(home)
    const nowMs = io.clock.nowMs()
    const { delivery, reason } = request
    const { out, receipt } = delivery
    await terminal.result(
      asJson(request, all, nowMs),
      terminal.table([
        ['request', `${shortName(request.id, all)}, ${request.id}`],
        [
          'asked of',
          request.name === request.peer ? request.peer : `${request.name}, ${request.peer}`,
        ],
        ...request.what.map((one) => ['what', one]),
        ...(reason === '' ? [] : [['reason', remote(reason, 4096)]]),
        ['asked', printMoment(request.askedAtMs)],
        ['until', printMoment(request.expiresAtMs)],
        ['state', stateOf(request, nowMs)],
        ['goes to', out ?? 'stdout'],
        ...(receipt === null ? [] : [['receipt', receipt]]),
      ]),
    )
  },
})

const wait = defineCommand({
  name: 'request wait',
  says: 'Come back to a request, and wait for what becomes of it',
  operands: 'PEER:[ID]',
  options: { out: { value: 'FILE', says: 'where it goes, in the place of what was said before' } },
  examples: [
    ['stronghold request wait home:q-7f3a', 'ends as the command would have that asked'],
    ['stronghold request wait home: --out app.tgz.sig', 'the only one that waits there'],
  ],
  prints: z.union(Object.values(PRINTS)),
  async run(call) {
    const { home, operands, options } = call
    const { target, request, id } = find(call, operands[0] ?? '')
    const nowMs = call.io.clock.nowMs()
    // What nobody here remembers is handed over as it comes.
    const whole = request ?? stranger(target, id, nowMs)
    const { out = whole.delivery.out } = options
    await call.withNode((node) =>
      follow(
        { ...call, node, target },
        { ...whole, name: nameIn(operands[0] ?? '') },
        { ...whole.delivery, out },
        {
          begin: (signal) => node.wait(target, id, request !== undefined, { signal }),
          waits: true,
        },
      ),
    )
    if (request === undefined) {
      await call.terminal.note(`not in the book of ${home.path}: nothing about it is verified`)
    }
  },
})

const cancel = defineCommand({
  name: 'request cancel',
  says: 'Take back a request that waits for a person',
  operands: 'PEER:[ID]',
  changes: true,
  examples: [
    ['stronghold request cancel home:q-7f3a', 'nobody is asked about it any more'],
    ['stronghold request cancel home: --dry-run', 'says which would be taken back'],
  ],
  prints: z.object({ id: z.string(), canceled: z.boolean() }),
  async run(call) {
    const { home, io, operands, terminal, dryRun } = call
    const { target, request, id } = find(call, operands[0] ?? '')
    const name = nameIn(operands[0] ?? '')
    const short = `${name}:${shortName(id, readRequests(home))}`
    const what = request === undefined ? 'the request' : inWords(request)
    if (dryRun) {
      await terminal.result({ id, canceled: false }, `${short}  ${what} would be taken back`)
      return
    }
    const again = `stronghold request cancel ${short}`
    const isCanceled = await atPeer({ home, name, what, again }, () =>
      call.withNode((node) => node.cancel(target, id)),
    )
    if (!isCanceled) {
      throw new Failure('conflict', `cannot take back ${what}`, {
        reason: 'it is decided already',
        hint: `stronghold request wait ${short}`,
      })
    }
    if (request !== undefined) {
      writeRequest(home, { ...request, state: 'canceled' }, io.clock.nowMs())
    }
    await terminal.result({ id, canceled: true }, `${short}  ${what} taken back`)
  },
})

/** The request that `PEER:[ID]` means. @throws `Failure` `not_found`, or `usage` where it means several */
function find(
  { home, io }: Pick<Call, 'home' | 'io'>,
  text: string,
): {
  readonly target: PeerTarget
  readonly id: string
  readonly request: AskedRequest | undefined
} {
  const name = nameIn(text)
  const target = peerTarget(home, name)
  const rest = text.slice(name.length + 1)
  const mine = readRequests(home).filter(({ peer }) => peer === target.peer)
  if (rest === '') {
    const nowMs = io.clock.nowMs()
    const open = mine.filter((one) => isOpen(one, nowMs))
    return { target, ...only(open, text, `nothing asked of ${name} waits`) }
  }
  const ids = idsNamed(rest, mine)
  const digits = rest.replace(/^q-/, '')
  if (ids.length === 0 && /^[0-9a-f]{32}$/.test(digits)) {
    return { target, id: digits, request: undefined }
  }
  return {
    target,
    ...only(
      mine.filter(({ id }) => ids.includes(id)),
      text,
    ),
  }
}

function only(
  found: readonly AskedRequest[],
  text: string,
  none?: string,
): { readonly id: string; readonly request: AskedRequest } {
  const [request, another] = found
  if (request === undefined) throw unknown(text, none)
  if (another === undefined) return { id: request.id, request }
  throw new Failure('usage', `cannot tell which request ${quoted(text)} is`, {
    reason: `${found.length} begin so`,
    hint: 'write more of it: stronghold request list',
  })
}

function unknown(text: string, reason = 'nothing such waits, or was asked lately'): Failure {
  return new Failure('not_found', `cannot find request ${quoted(text)}`, {
    reason,
    hint: 'stronghold request list',
  })
}

function nameIn(text: string): string {
  const colon = text.indexOf(':')
  if (colon > 0) return text.slice(0, colon)
  throw new Failure('usage', `cannot find request ${quoted(text)}`, {
    reason: 'it is not said whom it was asked of',
    hint: `write PEER: in front, like home:${text === '' ? 'q-7f3a' : text}`,
  })
}

/** A request that is in no book here. */
function stranger({ peer, name }: PeerTarget, id: string, nowMs: number): AskedRequest {
  return {
    id,
    peer,
    name,
    what: [],
    reason: '',
    askedAtMs: nowMs,
    expiresAtMs: nowMs,
    state: 'sent',
    isRepeatable: true,
    delivery: { kind: 'outputs', out: null, receipt: null, as: null },
  }
}

/** In words for people: as its exit code is called, where there is one. */
function stateOf(request: AskedRequest, nowMs: number): string {
  const { state } = request
  if (isOpen(request, nowMs)) return state === 'pending' ? 'waits for a person' : 'not heard of yet'
  if (state === 'sent' || state === 'pending') return 'over: nobody decided in time'
  const exit = EXITS.find(({ name }) => name === state)
  return exit === undefined || state === 'done' ? state : `${state} (exit ${exitOf(exit.name)})`
}

function asJson(
  request: AskedRequest,
  all: readonly AskedRequest[],
  nowMs: number,
): z.output<typeof shape> {
  const { id, peer, name, what, reason, askedAtMs, expiresAtMs, delivery } = request
  const isLate =
    (request.state === 'sent' || request.state === 'pending') && !isOpen(request, nowMs)
  return {
    id,
    request: shortName(id, all),
    peer,
    name,
    what: [...what],
    reason,
    state: isLate ? 'expired' : request.state,
    asked: printMoment(askedAtMs),
    expires: printMoment(expiresAtMs),
    out: delivery.out,
    receipt: delivery.receipt,
  }
}

/** What `request` knows. */
export const REQUEST_COMMANDS: readonly Command[] = [list, show, wait, cancel]
