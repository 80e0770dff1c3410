/** `net`: the network around this Stronghold. Where it is reached, whom it refuses by address, who is found, who is how far. */
import { z } from 'zod'

import { readBook } from '../book.ts'
import { defineCommand } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { writeSetting } from '../config.ts'
import { parseDuration, printMoment } from '../duration.ts'
import { Failure, quoted } from '../failure.ts'
import { MAX_FIND_MS } from '../limits.ts'
import { list } from '../lists.ts'
import type { NodeDoor } from '../node/door.ts'
import { peerTarget } from '../node/target.ts'
import { connectedShape } from '../shapes.ts'
import { remote } from '../terminal.ts'
import { unreached } from '../unreached.ts'
import { printAddress, printBytes, printRtt, WAY_NAMES } from '../ways.ts'

/** How long a search goes where nobody says. */
const USUAL_SEARCH = '20s'

/** The node that stays. @throws `Failure` `not_found` where none runs */
export async function runningHere(
  { runningNode }: Pick<Call, 'runningNode'>,
  action: string,
): Promise<NodeDoor> {
  const node = await runningNode()
  if (node !== undefined) return node
  throw new Failure('not_found', `cannot ${action}`, {
    reason: 'nothing runs in this home',
    hint: 'stronghold up, or stronghold relay serve',
  })
}

const listen = defineCommand({
  name: 'net listen',
  says: 'Listen on one more address until this Stronghold ends',
  operands: 'ADDRESS',
  changes: true,
  examples: [
    ['stronghold net listen /ip4/0.0.0.0/tcp/7440', 'one more port'],
    ['stronghold net listen RELAY-ADDRESS/p2p-circuit', 'through a relay; returns when it stands'],
  ],
  prints: z.object({ addrs: z.array(z.string()) }),
  async run(call) {
    const [address = ''] = call.operands
    const node = await runningHere(call, `listen on ${quoted(address)}`)
    if (call.dryRun) {
      await call.terminal.result({ addrs: [] }, `would listen on ${address}`)
      return
    }
    const addrs = [...(await node.listen(address))]
    await call.terminal.result({ addrs }, addrs.join('\n'))
    await call.terminal.note('for every start: stronghold config set listen ADDRESS,ADDRESS')
  },
})

const unlisten = defineCommand({
  name: 'net unlisten',
  says: 'Stop listening on an address; connections stay',
  operands: 'ADDRESS',
  changes: true,
  examples: [
    ['stronghold net unlisten /ip4/0.0.0.0/tcp/7440', 'as it was listened on'],
    ['stronghold net unlisten /ip4/0.0.0.0/tcp/7440 --dry-run', 'says what would be done'],
  ],
  prints: z.object({ address: z.string(), stopped: z.boolean() }),
  async run(call) {
    const [address = ''] = call.operands
    const node = await runningHere(call, `stop listening on ${quoted(address)}`)
    const stopped = !call.dryRun && (await node.unlisten(address))
    if (!stopped && !call.dryRun) {
      throw new Failure('not_found', `cannot stop listening on ${quoted(address)}`, {
        reason: 'nothing listens there',
        hint: 'stronghold net addrs',
      })
    }
    const verb = call.dryRun ? 'would no longer be' : 'is no longer'
    await call.terminal.result({ address, stopped }, `${address}  ${verb} listened on`)
  },
})

const addrs = defineCommand({
  name: 'net addrs',
  says: 'Show where this Stronghold is reached, and where others see it',
  examples: [
    ['stronghold net addrs', 'addresses, relays, ports, bans'],
    ['stronghold net addrs --json', 'for a program'],
  ],
  prints: z.object({
    addrs: z.array(z.string()),
    seen: z.array(z.object({ address: z.string(), by: z.int() })),
    reachability: z.array(
      z.object({ address: z.string(), state: z.string(), checked: z.string().nullable() }),
    ),
    ports: z.array(z.object({ port: z.int(), state: z.string(), outside: z.string().nullable() })),
    relays: z.array(z.object({ address: z.string(), state: z.string() })),
    banned: z.array(z.string()),
  }),
  async run(call) {
    const { terminal } = call
    const node = await runningHere(call, 'say where it is reached')
    const { addrs, seen, reachability, ports, relays, banned } = await node.addresses()
    const outside = (one: (typeof ports)[number]): string | null =>
      one.outside === undefined ? null : `${one.outside.host} port ${one.outside.port}`
    const rows = [
      ...addrs.map((address) => ['at', address]),
      ...reachability.map(({ address, state }) => [state, address]),
      ...seen.map(({ address, by }) => ['seen at', `${printAddress(address)}  by ${by}`]),
      ...ports.map((one) => [
        'port',
        `${one.port}  ${one.state}${outside(one) === null ? '' : `  ${outside(one) ?? ''}`}${one.message === undefined ? '' : `  ${remote(one.message)}`}`,
      ]),
      ...relays.map(({ address, state, message }) => [
        'relay',
        `${address}  ${state}${message === undefined ? '' : `  ${remote(message)}`}`,
      ]),
      ...banned.map((address) => ['banned', address]),
    ]
    await terminal.result(
      {
        addrs,
        seen: seen.map(({ address, by }) => ({ address: printAddress(address), by })),
        reachability: reachability.map(({ address, state, checkedAtMs }) => {
          return {
            address,
            state,
            checked: checkedAtMs === undefined ? null : printMoment(checkedAtMs),
          }
        }),
        ports: ports.map((one) => ({ port: one.port, state: one.state, outside: outside(one) })),
        relays: relays.map(({ address, state }) => ({ address, state })),
        banned,
      },
      rows.length === 0 ? '' : terminal.table(rows),
    )
    if (addrs.length === 0) {
      await terminal.note('it is reached nowhere: stronghold net listen /ip4/0.0.0.0/tcp/7430')
    }
  },
})

const identify = defineCommand({
  name: 'net identify',
  says: 'Ask a peer what it is; what it says are claims, but for its id',
  operands: 'PEER',
  examples: [
    ['stronghold net identify ci', 'by name'],
    [
      'stronghold net identify /ip4/192.168.1.7/tcp/7430/p2p/12D3KooWGjmG2kLsxiSUyHx1XF6u4qAZnEZrKEp3K12yomBjSh5J',
      'by address',
    ],
  ],
  prints: z.object({
    ...connectedShape,
    name: z.string(),
    agent: z.string().nullable(),
    protocols: z.array(z.string()),
    addresses: z.array(z.string()),
  }),
  async run(call) {
    const { terminal, operands, io } = call
    const target = peerTarget(call.home, operands[0] ?? '')
    const over = new AbortController()
    using _ending = io.onEnding(() => {
      over.abort()
    })
    const found = await call
      .withNode((node) => node.identifyPeer(whomOf(target), { signal: over.signal }))
      .catch((error: unknown) => {
        throw unreached(error, target.name)
      })
    if (found === undefined) throw givenUp()
    const { connected, heard } = found
    const { peer, address, way, security, rttMs } = connected
    const said = {
      agent: heard === null ? null : remote(heard.agent),
      protocols: (heard?.protocols ?? []).map((one) => remote(one)),
      addresses: (heard?.addresses ?? []).map((one) => remote(one)),
    }
    await terminal.result(
      { peer, name: target.name, address: printAddress(address), way, security, rttMs, ...said },
      terminal.table([
        ['peer', peer],
        ['at', printAddress(address)],
        ['reached', `${WAY_NAMES[way]}, ${security}, ${printRtt(rttMs)}`],
        ['says', said.agent ?? 'nothing of itself'],
        ...said.addresses.map((one) => ['listens', one]),
        ...said.protocols.map((one) => ['speaks', one]),
      ]),
    )
  },
})

/** Whom the node door is asked for. */
export function whomOf({ peer, addresses }: ReturnType<typeof peerTarget>): {
  peer: string
  addresses: readonly string[]
} {
  return { peer, addresses }
}

/** Whoever sat in front no longer wants to wait. */
export function givenUp(): Failure {
  return new Failure('expired', 'cannot go on', { reason: 'you gave up', hint: 'try it again' })
}

/** `net ban` and `net unban`: now, and in the configuration. */
function banning(banned: boolean): Command {
  const verb = banned ? 'ban' : 'unban'
  return defineCommand({
    name: `net ${verb}`,
    says: banned
      ? 'Refuse every connection with an IP address or prefix, now and from each start on'
      : 'Let a banned IP address or prefix connect again',
    operands: 'ADDRESS',
    changes: true,
    examples: [
      [`stronghold net ${verb} 203.0.113.7`, 'one address'],
      [`stronghold net ${verb} 2001:db8::/32`, 'a prefix'],
    ],
    prints: z.object({ address: z.string(), banned: z.boolean() }),
    async run(call) {
      const { config, terminal, operands } = call
      const [address = ''] = operands
      const before = config.list('net.ban')
      if (!banned && !before.includes(address)) {
        throw new Failure('not_found', `cannot unban ${quoted(address)}`, {
          reason: 'it is not banned',
          hint: 'stronghold config get net.ban',
        })
      }
      const others = before.filter((one) => one !== address)
      if (!call.dryRun) {
        // What runs knows best what an address is.
        const node = await call.runningNode()
        await (banned ? node?.ban(address) : node?.unban(address))
        writeSetting(config.path, 'net.ban', (banned ? [...others, address] : others).join(','))
      }
      const state = banned ? 'banned' : 'not banned'
      await terminal.result(
        { address, banned },
        call.dryRun ? `would be ${state}` : `${address}  ${state}`,
      )
    },
  })
}

const SOURCES = ['mdns', 'rendezvous', 'kademlia'] as const

const DISCOVER_OPTIONS = {
  for: { value: 'TIME', says: `how long to look; default ${USUAL_SEARCH}` },
  by: { value: 'WAY', says: 'only by this way of finding', many: true, choices: SOURCES },
} as const

const discover = defineCommand({
  name: 'net discover',
  says: 'Look for peers, or for one, by every way that is set up; who is found gets no right',
  operands: '[PEER]',
  options: DISCOVER_OPTIONS,
  examples: [
    ['stronghold net discover', `for ${USUAL_SEARCH}, each as it is found`],
    ['stronghold net discover ci --for 1m --by mdns --json', 'one peer, for a program'],
  ],
  prints: z.object({
    peer: z.string(),
    name: z.string().nullable(),
    addrs: z.array(z.string()),
    source: z.enum(SOURCES),
  }),
  async run(call) {
    const { home, terminal, io, options, operands } = call
    const [wanted] = operands
    const forMs = Math.min(parseDuration(options.for ?? USUAL_SEARCH), MAX_FIND_MS)
    const sources =
      options.by === undefined ? undefined : (list(options.by, 'by', SOURCES) as Source[])
    const peer = wanted === undefined ? undefined : peerTarget(home, wanted).peer
    const names = new Map(readBook(home).map((one) => [one.peer, one.name]))
    const over = new AbortController()
    using _ending = io.onEnding(() => {
      over.abort()
    })
    let found = 0
    await terminal.progress(`looking for ${wanted ?? 'peers'} · ^C ends it`)
    await call.withNode(async (node) => {
      const search = { peer, sources, forMs, follow: true }
      try {
        for await (const one of node.discover(search, { signal: over.signal })) {
          found++
          terminal.endProgress()
          const name = names.get(one.peer) ?? null
          const addrs = one.addresses.map((address) => printAddress(address))
          await terminal.result(
            { peer: one.peer, name, addrs, source: one.source },
            [
              `${name ?? 'a stranger'}  ${one.peer}  by ${one.source}`,
              ...addrs.map((address) => `    ${address}`),
            ].join('\n'),
          )
          await terminal.progress(`${found} found · ^C ends it`)
        }
      } catch (error) {
        throw noSearch(error)
      }
    })
    terminal.endProgress()
    if (found === 0) {
      await terminal.note('nobody was found: stronghold doctor says which ways of finding work')
    }
  },
})

type Source = (typeof SOURCES)[number]

function noSearch(error: unknown): unknown {
  if ((error as { code?: unknown }).code !== 'failed_precondition') return error
  return new Failure('usage', 'cannot look for peers', {
    reason: 'no way of finding is set up',
    hint: 'stronghold config set find.mdns true, or find.rendezvous ADDRESS, or find.dht true',
    cause: error,
  })
}

const map = defineCommand({
  name: 'net map',
  says: 'Show who is reached how: within this network, directly or through a relay, and how far',
  options: { try: { says: 'connect to those of the book that are not connected' } },
  examples: [
    ['stronghold net map', 'whoever is connected'],
    ['stronghold net map --try', 'everybody in the book'],
  ],
  prints: z.object({
    peers: z.array(
      z.object({
        peer: z.string(),
        name: z.string().nullable(),
        way: z.string().nullable(),
        address: z.string().nullable(),
        security: z.string().nullable(),
        rttMs: z.number().nullable(),
        receivedBytes: z.int().nullable(),
        sentBytes: z.int().nullable(),
        why: z.string().nullable(),
      }),
    ),
  }),
  async run(call) {
    const { home, terminal, options, io } = call
    const book = readBook(home).filter(({ blocked }) => !blocked)
    const isTried = options.try === true || (await call.runningNode()) === undefined
    const over = new AbortController()
    using _ending = io.onEnding(() => {
      over.abort()
    })
    const { connections, failed } = await call.withNode(async (node) => {
      const up = new Set((await node.connections()).map(({ peer }) => peer))
      const away = isTried ? book.filter(({ peer }) => !up.has(peer)) : []
      if (away.length > 0) await terminal.progress(`connecting with ${away.length} · ^C ends it`)
      const failed = new Map<string, string>()
      await Promise.all(
        away.map(async (one) => {
          try {
            await node.connectPeer(whomOf(one), { signal: over.signal })
          } catch (error) {
            failed.set(one.peer, unreached(error, one.name).reason ?? '')
          }
        }),
      )
      terminal.endProgress()
      return { connections: await node.connections(), failed }
    })
    const names = new Map(book.map(({ peer, name }) => [peer, name]))
    const rows = [
      ...connections.map((one) => ({ ...one, name: names.get(one.peer) ?? null, why: null })),
      ...book
        .filter(({ peer }) => !connections.some((one) => one.peer === peer))
        .map(({ peer, name }) => ({
          peer,
          name,
          way: null,
          address: null,
          security: null,
          rttMs: null,
          receivedBytes: null,
          sentBytes: null,
          why: failed.get(peer) ?? null,
        })),
    ]
    await terminal.result(
      {
        peers: rows.map((one) => ({
          peer: one.peer,
          name: one.name,
          way: one.way,
          address: one.address === null ? null : printAddress(one.address),
          security: one.security,
          rttMs: one.rttMs,
          receivedBytes: one.receivedBytes,
          sentBytes: one.sentBytes,
          why: one.why,
        })),
      },
      rows.length === 0
        ? ''
        : terminal.table(
            rows.map((one) => [
              one.name ?? one.peer,
              one.way === null ? 'not connected' : WAY_NAMES[one.way],
              one.way === null ? '' : printRtt(one.rttMs),
              one.security ?? '',
              one.receivedBytes === null || one.sentBytes === null
                ? ''
                : `${printBytes(one.receivedBytes)} in, ${printBytes(one.sentBytes)} out`,
              one.address === null ? remote(one.why ?? '') : printAddress(one.address),
            ]),
            ['PEER', 'HOW', 'RTT', 'SECURITY', 'BYTES', 'AT'],
          ),
    )
    if (rows.length === 0) await terminal.note('nobody is connected, and the book is empty')
  },
})

/** The network. */
export const NET_COMMANDS: readonly Command[] = [
  addrs,
  listen,
  unlisten,
  identify,
  discover,
  map,
  banning(true),
  banning(false),
]
