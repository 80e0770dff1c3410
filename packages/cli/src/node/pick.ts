/** Which node a command uses: that of the Stronghold that runs in this home, or one that is made for the call. */
import { DoorError, SocketTransport } from '@stronghold/guard/socket'

import type { Config } from '../config.ts'
import { socketsOf } from '../home.ts'
import type { Home } from '../home.ts'
import type { Io } from '../io.ts'
import { nodeDoorOf, nodeDoorOver } from './door.ts'
import type { NodeDoor } from './door.ts'
import { findInitOf, openRunningNode } from './running.ts'

/** Of which home. */
export interface PickInit {
  readonly io: Io
  readonly home: Home
  readonly config: Config
}

/** The node door of the Stronghold that runs in a home; `undefined` where none does. */
export async function runningDoor({
  io,
  home,
}: Pick<PickInit, 'io' | 'home'>): Promise<NodeDoor | undefined> {
  const door = nodeDoorOver(
    new SocketTransport({ path: socketsOf(home, io.env).control, name: 'stronghold' }),
  )
  try {
    await door.status()
    return door
  } catch (error) {
    if (error instanceof DoorError && error.code === 'unavailable' && error.ran === 'no') {
      return undefined
    }
    throw error
  }
}

/** Uses the node of whatever runs in a home, else one that lives for this call and listens nowhere. */
export async function withNode<T>(
  init: PickInit,
  work: (node: NodeDoor) => Promise<T>,
): Promise<T> {
  const there = await runningDoor(init)
  if (there !== undefined) return await work(there)
  const find = findInitOf(init.config)
  const running = await openRunningNode({
    ...init,
    kind: 'call',
    node: {
      relay: { punch: init.config.switch('relay.punch') },
      reach: { check: false },
      ...(find === undefined ? {} : { find }),
    },
  })
  try {
    return await work(nodeDoorOf(running))
  } finally {
    await running.node.stop()
  }
}
