/**
 * `relay`: this machine as a relay, which forwards what it cannot read, and the relays that this Stronghold is reached through.
 * A relay needs no vault and no passphrase.
 */
import type { RelayQuota, RelayUsage } from '@stronghold/p2p'
import { z } from 'zod'

import { readBook } from '../book.ts'
import { defineCommand } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { writeSetting } from '../config.ts'
import { printMoment, printRest } from '../duration.ts'
import { Failure, quoted } from '../failure.ts'
import { RELAY_WATCH_MS } from '../limits.ts'
import type { RelayLook } from '../node/relay.ts'
import { peerTarget } from '../node/target.ts'
import { metricsOf } from '../relay-metrics.ts'
import {
  parseQuota,
  printQuota,
  QUOTA_FORM,
  readTerms,
  withPeer,
  withQuota,
  writeTerms,
} from '../relay-terms.ts'
import type { RelayTerms } from '../relay-terms.ts'
import { remote } from '../terminal.ts'
import { printBytes } from '../ways.ts'
import { runningHere } from './net.ts'
import { readyShape } from './up.ts'

const SERVE_OPTIONS = {
  listen: { value: 'ADDRESS', says: 'where to listen, in the place of the setting', many: true },
  allow: {
    value: 'PEER',
    says: 'who may be reached through it, from now on; nobody else then',
    many: true,
  },
  quota: { value: 'QUOTA', says: `what everybody may use, from now on: ${QUOTA_FORM}`, many: true },
  rendezvous: { says: 'be a rendezvous point, too: peers find each other here' },
} as const

const serveRelay = defineCommand({
  name: 'relay serve',
  says: 'Run a relay: others reach each other through it, and it reads nothing of what it carries',
  options: SERVE_OPTIONS,
  examples: [
    ['stronghold relay serve', 'for everybody, within bounds'],
    [
      'stronghold relay serve --allow home --quota bytes-per-day=1GB --rendezvous --json',
      'for one, in a service',
    ],
  ],
  prints: readyShape,
  async run(call) {
    const { io, home, config, terminal, options } = call
    const terms = termsAtStart(call)
    const { serve } = await import('../daemon/serve.ts')
    const { networkOf } = await import('../node/running.ts')
    const stopped = Promise.withResolvers<undefined>()
    using _ending = io.onEnding(() => {
      stopped.resolve(undefined)
    })
    const network = networkOf(config)
    await using serving = await serve({
      io,
      home,
      config,
      kind: 'relay',
      command: 'relay serve',
      node: {
        ...network,
        relay: {
          ...network.relay,
          serve: {
            quota: terms.quota,
            quotas: terms.quotas,
            ...(terms.everybody ? {} : { allow: terms.allowed }),
          },
        },
        ...(options.rendezvous === true
          ? { find: { ...network.find, rendezvous: { ...network.find?.rendezvous, serve: true } } }
          : {}),
      },
    })
    const { peer, addrs } = await serving.door.status()
    const line = (name: string, text: string): string =>
      `${terminal.strong(name.padEnd(5))}  ${text}`
    await terminal.result(
      { peer, addrs },
      [
        line('relay', `for ${terms.everybody ? 'everybody' : `${terms.allowed.length} by name`}`),
        line('peer', peer),
        ...addrs.map((address, index) => line(index === 0 ? 'at' : '', address)),
        line('use', `elsewhere: stronghold relay use ${addrs.at(-1) ?? 'ADDRESS'}`),
      ].join('\n'),
    )
    const why = await Promise.race([serving.ended, stopped.promise])
    if (why !== undefined) throw why
  },
})

/** The terms of the home with what was said at the start, which stay. */
function termsAtStart(call: Call<typeof SERVE_OPTIONS>): RelayTerms {
  const { home, options } = call
  const before = readTerms(home)
  let terms = before
  if (options.allow !== undefined) {
    terms = { ...terms, everybody: false }
    for (const text of options.allow) {
      terms = withPeer(terms, peerTarget(home, text).peer, 'allow')
    }
  }
  if (options.quota !== undefined) {
    terms = withQuota(terms, 'everybody', parseQuota(options.quota))
  }
  if (terms !== before) writeTerms(home, terms)
  return terms
}

const lookShape = z.object({
  serving: z
    .object({
      everybody: z.boolean(),
      reservations: z.int(),
      openCircuits: z.int(),
      circuits: z.int(),
      bytes: z.int(),
      refused: z.int(),
    })
    .nullable(),
  relays: z.array(
    z.object({
      address: z.string(),
      state: z.string(),
      addresses: z.array(z.string()),
      expires: z.string().nullable(),
      retry: z.string().nullable(),
      failures: z.int(),
      message: z.string().nullable(),
    }),
  ),
})

const status = defineCommand({
  name: 'relay status',
  says: 'Show what this relay carries, and how the relays stand that this Stronghold is reached through',
  options: {
    watch: { says: 'again and again, until ^C' },
    metrics: { says: 'in the text format of Prometheus' },
  },
  examples: [
    ['stronghold relay status --watch', 'a live view'],
    ['stronghold relay status --metrics', 'for a collector'],
  ],
  prints: lookShape,
  async run(call) {
    const { io, terminal, options } = call
    const node = await runningHere(call, 'look at the relay')
    if (options.metrics === true) {
      await io.stdout.write(metricsOf(await node.relayLook(), await node.relayUsage()))
      return
    }
    const print = async (): Promise<void> => {
      const look = await node.relayLook()
      const usage = look.serving === null ? [] : await node.relayUsage()
      const text = lookText(call, look, usage)
      const isScreen = options.watch === true && !call.json && io.stdout.isTerminal
      await terminal.result(
        {
          serving: look.serving,
          relays: look.relays.map((one) => ({
            address: one.address,
            state: one.state,
            addresses: one.addresses,
            expires: moment(one.expiresAtMs),
            retry: moment(one.retryAtMs),
            failures: one.failures,
            message: one.message === undefined ? null : remote(one.message),
          })),
        },
        isScreen ? `${HOME_AND_CLEAR}${text}` : text,
      )
    }
    if (options.watch !== true) {
      await print()
      return
    }
    const over = new AbortController()
    using _ending = io.onEnding(() => {
      over.abort()
    })
    while (!over.signal.aborted) {
      await print()
      await Promise.race([io.sleep(RELAY_WATCH_MS), whenAborted(over.signal)])
    }
  },
})

/** To the first cell, and everything below it away. */
const HOME_AND_CLEAR = '\u001b[H\u001b[J'

function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else {
      signal.addEventListener(
        'abort',
        () => {
          resolve()
        },
        { once: true },
      )
    }
  })
}

function moment(ms: number | undefined): string | null {
  return ms === undefined ? null : printMoment(ms)
}

function lookText(
  { terminal, home, io }: Pick<Call, 'terminal' | 'home' | 'io'>,
  { serving, relays }: RelayLook,
  usage: readonly RelayUsage[],
): string {
  const rows: string[][] = []
  if (serving !== null) {
    rows.push(
      ['serves', serving.everybody ? 'everybody who is not denied' : 'who is allowed by name'],
      [
        'now',
        `${count(serving.reservations, 'reservation')}, ${count(serving.openCircuits, 'circuit')}`,
      ],
      [
        'so far',
        `${count(serving.circuits, 'circuit')}, ${printBytes(serving.bytes)}, refused ${serving.refused}`,
      ],
    )
  }
  const nowMs = io.clock.nowMs()
  for (const one of relays) {
    const when =
      one.expiresAtMs !== undefined
        ? `, ${printRest(one.expiresAtMs - nowMs)} left`
        : one.retryAtMs !== undefined
          ? `, tried again in ${printRest(one.retryAtMs - nowMs)}`
          : ''
    const why = one.message === undefined ? '' : `: ${remote(one.message)}`
    rows.push(['through', `${one.address}  ${one.state}${when}${why}`])
  }
  if (rows.length === 0) {
    return 'this is no relay, and uses none: stronghold relay use ADDRESS'
  }
  const most = usage.slice(0, SHOWN_PEERS)
  const text = terminal.table(rows)
  return most.length === 0 ? text : `${text}\n\n${usageText({ terminal, home }, most)}`
}

/** How many peers the live view shows. */
const SHOWN_PEERS = 20

function count(many: number, word: string): string {
  return `${many} ${word}${many === 1 ? '' : 's'}`
}

function usageText(
  { terminal, home }: Pick<Call, 'terminal' | 'home'>,
  usage: readonly RelayUsage[],
): string {
  const names = new Map(readBook(home).map(({ peer, name }) => [peer, name]))
  return terminal.table(
    usage.map((one) => [
      names.get(one.peer) ?? one.peer,
      one.reservedUntilMs === undefined ? '' : `until ${printMoment(one.reservedUntilMs)}`,
      `${one.openCircuits} of ${one.circuits}`,
      printBytes(one.bytesToday),
      printBytes(one.bytes),
    ]),
    ['PEER', 'RESERVED', 'CIRCUITS', 'TODAY', 'IN ALL'],
  )
}

const usage = defineCommand({
  name: 'relay usage',
  says: 'Show what each peer used of this relay, the most recent first',
  examples: [
    ['stronghold relay usage', 'reservations, circuits, bytes'],
    ['stronghold relay usage --json', 'for a program'],
  ],
  prints: z.object({
    peers: z.array(
      z.object({
        peer: z.string(),
        reservedUntil: z.string().nullable(),
        reservations: z.int(),
        openCircuits: z.int(),
        circuits: z.int(),
        bytes: z.int(),
        bytesToday: z.int(),
      }),
    ),
  }),
  async run(call) {
    const { terminal } = call
    const node = await runningHere(call, 'say what is used of the relay')
    const all = await node.relayUsage()
    await terminal.result(
      {
        peers: all.map(({ reservedUntilMs, ...one }) => ({
          peer: one.peer,
          reservedUntil: moment(reservedUntilMs),
          reservations: one.reservations,
          openCircuits: one.openCircuits,
          circuits: one.circuits,
          bytes: one.bytes,
          bytesToday: one.bytesToday,
        })),
      },
      all.length === 0 ? '' : usageText(call, all),
    )
    if (all.length === 0) await terminal.note('nobody used this relay yet')
  },
})

/** Writes terms, and has whoever runs here keep them. */
async function keepTerms(call: Call, terms: RelayTerms): Promise<void> {
  writeTerms(call.home, terms)
  const node = await call.runningNode()
  await node?.relayTermsChanged()
}

/** `relay allow` and `relay deny`: now, and after a restart. */
function allowing(verdict: 'allow' | 'deny'): Command {
  const isAllowed = verdict === 'allow'
  return defineCommand({
    name: `relay ${verdict}`,
    says: isAllowed
      ? 'Let a peer, or everybody who is not denied, be reached through this relay'
      : 'Refuse a peer on this relay and cut its circuits, or everybody who is not allowed by name',
    operands: 'PEER|everybody',
    changes: true,
    examples: [
      [`stronghold relay ${verdict} ci`, 'one peer, now and after a restart'],
      [
        `stronghold relay ${verdict} everybody`,
        isAllowed ? 'but who is denied' : 'but who is allowed by name',
      ],
    ],
    prints: z.object({ peer: z.string(), allowed: z.boolean() }),
    async run(call) {
      const { home, terminal } = call
      const [text = ''] = call.operands
      const peer = text === 'everybody' ? text : peerTarget(home, text).peer
      if (!call.dryRun) await keepTerms(call, withPeer(readTerms(home), peer, verdict))
      await terminal.result(
        { peer, allowed: isAllowed },
        `${text}  ${call.dryRun ? 'would be ' : ''}${isAllowed ? 'allowed' : 'denied'}`,
      )
    },
  })
}

const quota = defineCommand({
  name: 'relay quota',
  says: 'Show or set what a peer, or everybody, may use of this relay; none takes it back',
  operands: 'PEER|everybody [QUOTA...]',
  changes: true,
  examples: [
    ['stronghold relay quota ci circuits=4 bytes-per-day=1GB', 'now and after a restart'],
    ['stronghold relay quota everybody circuit-bytes=1MB circuit-time=10m', 'who has no other'],
  ],
  prints: z.object({
    peer: z.string(),
    quota: z
      .object({
        bytesPerDay: z.int().optional(),
        circuits: z.int().optional(),
        circuitBytes: z.int().optional(),
        circuitMs: z.int().optional(),
      })
      .nullable(),
  }),
  async run(call) {
    const { home, terminal } = call
    const [text = '', ...words] = call.operands
    const peer = text === 'everybody' ? text : peerTarget(home, text).peer
    const before = readTerms(home)
    const terms =
      words.length === 0
        ? before
        : withQuota(before, peer, words[0] === 'none' ? undefined : parseQuota(words))
    if (words.length > 0 && !call.dryRun) await keepTerms(call, terms)
    const now: RelayQuota | undefined = peer === 'everybody' ? terms.quota : terms.quotas[peer]
    const isNone = now === undefined || Object.keys(now).length === 0
    await terminal.result(
      { peer, quota: isNone ? null : now },
      `${text}  ${isNone ? 'what is usual' : printQuota(now)}`,
    )
  },
})

/** `relay use` and `relay unuse`: now, and in the configuration. */
function using(used: boolean): Command {
  const verb = used ? 'use' : 'unuse'
  return defineCommand({
    name: `relay ${verb}`,
    says: used
      ? 'Be reached through a relay, now and from each start on'
      : 'Be no longer reached through a relay',
    operands: 'ADDRESS',
    changes: true,
    examples: [
      [
        `stronghold relay ${verb} /dns/relay.example/tcp/7430/p2p/12D3KooWGjmG2kLsxiSUyHx1XF6u4qAZnEZrKEp3K12yomBjSh5J`,
        'by its address, which ends with its peer id',
      ],
      [`stronghold relay ${verb} /p2p-circuit`, 'any relay that is known'],
    ],
    prints: z.object({ address: z.string(), used: z.boolean() }),
    async run(call) {
      const { config, terminal } = call
      const address = circuitOf(call.operands[0] ?? '')
      const before = config.list('relay.use')
      const others = before.filter((one) => one !== address)
      const node = await call.runningNode()
      if (!call.dryRun) {
        // What runs knows best what is an address of a relay.
        const was = used ? await node?.relayUse(address) : await node?.relayUnuse(address)
        if (!used && was !== true && others.length === before.length) {
          throw new Failure('not_found', `cannot stop using ${quoted(address)}`, {
            reason: 'it is not used',
            hint: 'stronghold relay status',
          })
        }
        writeSetting(config.path, 'relay.use', (used ? [...others, address] : others).join(','))
      }
      const state = used ? 'used' : 'no longer used'
      const later = node === undefined ? ', from the next start on' : ''
      await terminal.result(
        { address, used },
        call.dryRun ? `would be ${state}` : `${address}  ${state}${later}`,
      )
      if (used && node !== undefined) await terminal.note('how it stands: stronghold relay status')
    },
  })
}

/** The address of a relay as one is reached through it. @throws `Failure` `usage` for what names no relay */
function circuitOf(text: string): string {
  if (text.endsWith('/p2p-circuit')) return text
  if (/\/p2p\/[1-9A-HJ-NP-Za-km-z]{40,128}$/.test(text)) return `${text}/p2p-circuit`
  throw new Failure('usage', `cannot use ${quoted(text)}`, {
    reason: 'the address of a relay ends with its peer id: /p2p/12D3…',
    hint: 'it is what stronghold relay serve prints there',
  })
}

/** Relays. */
export const RELAY_COMMANDS: readonly Command[] = [
  serveRelay,
  status,
  usage,
  allowing('allow'),
  allowing('deny'),
  quota,
  using(true),
  using(false),
]
