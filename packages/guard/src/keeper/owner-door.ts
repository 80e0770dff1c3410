/** The owner's socket: every call shows a token, and what it may call is its role's to say. */
import type { OwnerDoor, OwnerRole } from '../doors.ts'
import { callOwner } from './owner-calls.ts'
import { OWNER_METHODS } from './owner-methods.ts'
import { openSocket } from './socket.ts'
import type { OpenSocket, SocketLimits } from './socket.ts'
import { roleOf } from './tokens.ts'

/** Where the owner comes in, and to what. */
export interface OwnerSocketInit {
  /** At most 103 bytes; its directory is made with mode 0700 where there is none. */
  readonly path: string
  /** Files of mode 0600 with the tokens of the two roles. */
  readonly tokens: Readonly<Record<OwnerRole, string>>
  readonly door: OwnerDoor
  readonly limits: SocketLimits
}

/** Opens the socket. @throws as `openSocket` */
export function openOwnerSocket(init: OwnerSocketInit): Promise<OpenSocket> {
  const { path, tokens, door, limits } = init
  return openSocket({
    path,
    methods: OWNER_METHODS,
    limits,
    admit: (shown) => {
      const role = roleOf(shown, tokens)
      if (role === undefined) return undefined
      return (name, args, signal) => callOwner(door, role, name, args, signal)
    },
  })
}
