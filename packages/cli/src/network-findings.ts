/**
 * What can be wrong about being reached and finding others: each finding says what it means and what to type. It changes
 * nothing; where a Stronghold runs it asks that one.
 */
import { existsSync, lstatSync } from 'node:fs'

import type { FindSource } from '@stronghold/p2p'

import type { Call } from './command.ts'
import { printMoment, printRest } from './duration.ts'
import { failureOf } from './failure.ts'
import { DOCTOR_SEARCH_MS, MAX_CLOCK_BEHIND_MS } from './limits.ts'
import type { NodeDoor } from './node/door.ts'
import type { NodeStatus } from './node/life.ts'
import type { Addresses } from './node/net.ts'
import { remote } from './terminal.ts'
import { printAddress } from './ways.ts'

/** What was found about one thing. */
export interface Finding {
  readonly check: string
  /** `bad`: it does not work. `warning`: it works, but not as well as it could. */
  readonly state: 'good' | 'warning' | 'bad'
  readonly says: string
  readonly hint?: string
}

/** Earliest moment that a clock of today may show: 2026-01-01. */
const EARLIEST_MS = 1_767_225_600_000

/** Clock, running, listening, reachability, relays and finding, as far as they apply. */
export async function networkFindings(call: Call): Promise<Finding[]> {
  const found = [clock(call)]
  const node = await call.runningNode()
  if (node === undefined) {
    found.push({
      check: 'running',
      state: 'warning',
      says: 'nothing runs in this home, so nobody can reach it',
      hint: 'stronghold up',
    })
    // A node of the call would make an identity where there is none.
    if (!existsSync(call.home.identity)) return found
    return [...found, ...(await call.withNode((own) => finding(call, own)))]
  }
  const status = await node.status()
  const addresses = await node.addresses()
  return [
    ...found,
    running(call, status),
    listening(addresses, call),
    ...reachability(addresses),
    ...relays(addresses),
    ...(await finding(call, node)),
  ]
}

/** A clock that stands before what this home has seen would let nothing expire. */
function clock({ io, home }: Pick<Call, 'io' | 'home'>): Finding {
  const check = 'clock'
  const nowMs = io.clock.nowMs()
  const seen = [home.path, home.peers, home.config, home.vault, `${home.vault}/vault.db`]
    .map((path) => lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0)
    .reduce((latest, one) => Math.max(latest, one), EARLIEST_MS)
  const behindMs = seen - nowMs
  if (behindMs <= MAX_CLOCK_BEHIND_MS) return { check, state: 'good', says: printMoment(nowMs) }
  return {
    check,
    state: 'bad',
    says: `${printMoment(nowMs)} is ${printRest(behindMs)} before what this home has seen already`,
    hint: 'set the clock: timedatectl set-ntp true',
  }
}

function running({ io }: Pick<Call, 'io'>, { kind, pid, startedAtMs }: NodeStatus): Finding {
  const what = kind === 'relay' ? 'a relay' : 'a Stronghold'
  const since = printRest(io.clock.nowMs() - startedAtMs)
  return { check: 'running', state: 'good', says: `${what}, process ${pid}, for ${since}` }
}

function listening({ addrs }: Addresses, { config }: Pick<Call, 'config'>): Finding {
  const check = 'listening'
  if (addrs.length === 0) {
    return {
      check,
      state: 'bad',
      says: `nowhere: nobody can reach it; set are ${config.list('listen').join(', ') || 'none'}`,
      hint: 'stronghold net listen /ip4/0.0.0.0/tcp/7430',
    }
  }
  const isLocal = addrs.every((one) => /^\/(?:ip4\/127\.|ip6\/::1\/)/.test(one))
  return isLocal
    ? {
        check,
        state: 'warning',
        says: 'on this machine only: nobody else can reach it',
        hint: 'stronghold net listen /ip4/0.0.0.0/tcp/7430',
      }
    : {
        check,
        state: 'good',
        says: `on ${addrs.length} ${addrs.length === 1 ? 'address' : 'addresses'}: stronghold net addrs`,
      }
}

function reachability({ reachability: all, relays, seen, ports }: Addresses): Finding[] {
  const check = 'reachable'
  const isRelayed = relays.some(({ state }) => state === 'reserved')
  const [reached] = all.filter(({ state }) => state === 'reachable')
  const [unreached] = all.filter(({ state }) => state === 'unreachable')
  const mapped = ports.filter(({ state }) => state === 'failed').map(({ message = '' }) => message)
  const router: Finding[] = mapped.map((message) => ({
    check: 'router',
    state: 'warning',
    says: `it lets no port through: ${remote(message)}`,
    hint: 'let the port through by hand, or: stronghold relay use ADDRESS',
  }))
  if (reached !== undefined) {
    return [{ check, state: 'good', says: `from the internet at ${reached.address}` }, ...router]
  }
  if (isRelayed) return [{ check, state: 'good', says: 'through a relay' }, ...router]
  if (unreached !== undefined) {
    return [
      {
        check,
        state: 'warning',
        says: `peers could not dial ${unreached.address}: a router stands in between`,
        hint: 'stronghold relay use ADDRESS, or stronghold config set reach.map_ports true',
      },
      ...router,
    ]
  }
  const where = seen[0] === undefined ? '' : `; others see it at ${printAddress(seen[0].address)}`
  return [
    {
      check,
      state: 'good',
      says: `within this network; whether from elsewhere nobody could tell yet${where}`,
      hint: 'to be reached from anywhere: stronghold relay use ADDRESS',
    },
    ...router,
  ]
}

function relays({ relays: all }: Addresses): Finding[] {
  return all.map(({ address, state, message, failures }) =>
    state === 'reserved'
      ? { check: 'relay', state: 'good', says: `reached through ${address}` }
      : {
          check: 'relay',
          state: 'bad',
          says: `not reached through ${address}, ${failures} failures: ${remote(message ?? state)}`,
          hint: `see whether it is up; it is tried again by itself. Or: stronghold relay unuse ${address}`,
        },
  )
}

/** Each way of finding that is set up is tried, for a moment. */
async function finding({ config }: Pick<Call, 'config'>, node: NodeDoor): Promise<Finding[]> {
  const ways: FindSource[] = [
    ...(config.switch('find.mdns') ? (['mdns'] as const) : []),
    ...(config.list('find.rendezvous').length > 0 ? (['rendezvous'] as const) : []),
    ...(config.switch('find.dht') ? (['kademlia'] as const) : []),
  ]
  if (ways.length === 0) {
    return [
      {
        check: 'finding',
        state: 'warning',
        says: 'no way is set up: a peer that moves is not found again',
        hint: 'stronghold config set find.mdns true',
      },
    ]
  }
  return await Promise.all(ways.map((way) => tried(node, way)))
}

/** What each way needs, for when it does not work. */
const NEEDS: Readonly<Record<FindSource, string>> = {
  mdns: 'this network has to carry multicast; else: stronghold config set find.rendezvous ADDRESS',
  rendezvous: 'see whether the point is up: stronghold config get find.rendezvous',
  kademlia: 'name where the network is entered: stronghold config set find.dht_bootstrap ADDRESS',
}

async function tried(node: NodeDoor, source: FindSource): Promise<Finding> {
  const peers = new Set<string>()
  const search = { sources: [source], forMs: DOCTOR_SEARCH_MS, follow: false }
  try {
    const { signal } = new AbortController()
    for await (const { peer } of node.discover(search, { signal })) peers.add(peer)
  } catch (error) {
    const { message, reason } = failureOf(error)
    const says = `by ${source} fails: ${reason ?? message}`
    return { check: 'finding', state: 'warning', says, hint: NEEDS[source] }
  }
  const many = `${peers.size} ${peers.size === 1 ? 'peer' : 'peers'}`
  return { check: 'finding', state: 'good', says: `by ${source} works: ${many} in a moment` }
}
