/**
 * Every bound on what a remote peer can make us hold, do or wait for. Checked before memory is spent.
 * Limits are the receiver's alone; none is negotiated.
 */

/** All limits of a node. Sizes are bytes, times are milliseconds. */
export interface P2pLimits {
  // Admission, before encryption
  /** Inbound connections in handshake, all addresses together. The next one is closed. Default 128. */
  maxPendingInbound: number
  /** Inbound connections in handshake from one address (IPv6: one /64). The next one is closed. Default 16. */
  maxPendingPerAddress: number
  /** Inbound connections from one address (IPv6: one /64), established ones included. The next one is closed. Default 128. */
  maxConnectionsPerAddress: number
  /** Connections with one peer. The next one is closed. Default 8. */
  maxConnectionsPerPeer: number
  /** Inbound connections in all. Past it only peers with a place reserved are let in. Default 1,024. */
  maxInboundConnections: number
  /** Outbound connections in all. The next dial fails. Default 1,024. */
  maxOutboundConnections: number
  /** Inbound connections past `maxInboundConnections` kept for peers that the firewall names. Default 32. */
  reservedConnections: number
  /** Longest one handshake may take: negotiation, security and muxer. Default 5,000. */
  handshakeTimeoutMs: number
  /** Longest one dial of one address may take, handshake included. Default 10,000. */
  dialTimeoutMs: number
  /** Bytes one side may send until a connection is secured. Default 64 KiB. */
  maxHandshakeBytes: number
  /** Longest multistream-select message, length prefix excluded. Default 1,024. */
  maxNegotiationMessageBytes: number
  /** Multistream-select proposals answered on one stream. Default 16. */
  maxNegotiationMessages: number

  // Sockets
  /** Bytes written to one socket and unsent. A layer that still writes past it ends the connection. Default 16 MiB. */
  maxSocketQueueBytes: number
  /** Idle time after our side ended which resets a connection that the other side leaves open. Default 30,000. */
  closeTimeoutMs: number
  /** Longest head of an HTTP request that opens a WebSocket. A longer one is answered 431. Default 8 KiB. */
  maxUpgradeRequestBytes: number
  /** Longest WebSocket message taken. A longer one ends the connection. Default 1 MiB. */
  maxWebSocketMessageBytes: number
  /** How often one `dnsaddr` may lead to another. What is deeper is dropped. Default 4. */
  maxDnsDepth: number
  /** Records read and addresses given for one name, in all. What is more is dropped. Default 64. */
  maxDnsAnswers: number

  // Muxer, per connection
  /** Streams open on one connection, each direction. The next one is reset. Default 256. */
  maxStreamsPerConnection: number
  /** Inbound streams that are not negotiated yet. The next one is reset. Default 256, the least Yamux suggests. */
  maxUnnegotiatedStreams: number
  /** Longest muxer frame taken. A longer one ends the connection. Default 256 KiB. */
  maxMuxerFrameBytes: number
  /** Receive window of one stream. Default 256 KiB, the least Yamux allows, to 16 MiB. */
  streamWindowBytes: number
  /** Bytes received and unread on one connection, all streams. Past it the fullest stream is reset. Default 16 MiB. */
  maxConnectionReceiveBytes: number
  /** Bytes written and unsent on one connection. Writers are told to wait. Default 1 MiB. */
  maxConnectionSendBytes: number
  /** Muxer pings, resets, refused or failed streams, and frames of nothing a connection may send at once, each; refilled per second. Past it the connection ends. Default 256. */
  muxerControlBurst: number
  /** How many of `muxerControlBurst` come back in a second. Default 64. */
  muxerControlPerSecond: number
  /** Longest the protocol of an inbound stream may take to be chosen. Default 5,000. */
  negotiationTimeoutMs: number
  /** Silence after which the other side is pinged. Default 15,000. */
  keepAliveIntervalMs: number
  /** Silence after that ping which ends the connection. Default 10,000. */
  keepAliveTimeoutMs: number
  /** A connection without stream or request for this long is closed; 0 keeps it. Default 0. */
  idleTimeoutMs: number

  // Requests
  /** Longest frame body of the channel. A longer one ends the channel. Default 64 KiB. */
  maxFrameBytes: number
  /** Longest request or response body, and longest item. Default 4 MiB. */
  maxMessageBytes: number
  /** Deepest nesting of a structured body. At most 1,024. Default 32. */
  maxNesting: number
  /** Values in a structured body, nested ones and keys included: one byte can be an object. Default 262,144. */
  maxMessageValues: number
  /** Inbound requests in flight per peer. The next one is answered `resource_exhausted`. Default 256. */
  maxInboundPerPeer: number
  /** Inbound requests in flight in all. The next one is answered `resource_exhausted`. Default 1,024. */
  maxInboundTotal: number
  /** Outbound requests in flight per peer. The next call fails `resource_exhausted`. Default 1,024. */
  maxOutboundPerPeer: number
  /** Bytes of messages and items held for one peer. Reserved before they are buffered. Default 32 MiB. */
  maxHeldBytesPerPeer: number
  /** Bytes of messages and items held for all peers. Default 256 MiB. */
  maxHeldBytesTotal: number
  /** Upload or download bytes one request may send ahead of its reader. Default 256 KiB. */
  requestWindowBytes: number
  /** Longest deadline that a request may ask for. Longer ones are cut. Default 24 h and 5 min. */
  maxTimeoutMs: number
  /** Deadline of a request that names none. Default 30,000. */
  requestTimeoutMs: number
  /** Answers of methods with side effects kept per peer. A full window refuses. Default 1,024. */
  maxKeptAnswers: number
  /** The same, all peers. Once they are there it refuses. Default 65,536. */
  maxKeptAnswersTotal: number
  /** Bytes of those answers per peer. A full window refuses. Default 8 MiB. */
  maxKeptBytes: number
  /** Bytes of those answers, all peers. A full window refuses. Default 64 MiB. */
  maxKeptBytesTotal: number
  /** How long an answer is kept after its deadline. Default 5 min. */
  keepAnswersMs: number

  // Firewall
  /** Requests that wait for `onAsk` or `onNewPeer`, all peers, each direction. The next one is denied. Default 256. */
  maxAsks: number
  /** Requests of one peer that wait so, each direction. The next one is denied. Default 16. */
  maxAsksPerPeer: number
  /** Longest wait for `onAsk` or `onNewPeer`; then denied. Default 30,000. */
  askTimeoutMs: number
  /** Peers whose `onNewPeer` verdict is remembered; the least recently used is forgotten. Default 4,096. */
  maxNewPeerVerdicts: number

  // Relays: what we ask of one
  /** Relays that we are reached through at once. The next one is refused. Default 8. */
  maxRelays: number
  /** Longest one exchange of messages with a relay, or as one, may take. Default 10,000. */
  relayTimeoutMs: number
  /** Longest pause between two tries to get a relay back; the first ones are shorter. Default 60,000. */
  maxRelayRetryMs: number
  /** Longest message of a relay, or to one, length excluded. Default 4,096. */
  maxRelayMessageBytes: number

  // Being reached directly
  /** Peers, and networks they are in (IPv4: /24, IPv6: /48), that have to agree on where they reach us. Default 3. */
  minObservers: number
  /** Connections whose word on that is kept. The network that says most gives up its oldest. Default 256. */
  maxObservations: number
  /** Addresses announced because peers agree on them. Default 4. */
  maxObservedAddresses: number
  /** How long the word of a connection holds that is gone. Default 30 min. */
  observedTtlMs: number
  /** Longest one attempt to punch, or to dial back a peer that came through a relay, may take. Default 3,000. */
  punchTimeoutMs: number
  /** How long a peer with which punching failed is left alone. Default 10 min. */
  punchRetryMs: number
  /** Peers with which a direct connection is tried for at once. The next one stays relayed. Default 16. */
  maxPunches: number
  /** Addresses told, and dialled, in one attempt to punch. Those after are ignored. Default 4. */
  maxPunchAddresses: number
  /** Peers with which punching failed that are remembered. The oldest is forgotten. Default 1,024. */
  maxPunchFailures: number

  // Whether we can be reached, and saying so to others (AutoNAT v2)
  /** Peers, in networks of their own, that have to agree on whether an address of ours can be reached. A relay that we use suffices alone. Default 3. */
  minDialBacks: number
  /** Addresses of ours that are checked. Those after are not. Default 8. */
  maxCheckedAddresses: number
  /** Checks that we ask for at once. The next one waits. Default 2. */
  maxChecks: number
  /** Longest one check may take, for who asks and for who answers, a dial within it. Default 25,000. */
  checkTimeoutMs: number
  /** When an address is checked anew; what was found holds twice as long. Default 15 min. */
  checkIntervalMs: number
  /** Longest message of a check, length excluded. A longer one resets its stream. Default 8 KiB. */
  maxCheckMessageBytes: number
  /** Most padding that we send for one check. Who asks for more is not asked again for a while. Default 128 KiB. */
  maxPaddingBytes: number
  /** Padding wanted before another IP address than the asker's own is dialled. Default 48 KiB; the specification wants 30,000 to 100,000. */
  paddingBytes: number
  /** Addresses read in one request to dial back. Those after are ignored. Default 16. */
  maxDialBackAddresses: number
  /** Peers dialled back at once. The next request is rejected. Default 8. */
  maxDialBacks: number
  /** Requests to dial back answered in a minute, and at once. The next one is rejected. Default 60. */
  dialBacksPerMinute: number
  /** Requests of one peer to be dialled back answered in a minute, and at once. The next one is rejected. Default 12. */
  dialBacksPerPeerPerMinute: number

  /** Ports that a router is asked to map (`reach.mapPorts`). Those after are not. Default 4. */
  maxPortMappings: number
  /** How long a router is asked to keep a mapping; it is renewed after half of it. Default 1 h. */
  portMappingLeaseMs: number
  /** When a mapping that failed is tried again. Default 5 min. */
  portMappingRetryMs: number
  /** Longest wait for a router, to be found and for each answer. Default 3,000. */
  routerTimeoutMs: number
  /** Longest answer taken of a router. A longer one is as none. Default 64 KiB. */
  maxRouterAnswerBytes: number

  // Relays: what we give as one
  /** Peers with a reservation. The next one is refused. Default 128. */
  maxRelayReservations: number
  /** Peers with a reservation from one address (IPv6: one /64). The next one is refused. Default 16. */
  maxRelayReservationsPerAddress: number
  /** How long a reservation stands unless it is renewed. Default 1 h. */
  relayReservationMs: number
  /** Circuits in all, those that are being opened included. The next one is refused. Default 512. */
  maxRelayCircuits: number
  /** Circuits opened by one peer. The next one is refused. Default 16. */
  maxRelayCircuitsPerPeer: number
  /** Circuits opened from one address (IPv6: one /64). The next one is refused. Default 64. */
  maxRelayCircuitsPerAddress: number
  /** Circuits to one peer. The next one is refused. Default 64. */
  maxRelayCircuitsPerTarget: number
  /** Bytes a circuit carries in each direction before it is cut; 0 for no bound. Default 128 KiB. */
  maxRelayCircuitBytes: number
  /** How long a circuit stands before it is cut; 0 for no bound. Default 2 min. */
  maxRelayCircuitMs: number
  /** Bytes carried for one peer in 24 h, from it and to it. Past it its circuits are cut; 0 for no bound. Default 1 GiB. */
  maxRelayBytesPerPeer: number
  /** Peers whose use of the relay is remembered. The least recently seen is forgotten. Default 4,096. */
  maxRelayAccounts: number

  // Finding peers
  /** Peers that one search, or one way of finding, remembers at once. Further ones are not told, or push out the oldest unread. Default 256. */
  maxFoundPeers: number
  /** Longest that what was found is kept without being found again. Default 2 h. */
  maxFoundTtlMs: number
  /** Longest one search takes that names no time. Default 30,000. */
  findTimeoutMs: number
  /** Searches at once. The next one fails `resource_exhausted`. Default 64. */
  maxSearches: number
  /** Namespaces advertised at once. The next one fails `resource_exhausted`. Default 64. */
  maxAdvertisements: number
  /** Longest mDNS packet read. A longer one is dropped. Default 9,000, the most RFC 6762 allows. */
  maxMdnsPacketBytes: number
  /** Questions and records in one mDNS packet. One with more is dropped. Default 256. */
  maxMdnsRecords: number
  /** mDNS packets read in a second, and at once, from one sender. What is more is dropped unread. Default 50. */
  mdnsPacketsPerSecond: number
  /** mDNS answers sent in a second, each link. What is more is not answered. Default 4. */
  mdnsAnswersPerSecond: number
  /** Peers that one sender's mDNS packets may speak for. Default 32. */
  maxMdnsPeersPerSender: number
  /** Longest time between two of our own mDNS queries; the first come sooner. Default 60,000. */
  mdnsQueryIntervalMs: number
  /** How often it is looked whether network interfaces, or our own addresses, came or went. Default 5,000. */
  interfacePollMs: number
  /** Longest wait for a rendezvous message, as point and as client. Default 10,000. */
  rendezvousTimeoutMs: number
  /** How often a search that follows asks again, at rendezvous points and in the Kademlia network. Default 10,000. */
  findPollMs: number
  /** Longest answer taken of a rendezvous point. A longer one fails the search. Default 256 KiB. */
  maxRendezvousAnswerBytes: number
  /** Longest request taken as a rendezvous point, one signed peer record included. A longer one resets its stream. Default 8 KiB. */
  maxRendezvousRequestBytes: number
  /** Rendezvous requests answered in a second to one peer; four times as many at once. What is more is answered "unavailable". Default 8. */
  rendezvousRequestsPerSecond: number
  /** Rendezvous streams that one peer may have open. The next one is reset. Default 8. */
  maxRendezvousStreams: number
  /** Registrations held as a rendezvous point. The next one is refused. Default 8,192. */
  maxRegistrations: number
  /** Registrations of one peer. The next one is refused. Default 64. */
  maxRegistrationsPerPeer: number
  /** Registrations told in one answer; the rest is asked for with its cookie. Default 64. */
  maxRegistrationsPerAnswer: number
  /** Provider records held for the Kademlia network. The oldest of others makes room. Default 8,192. */
  maxDhtRecords: number
  /** Provider records of one peer. The next one is refused. Default 256. */
  maxDhtRecordsPerPeer: number
  /** Peers whose addresses the Kademlia network told and that are kept for its own searches. The oldest makes room. Default 1,024. */
  maxDhtPeers: number

  // Everything else
  /** Peers in the address book. The least recently useful is forgotten. Default 4,096. */
  maxPeersInBook: number
  /** Addresses of one peer in the book. Default 16. */
  maxAddressesPerPeer: number
  /** Events waiting for one subscriber. Default 1,024. */
  maxBufferedEvents: number
  /** Events of what runs already, kept past the buffer of a subscriber with `block`. Past it they are dropped. Default 8,192. */
  maxHeldBackEvents: number
  /** Longest identify message taken, and sent. Default 4,096. */
  maxIdentifyBytes: number
  /** Peers whose identify message is remembered. Past it the oldest goes that is not connected. Default 4,096. */
  maxIdentifiedPeers: number
  /** Longest one exchange of identify messages, or one answer to a ping, may take. Default 5,000. */
  identifyTimeoutMs: number
  /** Peers blocked, and addresses banned, each. Default 65,536. */
  maxBlocked: number
  /** Requests of other framings in flight per peer. Default 64. */
  maxFramedPerPeer: number
  /** Longest request in another framing. Default 1 MiB. */
  maxFramedRequestBytes: number
  /** Longest answer in another framing. Default 4 MiB. */
  maxFramedResponseBytes: number
  /** Longest a request in another framing may take to be answered, and the answer to be taken. Default 10,000. */
  framedTimeoutMs: number
}

const KIB = 1024
const MIB = 1024 * KIB
const MINUTE = 60_000

/** The default of every limit. */
export const DEFAULT_LIMITS: Readonly<P2pLimits> = Object.freeze({
  maxPendingInbound: 128,
  maxPendingPerAddress: 16,
  maxConnectionsPerAddress: 128,
  maxConnectionsPerPeer: 8,
  maxInboundConnections: 1024,
  maxOutboundConnections: 1024,
  reservedConnections: 32,
  handshakeTimeoutMs: 5000,
  dialTimeoutMs: 10_000,
  maxHandshakeBytes: 64 * KIB,
  maxNegotiationMessageBytes: 1024,
  maxNegotiationMessages: 16,
  maxSocketQueueBytes: 16 * MIB,
  closeTimeoutMs: 30_000,
  maxUpgradeRequestBytes: 8 * KIB,
  maxWebSocketMessageBytes: MIB,
  maxDnsDepth: 4,
  maxDnsAnswers: 64,
  maxStreamsPerConnection: 256,
  maxUnnegotiatedStreams: 256,
  maxMuxerFrameBytes: 256 * KIB,
  streamWindowBytes: 256 * KIB,
  maxConnectionReceiveBytes: 16 * MIB,
  maxConnectionSendBytes: MIB,
  muxerControlBurst: 256,
  muxerControlPerSecond: 64,
  negotiationTimeoutMs: 5000,
  keepAliveIntervalMs: 15_000,
  keepAliveTimeoutMs: 10_000,
  idleTimeoutMs: 0,
  maxFrameBytes: 64 * KIB,
  maxMessageBytes: 4 * MIB,
  maxNesting: 32,
  maxMessageValues: 262_144,
  maxInboundPerPeer: 256,
  maxInboundTotal: 1024,
  maxOutboundPerPeer: 1024,
  maxHeldBytesPerPeer: 32 * MIB,
  maxHeldBytesTotal: 256 * MIB,
  requestWindowBytes: 256 * KIB,
  maxTimeoutMs: 24 * 60 * MINUTE + 5 * MINUTE,
  requestTimeoutMs: 30_000,
  maxKeptAnswers: 1024,
  maxKeptAnswersTotal: 65_536,
  maxKeptBytes: 8 * MIB,
  maxKeptBytesTotal: 64 * MIB,
  keepAnswersMs: 5 * MINUTE,
  maxAsks: 256,
  maxAsksPerPeer: 16,
  askTimeoutMs: 30_000,
  maxNewPeerVerdicts: 4096,
  maxRelays: 8,
  relayTimeoutMs: 10_000,
  maxRelayRetryMs: 60_000,
  maxRelayMessageBytes: 4096,
  minObservers: 3,
  maxObservations: 256,
  maxObservedAddresses: 4,
  observedTtlMs: 30 * MINUTE,
  punchTimeoutMs: 3000,
  punchRetryMs: 10 * MINUTE,
  maxPunches: 16,
  maxPunchAddresses: 4,
  maxPunchFailures: 1024,
  minDialBacks: 3,
  maxCheckedAddresses: 8,
  maxChecks: 2,
  checkTimeoutMs: 25_000,
  checkIntervalMs: 15 * MINUTE,
  maxCheckMessageBytes: 8 * KIB,
  maxPaddingBytes: 128 * KIB,
  paddingBytes: 48 * KIB,
  maxDialBackAddresses: 16,
  maxDialBacks: 8,
  dialBacksPerMinute: 60,
  dialBacksPerPeerPerMinute: 12,
  maxPortMappings: 4,
  portMappingLeaseMs: 60 * MINUTE,
  portMappingRetryMs: 5 * MINUTE,
  routerTimeoutMs: 3000,
  maxRouterAnswerBytes: 64 * KIB,
  maxRelayReservations: 128,
  maxRelayReservationsPerAddress: 16,
  relayReservationMs: 60 * MINUTE,
  maxRelayCircuits: 512,
  maxRelayCircuitsPerPeer: 16,
  maxRelayCircuitsPerAddress: 64,
  maxRelayCircuitsPerTarget: 64,
  maxRelayCircuitBytes: 128 * KIB,
  maxRelayCircuitMs: 2 * MINUTE,
  maxRelayBytesPerPeer: 1024 * MIB,
  maxRelayAccounts: 4096,
  maxFoundPeers: 256,
  maxFoundTtlMs: 120 * MINUTE,
  findTimeoutMs: 30_000,
  maxSearches: 64,
  maxAdvertisements: 64,
  maxMdnsPacketBytes: 9000,
  maxMdnsRecords: 256,
  mdnsPacketsPerSecond: 50,
  mdnsAnswersPerSecond: 4,
  maxMdnsPeersPerSender: 32,
  mdnsQueryIntervalMs: 60_000,
  interfacePollMs: 5000,
  rendezvousTimeoutMs: 10_000,
  findPollMs: 10_000,
  maxRendezvousAnswerBytes: 256 * KIB,
  maxRendezvousRequestBytes: 8 * KIB,
  rendezvousRequestsPerSecond: 8,
  maxRendezvousStreams: 8,
  maxRegistrations: 8192,
  maxRegistrationsPerPeer: 64,
  maxRegistrationsPerAnswer: 64,
  maxDhtRecords: 8192,
  maxDhtRecordsPerPeer: 256,
  maxDhtPeers: 1024,
  maxPeersInBook: 4096,
  maxAddressesPerPeer: 16,
  maxBufferedEvents: 1024,
  maxHeldBackEvents: 8192,
  maxIdentifyBytes: 4096,
  maxIdentifiedPeers: 4096,
  identifyTimeoutMs: 5000,
  maxBlocked: 65_536,
  maxFramedPerPeer: 64,
  maxFramedRequestBytes: MIB,
  maxFramedResponseBytes: 4 * MIB,
  framedTimeoutMs: 10_000,
})

// Constants: pieces in which memory is taken and given back. Each was measured; none bounds what a peer may do.

/** Length of a slab that encrypted writes are made in, in bytes: a batch of the muxer, one stream's turn more, and what sealing adds. A longer write has memory of its own. */
export const SLAB_BYTES: number = 160 * KIB
/** Slabs of a node that wait to be used again: one is enough while the system takes at once what is written. One more is left to the collector. */
export const MAX_SPARE_SLABS = 4
/** Shortest write that a slab is made for, in bytes. A shorter one uses a slab that is there, or memory of its own. */
export const MIN_SLAB_WRITE_BYTES: number = 32 * KIB
/** Shortest chunk read from a socket whose memory goes back at once, in bytes. Shorter ones are left to the collector. */
export const MIN_FREED_BYTES: number = 8 * KIB
/** First block for headers and short payloads of the muxer, in bytes: a connection that says little holds little. Each further one is twice as long. */
export const FIRST_FRAME_BLOCK_BYTES = 512
/** Longest such block, in bytes: a busy connection takes few. */
export const MAX_FRAME_BLOCK_BYTES: number = 16 * KIB
/** First block that a message in parts is collected in, in bytes. Each further one is as long as all before it. */
export const FIRST_MESSAGE_BLOCK_BYTES: number = 4 * KIB
/** Longest such block, in bytes. */
export const MAX_MESSAGE_BLOCK_BYTES: number = 64 * KIB

/** Limits that may be zero, which switches the thing off. */
const MAY_BE_ZERO: ReadonlySet<string> = new Set([
  'idleTimeoutMs',
  'reservedConnections',
  'maxRelayCircuitBytes',
  'maxRelayCircuitMs',
  'maxRelayBytesPerPeer',
])

/** Limits that cannot be raised further: the codec goes no deeper than its stack is safe. */
const AT_MOST: ReadonlyMap<string, number> = new Map([['maxNesting', 1024]])

/**
 * The defaults with the given ones in their place, frozen.
 *
 * @throws `TypeError` for an unknown name, `RangeError` for a value that is no positive safe integer
 *   or beyond what its limit may be
 */
export function resolveLimits(given: Partial<P2pLimits> = {}): Readonly<P2pLimits> {
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(DEFAULT_LIMITS, name)) {
      throw new TypeError(`Cannot set limits: unknown limit ${name.slice(0, 64)}`)
    }
    const least = MAY_BE_ZERO.has(name) ? 0 : 1
    if (!Number.isSafeInteger(value) || value < least) {
      throw new RangeError(`Cannot set limits: ${name} is not an integer of at least ${least}`)
    }
    const most = AT_MOST.get(name)
    if (most !== undefined && value > most) {
      throw new RangeError(`Cannot set limits: ${name} is above ${most}`)
    }
  }
  return Object.freeze({ ...DEFAULT_LIMITS, ...given })
}
