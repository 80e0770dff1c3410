/**
 * The node door: everything of a command that takes a node. A running Stronghold offers it at its control socket, where it
 * is the node of the daemon; without one, a node is made for the call. Plain values in, plain values out. The parts stand in
 * files of their own; here they are only put together.
 */
import { callMethod, doorOver, methodOf, readArgs } from '@stronghold/guard/socket'
import type { DoorTable, DoorTransport, SocketCalls } from '@stronghold/guard/socket'

import { ASKING_METHODS, askingOf } from './asking.ts'
import type { AskingDoor } from './asking.ts'
import { LIFE_METHODS, lifeOf } from './life.ts'
import type { LifeDoor } from './life.ts'
import { NET_METHODS, netOf } from './net.ts'
import type { NetDoor } from './net.ts'
import { PAIRING_METHODS, pairingOf } from './pairing.ts'
import type { PairingDoor } from './pairing.ts'
import { PEERS_METHODS, peersOf } from './peers.ts'
import type { PeersDoor } from './peers.ts'
import { RELAY_METHODS, relayOf } from './relay.ts'
import type { RelayDoor } from './relay.ts'
import type { RunningNode } from './running.ts'
import { SYNC_METHODS, syncOf } from './sync.ts'
import type { SyncDoor } from './sync.ts'
import { watchNode } from './watch.ts'

/** What can be asked of a node, here or in a daemon. */
export type NodeDoor = LifeDoor &
  AskingDoor &
  PairingDoor &
  PeersDoor &
  NetDoor &
  RelayDoor &
  SyncDoor

/** Every method of the node door. */
export const NODE_METHODS: DoorTable<NodeDoor> = Object.freeze({
  ...LIFE_METHODS,
  ...ASKING_METHODS,
  ...PAIRING_METHODS,
  ...PEERS_METHODS,
  ...NET_METHODS,
  ...RELAY_METHODS,
  ...SYNC_METHODS,
})

/** The door of a node in this process. */
export function nodeDoorOf(running: RunningNode): NodeDoor {
  const watch = watchNode(running.node)
  return {
    ...lifeOf(running),
    ...askingOf(running),
    ...pairingOf(running),
    ...peersOf(running, watch),
    ...netOf(running, watch),
    ...relayOf(running),
    ...syncOf(running),
  }
}

/** The door at the other end of a socket. */
export function nodeDoorOver(transport: DoorTransport): NodeDoor {
  return doorOver(NODE_METHODS, transport)
}

/** What a control socket serves. */
export function nodeCalls(door: NodeDoor): SocketCalls {
  return (called, given, signal) => {
    const { name, method } = methodOf(NODE_METHODS, called)
    return callMethod(door, name, method, readArgs(name, method, given), signal)
  }
}
