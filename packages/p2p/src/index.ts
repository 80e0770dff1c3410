/** `@stronghold/p2p`: typed, firewalled requests between peers. Everything here runs in a browser, too. */
export { bytes } from '@stronghold/core'
export type { BytesSchema, Ran, Schema, StatusCode } from '@stronghold/core'
export { isP2pError, P2pError } from './errors.ts'
export type { Layer, P2pErrorInit } from './errors.ts'
export type {
  AddressesChangedEvent,
  AskedEvent,
  ConnectedEvent,
  ConnectionEvent,
  DeniedEvent,
  DialFailedEvent,
  DirectEvent,
  DisconnectedEvent,
  DisconnectReason,
  EventBase,
  EventOf,
  EventsOptions,
  EventStream,
  EventType,
  FindFailedEvent,
  FoundEvent,
  HandlerFailedEvent,
  ListenErrorEvent,
  ListeningEvent,
  MissedEvent,
  NodeEvent,
  ObservedAddressEvent,
  PeerIdentifiedEvent,
  PortMappingEvent,
  ReachabilityEvent,
  RefusedEvent,
  RelayLostEvent,
  RelayReservedEvent,
  RequestEvent,
  RequestEventBase,
  ResponseEvent,
  StoppedEvent,
} from './events.ts'
export type {
  Advertisement,
  AdvertisementState,
  FindSource,
  FoundPeer,
  Wanted,
} from './find/find.ts'
export type { FindOptions } from './find/finding.ts'
export type { FindInit, KademliaOptions, MdnsOptions, RendezvousOptions } from './find/ways.ts'
export type { DecidedBy } from './firewall/decide.ts'
export type { AskFailure } from './firewall/asks.ts'
export type { AskEnd, FirewallControl } from './firewall/firewall.ts'
export type {
  AskAnswer,
  AskRequest,
  ConnectionFacts,
  Direction,
  ExportedDirection,
  ExportedRules,
  FirewallInit,
  InboundInit,
  NewPeer,
  OutboundInit,
  PeerRules,
  RequestFacts,
  Rule,
  ServeRule,
  Verdict,
} from './firewall/rules.ts'
export { parseAddress, parsePeerId } from './identity.ts'
export type { Address, PeerId } from './identity.ts'
export { openEnvelope } from './peer-record.ts'
export type { EnvelopeKind, OpenedEnvelope } from './peer-record.ts'
export { DEFAULT_LIMITS, resolveLimits } from './limits.ts'
export type { P2pLimits } from './limits.ts'
export type { CarryLimits } from './carry.ts'
export type { Format, Framing, FramingOptions } from './framings/framing.ts'
export { original } from './framings/original.ts'
export type { OriginalOptions, OriginalProtocol } from './framings/original.ts'
export { requestResponse } from './framings/request-response.ts'
export type { FormatName } from './framings/request-response.ts'
export type { Clock } from './clock.ts'
export type { Refusal } from './connection/admission.ts'
export type { ConnectionInfo } from './connection/upgrader.ts'
export type { KeyType } from './keys.ts'
export type {
  AddAddressOptions,
  AddressBook,
  AddressBookInit,
  AddressEntry,
} from './reach/addresses.ts'
export type {
  AddressSource,
  BookParsers,
  ExportedAddress,
  ExportedBook,
  RelayMode,
} from './reach/book-file.ts'
export type {
  Endpoint as MulticastEndpoint,
  InterfaceAddress,
  Link as MulticastLink,
  LinkInit as MulticastLinkInit,
  MulticastRuntime,
} from './runtime/multicast.ts'
export type { RouterRequest, RouterResponse, RouterRuntime } from './runtime/routers.ts'
export type { ResolveOptions, Resolver } from './transports/dns.ts'
export { createNode } from './node.ts'
export type { ExportedNode } from './exported-node.ts'
export type {
  CustomTransport,
  DialOptions,
  Node,
  NodeInit,
  NodeSeams,
  RequestsService,
} from './node-interface.ts'
export type { NodeConnection, Traffic } from './connections.ts'
export type { IdentitySource } from './open-identity.ts'
export {
  bidiStream,
  clientStream,
  defineProtocol,
  nothing,
  serverStream,
  unary,
} from './protocol.ts'
export type {
  AnyMethod,
  BidiStream,
  BidiStreamInit,
  CallArguments,
  Caller,
  CallOptions,
  Client,
  ClientStream,
  ClientStreamInit,
  Facts,
  Handler,
  HandlerContext,
  Handlers,
  Items,
  Later,
  MethodInit,
  Methods,
  Nothing,
  Protocol,
  ServerStream,
  ServerStreamInit,
  Unary,
  UnaryInit,
  UploadOptions,
} from './protocol.ts'
export type { RelayQuota, RelayTotals, RelayUsage } from './reach/relay-accounts.ts'
export type { RelayState } from './reach/relay-keeper.ts'
export type { CircuitLimit } from './reach/relay-message.ts'
export type { PortMapping } from './reach/port-mappings.ts'
export type { AddressReachability, ReachInit } from './reach/reach.ts'
export type { ReachabilityState } from './reach/reachability.ts'
export type { ExportedRelays, RelayTerms } from './reach/relay-settings.ts'
export type { RelayControl, RelayInit, RelayServeInit, RelayStatus } from './reach/relays.ts'
export { scopeOf } from './reach/scope.ts'
export type { Scope } from './reach/scope.ts'
export type { ClientOptions, ServeOptions } from './requests.ts'
export type { SecurityName } from './securities.ts'
export type { Target } from './target.ts'
export { peerOfIdentity, sealAsIdentity } from './vouch.ts'
