/** A node that runs, for a call or for a daemon, with the home that it is of. It is made here, and knows no command. */
import type { FindInit, Node, NodeInit } from '@stronghold/p2p'
import type { Clock } from '@stronghold/vault'

import { readBook } from '../book.ts'
import type { Config } from '../config.ts'
import { makeHome } from '../home.ts'
import type { Home } from '../home.ts'
import type { Io } from '../io.ts'
import { readTerms } from '../relay-terms.ts'
import { applyTerms } from './terms.ts'

/** What the parts of the node door stand on. */
export interface RunningNode {
  readonly node: Node
  readonly home: Home
  readonly config: Config
  readonly clock: Clock
  /** `call`: made for one command. */
  readonly kind: 'call' | 'up' | 'relay'
  readonly startedAtMs: number
  /** Ends the process that it is in; `undefined` in that of a call. */
  readonly stop: (() => void) | undefined
}

/** Which node, and for what. */
export interface OpenNodeInit {
  readonly io: Pick<Io, 'clock'>
  readonly home: Home
  readonly config: Config
  readonly kind: RunningNode['kind']
  readonly stop?: () => void
  /** What differs from a node that only asks. */
  readonly node?: Pick<
    NodeInit,
    'listen' | 'announce' | 'relay' | 'find' | 'reach' | 'firewall' | 'limits'
  >
}

/**
 * Makes a node with the identity of a home, which is made where there is none, and gives it the peer book.
 *
 * @throws `P2pError` for addresses that cannot be listened on
 */
export async function openRunningNode(init: OpenNodeInit): Promise<RunningNode> {
  const { io, home, config, kind, stop } = init
  const { createNode } = await import('@stronghold/p2p')
  makeHome(home)
  const node = await createNode({ identity: home.identity, ...init.node })
  await takeBook(node, home)
  for (const address of config.list('net.ban')) node.ban(address)
  if (node.relay.status().serving !== undefined) {
    // The rest it was made with.
    const terms = readTerms(home)
    await applyTerms(node, { ...terms, denied: [] }, terms)
  }
  return { node, home, config, clock: io.clock, kind, startedAtMs: io.clock.nowMs(), stop }
}

/** Takes over what the peer book of a home says: where peers are, and who is blocked. */
export async function takeBook(node: Node, home: Home): Promise<void> {
  const { parseAddress } = await import('@stronghold/p2p')
  const book = readBook(home)
  for (const { peer, addresses, blocked } of book) {
    const id = peer as Node['peer']
    if (addresses.length > 0) node.book.add(id, addresses.map(parseAddress))
    if (blocked && !node.blocked.includes(id)) node.block(id)
  }
  const blocked = new Set(book.filter((one) => one.blocked).map(({ peer }) => peer))
  for (const peer of node.blocked) if (!blocked.has(peer)) node.unblock(peer)
}

/** How peers are found, as the configuration says. */
export function findInitOf(config: Config): FindInit | undefined {
  const points = config.list('find.rendezvous')
  const bootstrap = config.list('find.dht_bootstrap')
  const network = config.text('find.dht_network') ?? 'private'
  const find: FindInit = {
    ...(config.switch('find.mdns') ? { mdns: true } : {}),
    ...(points.length === 0 ? {} : { rendezvous: { points } }),
    ...(config.switch('find.dht') ? { kademlia: { network, bootstrap } } : {}),
  }
  return Object.keys(find).length === 0 ? undefined : find
}

/** How a node that stays is reached and finds others, as the configuration says. */
export function networkOf(
  config: Config,
): Pick<NodeInit, 'listen' | 'announce' | 'relay' | 'find' | 'reach'> {
  const announce = config.list('announce')
  const find = findInitOf(config)
  return {
    listen: config.list('listen'),
    ...(announce.length === 0 ? {} : { announce }),
    relay: { use: config.list('relay.use'), punch: config.switch('relay.punch') },
    reach: { check: config.switch('reach.check'), mapPorts: config.switch('reach.map_ports') },
    ...(find === undefined ? {} : { find }),
  }
}
