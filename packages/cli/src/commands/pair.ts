/**
 * `pair`: two Strongholds meet by a ticket that one prints and the other is given. Each becomes known to the other, and
 * neither gets a right. Whoever is right about a ticket the guard says.
 */
import { toHex } from '@stronghold/core'
import type { KnownPeer, OwnerDoor } from '@stronghold/guard'
import { z } from 'zod'

import { assertPeerName, inBook, readBook } from '../book.ts'
import { defineCommand } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { readWhole } from '../data.ts'
import { parseDuration, printMoment, printRest } from '../duration.ts'
import { Failure, failureOf, quoted } from '../failure.ts'
import { hasVault } from '../home.ts'
import { assertNameIsFree, assertNotOurselves, makeKnown } from '../known.ts'
import { MAX_TICKET_TEXT } from '../limits.ts'
import { list } from '../lists.ts'
import type { NodeStatus } from '../node/life.ts'
import { bestFirst } from '../places.ts'
import { remote } from '../terminal.ts'
import { unreached } from '../unreached.ts'
import { printConnected } from '../ways.ts'

/** How long a ticket is good where nobody says. */
const USUAL_TTL = '10m'
/** What the other side is called where nobody says: it is where the keys are. */
const USUAL_NAME = 'home'
/** How often what is left of a ticket's time is told. */
const TELL_MS = 1000

const NEW_OPTIONS = {
  tag: { value: 'TAG', says: 'of whoever joins, for rules: @TAG', many: true },
  ttl: { value: 'TIME', says: `how long the ticket is good; default ${USUAL_TTL}, at most 24h` },
  'no-wait': { says: 'print the ticket, and do not wait for it to be used' },
} as const

const ticketShape = z.object({ ticket: z.string(), id: z.string(), expires: z.string() })
const metShape = z.object({ peer: z.string(), name: z.string(), tags: z.array(z.string()) })

const newTicket = defineCommand({
  name: 'pair new',
  says: 'Print a ticket by which another Stronghold and this one get to know each other, once',
  operands: '[NAME]',
  options: NEW_OPTIONS,
  examples: [
    ['stronghold pair new ci', 'and on the other machine: stronghold pair join TICKET'],
    ['stronghold pair new ci --tag builders --ttl 1h --no-wait', 'for later'],
  ],
  prints: z.union([ticketShape, metShape]),
  async run(call) {
    const { home, options, operands, terminal, io } = call
    const [name] = operands
    const lifetimeMs = parseDuration(options.ttl ?? USUAL_TTL)
    const tags = list(
      (options.tag ?? []).map((one) => one.replace(/^@/, '')),
      'tag',
    )
    const status = await serving(call)
    if (name !== undefined) {
      assertPeerName(name)
      assertNameIsFree(readBook(home), name)
    }
    const { printTicket } = await import('@stronghold/remote/connect')
    const { parsePeerId } = await import('@stronghold/p2p')
    return await call.withOwner(async (owner) => {
      if (name !== undefined) await assertNotKnown(owner, name)
      const { id, secret, expiresAtMs } = await owner.newTicket({
        ...(name === undefined ? {} : { name }),
        tags,
        lifetimeMs,
      })
      const ticket = printTicket({
        peer: parsePeerId(status.peer),
        addresses: await bestFirst(status.addrs),
        secret,
      })
      await terminal.result({ ticket, id: toHex(id), expires: printMoment(expiresAtMs) }, ticket)
      if (status.addrs.length === 0) {
        await terminal.note('note: it names no address, since this Stronghold listens nowhere')
      }
      if (!call.json) {
        await terminal.note(
          `on the other machine, until ${printMoment(expiresAtMs)}: stronghold pair join TICKET`,
        )
      }
      if (options['no-wait'] === true) return 0
      const peer = await used({ owner, id, expiresAtMs, call })
      if (peer === undefined) throw unused(expiresAtMs <= io.clock.nowMs())
      await terminal.result(
        { peer: peer.peer, name: peer.name, tags: [...peer.tags] },
        `${peer.name}  ${peer.peer}  known, may do nothing yet`,
      )
      await terminal.note(
        `hint: stronghold rule add --peers ${peer.name} --procedures pub --paths 'PATH/**' --effect allow`,
      )
      return 0
    })
  },
})

/** The Stronghold that runs here and serves its vault. @throws `Failure` `not_found` where none does */
async function serving(call: Pick<Call, 'home' | 'runningNode'>): Promise<NodeStatus> {
  const status = await (await call.runningNode())?.status()
  if (status?.kind === 'up' && status.vault) return status
  const [reason, hint] = !hasVault(call.home)
    ? ['there is no vault here to give rights to', 'stronghold init']
    : status === undefined
      ? ['no Stronghold runs in this home, so nobody could reach it', 'stronghold up']
      : ['what runs here is a relay, and serves no vault', 'stronghold down, then stronghold up']
  throw new Failure('not_found', 'cannot pair', { reason, hint })
}

async function assertNotKnown(owner: OwnerDoor, name: string): Promise<void> {
  const other = (await owner.peers()).find((one) => one.name === name)
  if (other === undefined) return
  throw new Failure('conflict', `cannot pair with ${quoted(name)}`, {
    reason: `${other.peer} is called so`,
    hint: `stronghold peer rename ${name} ANOTHER-NAME`,
  })
}

interface Waiting {
  readonly owner: OwnerDoor
  readonly id: Uint8Array
  readonly expiresAtMs: number
  readonly call: Pick<Call, 'io' | 'terminal'>
}

/** Waits for a ticket to be used; whoever no longer wants to wait closes it. */
async function used({ owner, id, expiresAtMs, call }: Waiting): Promise<KnownPeer | undefined> {
  const { io, terminal } = call
  const over = new AbortController()
  let isGivenUp = false
  using _ending = io.onEnding(() => {
    isGivenUp = true
    over.abort()
  })
  const tell = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const restMs = expiresAtMs - io.clock.nowMs()
      await terminal.progress(`waiting for it, ${printRest(restMs)} left · ^C closes the ticket`)
      await io.sleep(TELL_MS)
    }
  }
  if (io.stderr.isTerminal) void tell()
  try {
    const peer = await owner.ticketUsed(id, { signal: over.signal })
    if (!isGivenUp) return peer
    await owner.cancelTicket(id)
    throw new Failure('expired', 'cannot pair', {
      reason: 'you took the ticket back',
      hint: 'stronghold pair new',
    })
  } finally {
    over.abort()
    terminal.endProgress()
  }
}

function unused(isOver: boolean): Failure {
  return new Failure('expired', 'cannot pair', {
    reason: isOver
      ? 'nobody used the ticket in time'
      : 'the ticket was closed: cancelled, by too many wrong proofs, or by locking',
    hint: 'stronghold pair new',
  })
}

/** What a ticket says. @throws `Failure` `usage` for what is none */
function ticketOf<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    const { exit, message, reason, cause } = failureOf(error)
    throw new Failure(exit, message, {
      ...(reason === undefined ? {} : { reason }),
      hint: 'copy all of it, from shpair1 to its end; there, for another: stronghold pair new',
      cause,
    })
  }
}

const join = defineCommand({
  name: 'pair join',
  says: 'Get to know the Stronghold that printed a ticket; - reads it from stdin',
  operands: 'TICKET|- [NAME]',
  unlocks: true,
  examples: [
    ['stronghold pair join shpair1… home', 'it is called home from now on'],
    ['ssh home stronghold pair new ci --no-wait | stronghold pair join - home', 'through a pipe'],
  ],
  prints: z.object({
    peer: z.string(),
    name: z.string(),
    addresses: z.array(z.string()),
    known: z.boolean(),
    knownAs: z.string().nullable(),
    way: z.string().nullable(),
    security: z.string().nullable(),
    rttMs: z.number().nullable(),
  }),
  async run(call) {
    const { home, terminal, operands, io } = call
    const [given = '', wanted] = operands
    const whole =
      given === '-'
        ? new TextDecoder().decode(await readWhole(call, undefined, MAX_TICKET_TEXT))
        : given
    // Copied off a narrow screen it comes in several lines.
    const text = whole.replace(/\s+/g, '')
    const { parseTicket } = await import('@stronghold/remote/connect')
    const { peer } = ticketOf(() => parseTicket(text))
    await assertNotOurselves(home, peer, 'cannot join')
    const name = nameFor(readBook(home), peer, wanted)
    const over = new AbortController()
    using _ending = io.onEnding(() => {
      over.abort()
    })
    await terminal.progress('joining · ^C gives up')
    const joined = await call
      .withNode((node) => node.joinPeer(text, { signal: over.signal }))
      .catch((error: unknown) => {
        throw notJoined(error, name)
      })
    terminal.endProgress()
    if (joined === undefined) {
      throw new Failure('expired', 'cannot join', {
        reason: 'you gave up',
        hint: 'the ticket may be used again unless it was taken: stronghold pair join TICKET',
      })
    }
    const addresses = joined.addresses.map((one) => one.replace(/\/p2p\/[^/]+$/, ''))
    const { entry, isKnown } = await makeKnown(call, { peer, name, addresses })
    const { connection, knownAs } = joined
    const how = connection === null ? 'no longer connected' : printConnected(connection)
    const as = knownAs === null ? 'knows this machine' : `knows this machine as ${remote(knownAs)}`
    await terminal.result(
      {
        peer,
        name,
        addresses: [...entry.addresses],
        known: isKnown,
        knownAs: knownAs === null ? null : remote(knownAs),
        way: connection?.way ?? null,
        security: connection?.security ?? null,
        rttMs: connection?.rttMs ?? null,
      },
      `${name}  ${peer}  ${how} · ${as}, allows nothing yet`,
    )
    if (!isKnown && hasVault(home)) {
      await terminal.note(
        `note: it is known here after unlock: stronghold peer add ${name} ${peer}`,
      )
    }
  },
})

function notJoined(error: unknown, name: string): unknown {
  const isRefused = (error as { reason?: unknown }).reason === 'ticket_refused'
  if (!isRefused) return unreached(error, name)
  return new Failure('denied', `${name} does not take the ticket`, {
    reason: 'it is used, closed, past its time, or another one',
    hint: 'on the other machine: stronghold pair new',
    cause: error,
  })
}

/** What a peer is called here: as asked for, as it is called already, else `home`. */
function nameFor(
  book: ReturnType<typeof readBook>,
  peer: string,
  wanted: string | undefined,
): string {
  const name = wanted ?? inBook(book, peer)?.name ?? USUAL_NAME
  assertPeerName(name)
  if (wanted === undefined && book.some((one) => one.name === name && one.peer !== peer)) {
    throw new Failure('conflict', 'cannot join', {
      reason: `another peer is called ${name} already`,
      hint: 'stronghold pair join TICKET NAME',
    })
  }
  assertNameIsFree(book, name, peer)
  return name
}

const listTickets = defineCommand({
  name: 'pair list',
  says: 'List the tickets that are open',
  unlocks: true,
  examples: [
    ['stronghold pair list', 'for whom, and until when'],
    ['stronghold pair list --json', 'for a program'],
  ],
  prints: z.object({
    tickets: z.array(
      z.object({ id: z.string(), name: z.string(), expires: z.string(), wrong: z.int() }),
    ),
  }),
  async run(call) {
    await serving(call)
    const tickets = await call.withOwner((owner) => owner.tickets())
    const { terminal } = call
    await terminal.result(
      {
        tickets: tickets.map(({ id, name, expiresAtMs, wrong }) => {
          return { id: toHex(id), name, expires: printMoment(expiresAtMs), wrong }
        }),
      },
      tickets.length === 0
        ? ''
        : terminal.table(
            tickets.map(({ id, name, expiresAtMs, wrong }) => [
              toHex(id).slice(0, 8),
              name,
              printMoment(expiresAtMs),
              wrong === 0 ? '' : `${wrong} wrong ${wrong === 1 ? 'proof' : 'proofs'}`,
            ]),
            ['ID', 'NAME', 'UNTIL', ''],
          ),
    )
    if (tickets.length === 0) await terminal.note('no ticket is open: stronghold pair new NAME')
  },
})

const cancel = defineCommand({
  name: 'pair cancel',
  says: 'Close an open ticket, by its name or the beginning of its id',
  operands: 'NAME|ID',
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold pair cancel ci', 'by the name that whoever joins would get'],
    ['stronghold pair cancel 3f9a01c2', 'by its id'],
  ],
  prints: z.object({ id: z.string(), name: z.string() }),
  async run(call) {
    const [text = ''] = call.operands
    await serving(call)
    const closed = await call.withOwner(async (owner) => {
      const tickets = await owner.tickets()
      const named = tickets.filter(({ name }) => name === text)
      const found = named.length > 0 ? named : tickets.filter((one) => isBeginning(text, one.id))
      const [one, another] = found
      if (one === undefined || another !== undefined) {
        throw new Failure(one === undefined ? 'not_found' : 'usage', 'cannot close the ticket', {
          reason:
            one === undefined
              ? `no open one is ${quoted(text)}`
              : `${found.length} open ones are ${quoted(text)}`,
          hint: 'stronghold pair list',
        })
      }
      if (!call.dryRun) await owner.cancelTicket(one.id)
      return { id: toHex(one.id), name: one.name }
    })
    await call.terminal.result(
      closed,
      `${closed.id.slice(0, 8)}  ${closed.name}  ${call.dryRun ? 'would be closed' : 'closed'}`,
    )
  },
})

function isBeginning(text: string, id: Uint8Array): boolean {
  return text.length >= 4 && toHex(id).startsWith(text.toLowerCase())
}

/** Meeting by tickets. */
export const PAIR_COMMANDS: readonly Command[] = [newTicket, join, listTickets, cancel]
