/**
 * Nodes without sockets, for the tests of applications: everything above the socket is what `createNode` runs.
 */
import { openNode } from './node.ts'
import type { Node, NodeInit, NodeSeams } from './node-interface.ts'
import { memory, MemoryHub } from './transports/memory.ts'
import type { PipePairInit } from './transports/pipe-pair.ts'

export type { PipePairInit } from './transports/pipe-pair.ts'

/** A network inside the process. */
export interface MemoryNetwork extends AsyncDisposable {
  /** As `createNode`, on this network. Listens on an address of its own unless told where, as `/memory/NAME`. */
  createNode(init?: NodeInit, seams?: NodeSeams): Promise<Node>
  /** Stops every node of this network. Idempotent. */
  stop(): Promise<void>
}

/** A network of its own; nodes of other networks cannot be reached. `init` slows or cuts what travels. */
export function memoryNetwork(init: PipePairInit = {}): MemoryNetwork {
  const hub = new MemoryHub(init)
  const nodes: Node[] = []
  let names = 0
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.stop()))
  }
  return {
    async createNode(given = {}, seams = {}) {
      const listen = given.listen ?? [`/memory/node-${++names}`]
      const node = await openNode({ ...given, listen }, seams, [memory(hub)])
      nodes.push(node)
      return node
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
