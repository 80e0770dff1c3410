/**
 * `peer`: whom the owner knows. Names and addresses stand in the book, which works while the vault is locked; what gives
 * rights stands in the vault, and a peer is known only there.
 */
import type { KnownPeer, OwnerDoor } from '@stronghold/guard'
import { z } from 'zod'

import { assertPeerName, inBook, readBook, unknownPeer, writeBook } from '../book.ts'
import type { BookPeer } from '../book.ts'
import { defineCommand } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { printMoment } from '../duration.ts'
import { Failure, quoted } from '../failure.ts'
import { hasVault } from '../home.ts'
import { assertNameIsFree, assertNotOurselves, bookChanged, isServed, makeKnown } from '../known.ts'
import { list } from '../lists.ts'
import type { Connected } from '../node/ways.ts'
import { connectedShape } from '../shapes.ts'
import { remote } from '../terminal.ts'
import { printAddress, printConnected } from '../ways.ts'

const peerShape = z.object({
  peer: z.string(),
  name: z.string(),
  known: z.boolean().nullable(),
  blocked: z.boolean(),
  tags: z.array(z.string()),
  addresses: z.array(z.string()),
})

/** Names and ids of book and vault together. */
function merged(
  book: readonly BookPeer[],
  known: readonly KnownPeer[] | undefined,
): z.infer<typeof peerShape>[] {
  const ids = new Set([...book.map(({ peer }) => peer), ...(known ?? []).map(({ peer }) => peer)])
  return [...ids]
    .map((peer) => {
      const inVault = known?.find((one) => one.peer === peer)
      const inTheBook = book.find((one) => one.peer === peer)
      return {
        peer,
        name: inVault?.name ?? inTheBook?.name ?? '',
        known: known === undefined ? null : inVault !== undefined,
        blocked: inVault?.blocked === true || inTheBook?.blocked === true,
        tags: [...(inVault?.tags ?? [])],
        addresses: [...(inTheBook?.addresses ?? [])],
      }
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

const add = defineCommand({
  name: 'peer add',
  says: 'Make a peer known by its full id, with no right; connecting never does',
  operands: 'NAME PEER-ID|ADDRESS...',
  options: { tag: { value: 'TAG', says: 'for rules: @TAG', many: true } },
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold peer add ci 12D3KooWGjmG2kLsxiSUyHx1XF6u4qAZnEZrKEp3K12yomBjSh5J', 'by its id'],
    [
      'stronghold peer add nas /ip4/192.168.1.7/tcp/7430/p2p/12D3KooWGjmG2kLsxiSUyHx1XF6u4qAZnEZrKEp3K12yomBjSh5J',
      'by an address that ends with its id',
    ],
  ],
  prints: peerShape,
  async run(call) {
    const { operands, options, home, terminal, dryRun } = call
    const [name = '', ...targets] = operands
    assertPeerName(name)
    const tags = options.tag === undefined ? [] : list(options.tag, 'tag')
    const { peer, addresses } = await read(targets)
    await assertNotOurselves(home, peer, `cannot add peer ${quoted(name)}`)
    assertNameIsFree(readBook(home), name, peer)
    if (dryRun) {
      await terminal.result({ dryRun: true, peer, name }, `would add ${name}, ${peer}`)
      return
    }
    const { entry, isKnown } = await makeKnown(call, { peer, name, addresses, tags })
    const [shown] = merged([entry], undefined)
    await terminal.result(
      { ...shown, known: isKnown, tags },
      `${name}  ${peer}  ${isKnown ? 'known, may do nothing yet' : hasVault(home) ? 'known after unlock' : 'in the book; there is no vault here'}`,
    )
    if (!isKnown && tags.length > 0) {
      await terminal.note(
        'tags give rights and lie in the vault: stronghold peer tag once it is unlocked',
      )
    }
  },
})

/** Peer id and addresses out of operands. */
async function read(
  targets: readonly string[],
): Promise<{ peer: string; addresses: readonly string[] }> {
  const { parseAddress, parsePeerId } = await import('@stronghold/p2p')
  const addresses: string[] = []
  const peers = new Set<string>()
  for (const target of targets) {
    if (!target.startsWith('/')) {
      peers.add(parsePeerId(target))
      continue
    }
    const address = parseAddress(target)
    const [, front, peer] = /^(.+)\/p2p\/([^/]+)$/.exec(address) ?? []
    if (
      front === undefined ||
      peer === undefined ||
      front.endsWith('/p2p-circuit') !== /\/p2p-circuit/.test(front)
    ) {
      throw new Failure('usage', `cannot add ${quoted(target)}`, {
        reason: 'the address does not end with the id of the peer: /p2p/12D3…',
      })
    }
    peers.add(peer)
    addresses.push(front)
  }
  const [peer] = peers
  if (peer === undefined || peers.size > 1) {
    throw new Failure('usage', 'cannot add the peer', {
      reason: 'these are the ids of several peers',
    })
  }
  return { peer, addresses }
}

/** A connection of a listed peer. */
const liveShape = z.object({
  address: connectedShape.address,
  way: connectedShape.way,
  security: connectedShape.security,
  rttMs: connectedShape.rttMs,
})

function liveOf({ address, way, security, rttMs }: Connected): z.infer<typeof liveShape> {
  return { address: printAddress(address), way, security, rttMs }
}

const listPeers = defineCommand({
  name: 'peer list',
  says: 'List the peers of the book, and, where the vault opens without asking, their tags',
  options: { live: { says: 'and how each is connected, now' } },
  unlocks: true,
  examples: [
    ['stronghold peer list --live', 'names, ids, and who is connected'],
    ['stronghold peer list --json --passphrase-file pass.txt', 'with tags, for a program'],
  ],
  prints: z.object({
    peers: z.array(peerShape.extend({ connected: z.array(liveShape).optional() })),
  }),
  async run(call) {
    const { home, terminal, options } = call
    const isLive = options.live === true
    const connections = isLive ? ((await (await call.runningNode())?.connections()) ?? []) : []
    const live = (peer: string): readonly Connected[] =>
      connections.filter((one) => one.peer === peer)
    const peers = await call.withOwnerAtHand(async (owner) =>
      merged(readBook(home), await owner?.peers()),
    )
    const state = ({ known, blocked }: (typeof peers)[number]): string =>
      blocked ? 'blocked' : known === null ? '' : known ? 'known' : 'not known yet'
    const how = (peer: string): string => {
      const [one] = live(peer)
      return one === undefined ? 'not connected' : printConnected(one)
    }
    await terminal.result(
      {
        peers: peers.map((one) =>
          isLive ? { ...one, connected: live(one.peer).map(liveOf) } : one,
        ),
      },
      peers.length === 0
        ? ''
        : terminal.table(
            peers.map((one) => [
              one.name,
              one.peer,
              ...(isLive ? [how(one.peer)] : []),
              [state(one), ...one.tags.map((tag) => `@${tag}`)].filter(Boolean).join(' '),
            ]),
            isLive ? ['NAME', 'PEER', 'CONNECTED', ''] : ['NAME', 'PEER', ''],
          ),
    )
    if (isLive && (await call.runningNode()) === undefined) {
      await terminal.note('nothing runs here, so nobody is connected: stronghold up')
    }
    if (peers.length === 0) await terminal.note('no peer: stronghold peer add NAME PEER-ID')
  },
})

const show = defineCommand({
  name: 'peer show',
  says: 'Show a peer with its addresses',
  operands: 'PEER',
  unlocks: true,
  examples: [
    ['stronghold peer show ci', 'by name'],
    ['stronghold peer show 12D3KooWGjmG2kLsxiSUyHx1XF6u4qAZnEZrKEp3K12yomBjSh5J', 'by id'],
  ],
  prints: peerShape,
  async run(call) {
    const { home, terminal, operands } = call
    const [text = ''] = operands
    const peers = await call.withOwnerAtHand(async (owner) =>
      merged(readBook(home), await owner?.peers()),
    )
    const one = peers.find(({ peer, name }) => peer === text || name === text)
    if (one === undefined) throw unknownPeer(text)
    const known =
      one.known === null ? 'not said while the vault is locked' : one.known ? 'yes' : 'no'
    await terminal.result(
      one,
      terminal.table([
        ['name', one.name],
        ['peer', one.peer],
        ['known', known],
        ['blocked', one.blocked ? 'yes' : 'no'],
        ['tags', one.tags.map((tag) => `@${tag}`).join(' ')],
        ...one.addresses.map((address) => ['address', printAddress(address)]),
      ]),
    )
  },
})

/** What stands of a peer in book and vault. */
async function standing(
  owner: OwnerDoor | undefined,
  call: Call,
  text: string,
): Promise<{ inTheBook: BookPeer | undefined; inVault: KnownPeer | undefined; peer: string }> {
  const inVault = (await owner?.peers())?.find(({ peer, name }) => peer === text || name === text)
  const book = readBook(call.home)
  const inTheBook = inBook(book, inVault?.peer ?? text)
  const peer = inVault?.peer ?? inTheBook?.peer
  if (peer === undefined) throw unknownPeer(text)
  return { inTheBook, inVault, peer }
}

/** Changes the entry of the book, where there is one, and tells whoever runs here. */
async function changeBook(
  call: Call,
  peer: string,
  change: (entry: BookPeer) => BookPeer | undefined,
): Promise<void> {
  const book = readBook(call.home)
  if (!book.some((one) => one.peer === peer)) return
  writeBook(
    call.home,
    book.flatMap((one) => (one.peer === peer ? (change(one) ?? []) : one)),
  )
  await bookChanged(call)
}

/** Runs with the vault where there is one, and with the book alone where there is none. */
async function withVault<T>(
  call: Call,
  work: (owner: OwnerDoor | undefined) => Promise<T>,
): Promise<T> {
  return hasVault(call.home) ? await call.withOwner(work) : await work(undefined)
}

const rename = defineCommand({
  name: 'peer rename',
  says: 'Give a peer another name; rules keep its id',
  operands: 'PEER NAME',
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold peer rename ci ci-old', 'in book and vault'],
    ['stronghold peer rename ci build --dry-run', 'says what would be done'],
  ],
  prints: z.object({ peer: z.string(), name: z.string() }),
  async run(call) {
    const [text = '', name = ''] = call.operands
    assertPeerName(name)
    const peer = await withVault(call, async (owner) => {
      const { inVault, peer } = await standing(owner, call, text)
      const other = inBook(readBook(call.home), name)
      if (other !== undefined && other.peer !== peer) {
        throw new Failure('conflict', `cannot rename peer ${quoted(text)}`, {
          reason: `${other.peer} is called ${name}`,
        })
      }
      if (call.dryRun) return peer
      if (inVault !== undefined) await owner?.renamePeer(peer, name)
      await changeBook(call, peer, (entry) => ({ ...entry, name }))
      return peer
    })
    await call.terminal.result({ peer, name }, `${call.dryRun ? 'would be ' : ''}${name}  ${peer}`)
  },
})

const tag = defineCommand({
  name: 'peer tag',
  says: 'Set the tags of a known peer; none takes all away',
  operands: 'PEER [TAG...]',
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold peer tag ci builders', 'rules name it @builders'],
    ['stronghold peer tag ci', 'no tag any more'],
  ],
  prints: z.object({ peer: z.string(), tags: z.array(z.string()) }),
  async run(call) {
    const [text = '', ...words] = call.operands
    const tags =
      words.length === 0
        ? []
        : list(
            words.map((word) => word.replace(/^@/, '')),
            'TAG',
          )
    const peer = await call.withOwner(async (owner) => {
      const { inVault, peer } = await standing(owner, call, text)
      if (inVault === undefined) throw notKnown(text, peer)
      if (!call.dryRun) await owner.tagPeer(peer, tags)
      return peer
    })
    const shown = tags.map((one) => `@${one}`).join(' ') || 'no tag'
    await call.terminal.result({ peer, tags }, `${call.dryRun ? 'would be ' : ''}${text}  ${shown}`)
  },
})

function notKnown(text: string, peer: string): Failure {
  return new Failure('not_found', `cannot use peer ${quoted(text)}`, {
    reason: 'it stands in the book, but is not known',
    hint: `stronghold peer add ${text} ${peer}`,
  })
}

/** `peer block` and `peer unblock`: at once in the book, in the vault where it is unlocked. */
function blocking(blocked: boolean): Command {
  const verb = blocked ? 'block' : 'unblock'
  return defineCommand({
    name: `peer ${verb}`,
    says: blocked
      ? 'Refuse every connection with a peer; its grants and pending requests go'
      : 'Let a blocked peer in again; rules decide as before',
    operands: 'PEER',
    changes: true,
    unlocks: true,
    examples: [
      [`stronghold peer ${verb} ci`, blocked ? 'at once, also while locked' : 'needs the vault'],
      [`stronghold peer ${verb} ci --dry-run`, 'says what would be done'],
    ],
    prints: z.object({ peer: z.string(), blocked: z.boolean(), vault: z.boolean() }),
    async run(call) {
      const [text = ''] = call.operands
      const work = async (
        owner: OwnerDoor | undefined,
      ): Promise<{ peer: string; done: boolean }> => {
        const { inVault, peer } = await standing(owner, call, text)
        if (call.dryRun) return { peer, done: false }
        const write = (): Promise<unknown> =>
          changeBook(call, peer, (entry) => ({ ...entry, blocked }))
        try {
          // Before the book, whose word ends connections: what waits is refused first.
          if (inVault !== undefined) await owner?.blockPeer(peer, blocked)
        } catch (error) {
          if (blocked) await write()
          throw error
        }
        await write()
        return { peer, done: inVault !== undefined }
      }
      // Blocking waits for nobody; what takes a block away needs the vault that holds it.
      const { peer, done } = blocked
        ? await call.withOwnerAtHand(work)
        : await withVault(call, work)
      const state = blocked ? 'blocked' : 'not blocked'
      const later =
        done || !hasVault(call.home) || !blocked ? '' : ', in the vault at the next unlock'
      await call.terminal.result(
        { peer, blocked, vault: done },
        call.dryRun ? `would be ${state}` : `${text}  ${state}${later}`,
      )
    },
  })
}

/** Has whoever runs here forget where a peer is, and cut it off. */
async function forgetRunning(call: Call, peer: string): Promise<void> {
  if (isServed(call)) await (await call.runningNode())?.forgetPeer(peer)
}

const remove = defineCommand({
  name: 'peer remove',
  says: 'Forget a peer; its grants and pending requests go with it',
  operands: 'PEER',
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold peer remove ci', 'from book and vault'],
    ['stronghold peer remove ci --dry-run', 'says what would be done'],
  ],
  prints: z.object({ peer: z.string(), removed: z.boolean() }),
  async run(call) {
    const [text = ''] = call.operands
    const peer = await withVault(call, async (owner) => {
      const { inVault, peer } = await standing(owner, call, text)
      if (call.dryRun) return peer
      if (inVault !== undefined) await owner?.removePeer(peer)
      await changeBook(call, peer, () => undefined)
      return peer
    })
    // The guard cuts off whom the vault knew; where there is none, nobody else does.
    if (!call.dryRun) await forgetRunning(call, peer)
    await call.terminal.result(
      { peer, removed: !call.dryRun },
      `${text}  ${call.dryRun ? 'would be removed' : 'removed'}`,
    )
  },
})

const knocks = defineCommand({
  name: 'peer knocks',
  says: 'List strangers that tried to come in, with the command that would make each known',
  unlocks: true,
  examples: [
    ['stronghold peer knocks', 'newest first'],
    ['stronghold peer knocks --json', 'for a program'],
  ],
  prints: z.object({
    knocks: z.array(
      z.object({ peer: z.string(), connection: z.string(), at: z.string(), times: z.int() }),
    ),
  }),
  async run({ terminal, withOwner }) {
    const all = await withOwner((owner) => owner.knocks())
    await terminal.result(
      {
        knocks: all.map(({ peer, connection, atMs, times }) => ({
          peer,
          connection: remote(connection),
          at: printMoment(atMs),
          times,
        })),
      },
      all
        .map(({ peer, connection, atMs, times }) =>
          [
            `${printMoment(atMs)}  ${times} ${times === 1 ? 'time' : 'times'}  ${remote(connection)}`,
            `    stronghold peer add NAME ${peer}`,
          ].join('\n'),
        )
        .join('\n'),
    )
    if (all.length === 0) await terminal.note('nobody knocked since this Stronghold was started')
  },
})

/** What `peer` knows without a network. */
export const PEER_COMMANDS: readonly Command[] = [
  add,
  listPeers,
  show,
  rename,
  tag,
  blocking(true),
  blocking(false),
  remove,
  knocks,
]
