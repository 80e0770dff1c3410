/**
 * A door at a unix socket, for whoever has one beside the owner's: a table of methods, served and called. Entry
 * `@stronghold/guard/socket`.
 */
import type { OpenSocket, SocketInit } from './socket.ts'

export type { KeeperLimits } from '../limits.ts'
export { DoorError } from './messages.ts'
export type { OpenSocket, SocketCalls, SocketInit, SocketLimits } from './socket.ts'
export { SocketTransport } from './socket-client.ts'
export type { SocketTransportInit } from './socket-client.ts'
export { callMethod, doorOver, methodOf, readArgs } from './table.ts'
export type { DoorMethod, DoorTable, DoorTransport, MethodKind } from './table.ts'

/**
 * Opens the socket. Whoever calls is its only user: a socket that stands there already belongs to nobody and is replaced.
 *
 * @throws `RangeError` for a path above 103 bytes; `VaultError` `failed_precondition` (`unsafe_file`) for a directory that
 *   others may enter or a file that is no socket; `unavailable` where the system refuses
 */
export async function openSocket(init: SocketInit): Promise<OpenSocket> {
  // A server of HTTP is much to load for the many that only call.
  const server = await import('./socket.ts')
  return await server.openSocket(init)
}
