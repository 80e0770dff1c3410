/**
 * The owner door from another process, through the keeper's socket. Entry `@stronghold/guard/owner`.
 */
import type { OwnerDoor } from '../doors.ts'
import { ownerOver } from './owner-methods.ts'
import { SocketTransport } from './socket-client.ts'

export { allApprovals } from '../all-approvals.ts'
export { exportLines } from '../audit/lines.ts'
export type * from '../doors.ts'
export type { Direction } from '../rules/diff.ts'
export type { WrittenRule } from '../rules/parse.ts'
export type { Effect } from '../rules/rule.ts'
export { createToken, readToken } from './tokens.ts'

/**
 * The owner door behind a socket. Connects with each call.
 *
 * Every method rejects with a `VaultError` of one sentence; `unavailable` where nobody listens or the connection breaks.
 * What is called after `watchApprovals` or `ticketUsed` reaches the keeper after it.
 *
 * @param token - 64 hex digits, as `readToken` reads them
 */
export function connectOwner(socketPath: string, token: string): OwnerDoor {
  return ownerOver(new SocketTransport({ path: socketPath, token, name: 'keeper' }))
}
