/**
 * A door at a unix socket, for whoever has one beside the owner's: a table of methods, served and called. Entry
 * `@stronghold/guard/socket`.
 */
export type { KeeperLimits } from '../limits.ts'
export { DoorError } from './messages.ts'
export { openSocket } from './socket.ts'
export type { OpenSocket, SocketCalls, SocketInit, SocketLimits } from './socket.ts'
export { SocketTransport } from './socket-client.ts'
export type { SocketTransportInit } from './socket-client.ts'
export { callMethod, doorOver, methodOf, readArgs } from './table.ts'
export type { DoorMethod, DoorTable, DoorTransport, MethodKind } from './table.ts'
