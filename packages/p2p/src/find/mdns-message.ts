/**
 * What peers say of themselves by multicast DNS (libp2p/specs discovery/mdns.md), as DNS messages. Pure; it knows no
 * socket, and says which of what it read is worth believing.
 */
import { decodeUtf8, encodeUtf8 } from '@stronghold/core'

import { ipPrefix, parseIp } from '../connection/ip.ts'
import type { IpPrefix } from '../connection/ip.ts'
import { parseAddress, parsePeerId } from '../identity.ts'
import type { Address, PeerId } from '../identity.ts'
import { scopeOf } from '../reach/scope.ts'
import type { InterfaceAddress } from '../runtime/multicast.ts'

import { DNS_ANY, DNS_TYPES, encodeDns, labelsOf, nameOf } from './dns-message.ts'
import type { DnsMessage, DnsName, DnsRecord } from './dns-message.ts'

/** The name of the service (mdns.md "Definitions"). */
export const MDNS_SERVICE: DnsName = '_p2p._udp.local'
/** Asked for by whoever lists all services (mdns.md "Meta Query"). */
const META_QUERY: DnsName = '_services._dns-sd._udp.local'
const HOST_SUFFIX = ['p2p', 'local']

/** How long others may keep what we say, in seconds (RFC 6762 §10). */
export const MDNS_TTL_SECONDS = 120

const ADDRESS_ATTRIBUTE = 'dnsaddr='
// Ours; whoever does not know it reads past it. A hash: the names of namespaces are not for everybody on the network.
const NAMESPACE_ATTRIBUTE = 'ns='
// Ours: one Ethernet frame. RFC 6762 §17 allows more, in fragments.
const MAX_ANSWER_BYTES = 1400
const MAX_STRING_BYTES = 255
// Ours. What one peer says of relays it is reached through; each may be a host elsewhere that we dial on its word.
const MAX_HEARD_CIRCUITS = 4

/** What we say of ourselves on one link. */
export interface MdnsSelf {
  /** Random, 32 to 63 letters and digits: one label. Not the peer id (mdns.md "Definitions"). */
  readonly peerName: string
  /** Each with our peer id at its end, the most useful first. What does not fit is left out. */
  readonly addresses: readonly Address[]
  /** IP addresses of this machine on the link: our host, where we are reached through relays only. */
  readonly hosts: readonly string[]
  /** Hashes of the namespaces that we serve. */
  readonly namespaces: readonly string[]
}

/** The question for all peers. */
export function mdnsQuery(): DnsMessage {
  const questions = [{ name: MDNS_SERVICE, type: DNS_TYPES.PTR, unicast: false }]
  return { id: 0, response: false, questions, answers: [], additionals: [] }
}

/** What we say unasked, or when asked for all peers. `ttl` 0 takes it back. Undefined: we have no address to tell. */
export function mdnsAnnouncement(
  self: MdnsSelf,
  ttl: number = MDNS_TTL_SECONDS,
): DnsMessage | undefined {
  const { txt, srv, hosts, pointer } = recordsOf(self, ttl)
  if (txt.data.strings.length === 0) return undefined
  const message: DnsMessage = {
    id: 0,
    response: true,
    questions: [],
    answers: [pointer],
    additionals: [txt, srv, ...hosts],
  }
  // Namespaces stand behind addresses, so that they are the first to go; one address always stays.
  while (encodeDns(message).byteLength > MAX_ANSWER_BYTES && txt.data.strings.length > 1) {
    txt.data.strings.pop()
  }
  return message
}

/** Our answer to a query; undefined where nothing in it is for us. */
export function mdnsAnswer(query: DnsMessage, self: MdnsSelf): DnsMessage | undefined {
  if (query.response) return undefined
  const whole = mdnsAnnouncement(self)
  if (whole === undefined) return undefined
  const { pointer, txt, srv, hosts } = recordsOf(self, MDNS_TTL_SECONDS)
  const instance = pointer.data.target
  const answers = new Set<DnsRecord>()
  for (const { name, type } of query.questions) {
    const asks = (wanted: number): boolean => type === wanted || type === DNS_ANY
    if (name === MDNS_SERVICE && asks(DNS_TYPES.PTR)) {
      if (!isKnown(query, instance)) return whole
    } else if (name === META_QUERY && asks(DNS_TYPES.PTR)) {
      answers.add({ ...pointer, name: META_QUERY, data: { type: 'PTR', target: MDNS_SERVICE } })
    } else if (name === instance) {
      if (asks(DNS_TYPES.TXT)) answers.add(txt)
      if (asks(DNS_TYPES.SRV)) answers.add(srv)
    } else if (name === srv.data.target) {
      for (const host of hosts) if (asks(DNS_TYPES[host.data.type])) answers.add(host)
    }
  }
  if (answers.size === 0) return undefined
  return { id: 0, response: true, questions: [], answers: [...answers], additionals: [] }
}

/** Whether the asker says that it knows us, and will for long enough (RFC 6762 §7.1). */
function isKnown({ answers }: DnsMessage, instance: DnsName): boolean {
  return answers.some(
    ({ name, ttl, data }) =>
      name === MDNS_SERVICE &&
      data.type === 'PTR' &&
      data.target === instance &&
      ttl >= MDNS_TTL_SECONDS / 2,
  )
}

type RecordOf<T extends DnsRecord['data']['type']> = DnsRecord & {
  data: Extract<DnsRecord['data'], { type: T }>
}
type HostRecord = RecordOf<'A'> | RecordOf<'AAAA'>

function recordsOf(
  { peerName, addresses, hosts, namespaces }: MdnsSelf,
  ttl: number,
): {
  pointer: RecordOf<'PTR'>
  txt: RecordOf<'TXT'>
  srv: RecordOf<'SRV'>
  hosts: HostRecord[]
} {
  const instance = nameOf([peerName, ...labelsOf(MDNS_SERVICE)])
  const host = nameOf([peerName, ...HOST_SUFFIX])
  const all = addresses.filter(isTellable)
  const direct = all.filter((address) => !isCircuit(address))
  // Whoever hears us shares a network with us: relays are for where nothing of ours can be dialled from it.
  const told = direct.some((address) => scopeOf(address) !== 'local') ? direct : all
  const strings = [
    ...told.map((address) => ADDRESS_ATTRIBUTE + address),
    ...(told.length === 0 ? [] : namespaces.map((tag) => NAMESPACE_ATTRIBUTE + tag)),
  ].map((text) => encodeUtf8(text))
  const own = { ttl, flush: true }
  return {
    // Shared by all peers: it must not void what the others say (RFC 6762 §10.2).
    pointer: { name: MDNS_SERVICE, ttl, flush: false, data: { type: 'PTR', target: instance } },
    txt: { name: instance, ...own, data: { type: 'TXT', strings } },
    srv: {
      name: instance,
      ...own,
      data: { type: 'SRV', priority: 0, weight: 0, port: portOf(direct), target: host },
    },
    hosts: hostsOf(direct, hosts).map((ip) => hostRecord(host, ttl, ip)),
  }
}

function isTellable(address: Address): boolean {
  if (ADDRESS_ATTRIBUTE.length + address.length > MAX_STRING_BYTES) return false
  const [front = '', ...behind] = address.split('/p2p-circuit')
  const isWhole = behind.length === 0 || (behind.length === 1 && /\/p2p\/[^/]+$/.test(front))
  return isWhole && hostOf(address) !== undefined
}

/** Whether it leads through a relay: what its host is then is the relay's. */
function isCircuit(address: Address): boolean {
  return address.includes('/p2p-circuit')
}

/** The IP address in the first place of an address. */
function hostOf(address: Address): IpPrefix | undefined {
  const [, kind, host] = address.split('/')
  return kind === 'ip4' || kind === 'ip6' ? parseIp(host ?? '') : undefined
}

function portOf(addresses: readonly Address[]): number {
  for (const address of addresses) {
    const port = /\/(?:tcp|udp)\/(\d{1,5})/.exec(address)?.[1]
    if (port !== undefined) return Number(port)
  }
  return 0
}

function hostsOf(addresses: readonly Address[], own: readonly string[]): IpPrefix[] {
  const hosts = new Map<string, IpPrefix>()
  for (const ip of addresses.length > 0 ? addresses.map(hostOf) : own.map(parseIp)) {
    if (ip !== undefined) hosts.set(`${ip.version} ${ip.bits}`, ip)
  }
  return [...hosts.values()]
}

function hostRecord(name: DnsName, ttl: number, ip: IpPrefix): HostRecord {
  const length = ip.version === 4 ? 4 : 16
  const address = Uint8Array.from({ length }, (_, i) =>
    Number((ip.bits >> BigInt(8 * (length - 1 - i))) & 0xffn),
  )
  const own = { name, ttl, flush: true }
  return ip.version === 4
    ? { ...own, data: { type: 'A', address } }
    : { ...own, data: { type: 'AAAA', address } }
}

/** What somebody says of itself: text, not yet read. */
export interface MdnsHeard {
  /** Its instance name. */
  readonly instance: DnsName
  /** 0: it is gone. */
  readonly ttlSeconds: number
  /** Texts of addresses, in their order, at most `maxAddresses`. */
  readonly addresses: readonly string[]
  readonly namespaces: readonly string[]
}

/**
 * Who speaks in a response: TXT records among the answers or the additionals, which differs between implementations.
 *
 * @param maxAddresses - taken of one peer, namespaces as many
 */
export function readMdnsResponse(message: DnsMessage, maxAddresses: number): MdnsHeard[] {
  if (!message.response) return []
  const records = [...message.answers, ...message.additionals]
  const heard: MdnsHeard[] = []
  for (const { name, ttl, data } of records) {
    if (name !== MDNS_SERVICE || data.type !== 'PTR') continue
    if (heard.some(({ instance }) => instance === data.target)) continue
    const addresses: string[] = []
    const namespaces: string[] = []
    let ttlSeconds = ttl
    for (const other of records) {
      if (other.name !== data.target || other.data.type !== 'TXT') continue
      ttlSeconds = Math.min(ttlSeconds, other.ttl)
      for (const bytes of other.data.strings) {
        const text = readText(bytes)
        if (text?.startsWith(ADDRESS_ATTRIBUTE) === true) {
          if (addresses.length < maxAddresses) addresses.push(text.slice(ADDRESS_ATTRIBUTE.length))
        } else if (text?.startsWith(NAMESPACE_ATTRIBUTE) === true) {
          if (namespaces.length < maxAddresses) namespaces.push(text.slice(3))
        }
      }
    }
    heard.push({ instance: data.target, ttlSeconds, addresses, namespaces })
  }
  return heard
}

function readText(bytes: Uint8Array): string | undefined {
  try {
    return decodeUtf8(bytes)
  } catch {
    return undefined
  }
}

/** Whom the addresses are of, and those of them that are worth a try. */
export interface MdnsPeer {
  readonly peer: PeerId
  readonly addresses: readonly Address[]
}

/** From where something was heard. */
export interface HeardFrom {
  /** The sender's address, without a zone. */
  readonly from: string
  /** The interface that heard it, all its addresses. */
  readonly networks: readonly InterfaceAddress[]
  /** All addresses of this machine. */
  readonly own: readonly InterfaceAddress[]
}

/**
 * Reads addresses that somebody told. All are of one peer; what names another is left out, and so is what this network
 * has no word in: names, hosts elsewhere, and our own loopback unless this very machine said it. Relays, which are elsewhere
 * by their nature, are taken of a peer that told nothing better.
 */
export function believable(texts: readonly string[], heard: HeardFrom): MdnsPeer | undefined {
  let peer: PeerId | undefined
  const addresses: Address[] = []
  const circuits: Address[] = []
  for (const text of texts) {
    const address = readAddress(text)
    const named = address === undefined ? undefined : /\/p2p\/([^/]+)$/.exec(address)?.[1]
    if (address === undefined || named === undefined || !isTellable(address)) continue
    const own = parsePeerId(named)
    peer ??= own
    if (own !== peer) continue
    if (!isCircuit(address)) {
      if (isNear(address, heard)) addresses.push(address)
    } else if (scopeOf(address) === 'public' || isNear(address, heard)) circuits.push(address)
  }
  const best = addresses.length > 0 ? addresses : circuits.slice(0, MAX_HEARD_CIRCUITS)
  return peer === undefined || best.length === 0 ? undefined : { peer, addresses: best }
}

function readAddress(text: string): Address | undefined {
  try {
    return parseAddress(text)
  } catch {
    return undefined
  }
}

function isNear(address: Address, { from, networks, own }: HeardFrom): boolean {
  const host = hostOf(address)
  if (host === undefined || host.bits === 0n) return false
  const isThisMachine = own.some((one) => isSame(one.address, parseIp(from)))
  switch (scopeOf(address)) {
    case 'private':
      return true
    case 'local':
      // IPv6 of a link cannot be dialled without its zone, which is another on every machine.
      return host.version === 4 && isLinkLocal4(host) ? true : isThisMachine && !isLinkLocal6(host)
    case 'public':
      return isSame(from, host) || networks.some((network) => isWithin(host, network))
  }
}

function isSame(address: string, ip: IpPrefix | undefined): boolean {
  const other = parseIp(address)
  return ip !== undefined && other?.version === ip.version && other.bits === ip.bits
}

function isWithin(ip: IpPrefix, { address, prefixLength }: InterfaceAddress): boolean {
  const own = parseIp(address)
  if (own?.version !== ip.version) return false
  return ipPrefix(ip, prefixLength).bits === ipPrefix(own, prefixLength).bits
}

function isLinkLocal4(ip: IpPrefix): boolean {
  return ip.bits >> 16n === 0xa9fen // 169.254.0.0/16
}

function isLinkLocal6(ip: IpPrefix): boolean {
  return ip.version === 6 && ip.bits >> 118n === 0x3fan // fe80::/10
}

/** Our addresses as one link should hear them: those of its own networks first, this machine's loopback and relays last. */
export function orderFor(
  addresses: readonly Address[],
  networks: readonly InterfaceAddress[],
): Address[] {
  const rank = (address: Address): number => {
    if (isCircuit(address)) return 3
    const host = hostOf(address)
    if (host !== undefined && networks.some((network) => isWithin(host, network))) return 0
    return scopeOf(address) === 'local' ? 2 : 1
  }
  return [...addresses].sort((a, b) => rank(a) - rank(b))
}
