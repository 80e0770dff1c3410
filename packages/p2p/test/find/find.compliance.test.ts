import type { FindInit } from '../../src/find/ways.ts'
import type { Node } from '../../src/node-interface.ts'
import { memoryNetwork } from '../../src/testing.ts'

import { findSuite } from './find-suite.ts'
import type { FindPair } from './find-suite.ts'

/** A third node in the middle, and two that know it alone. */
async function around(
  middle: FindInit,
  outer: (addresses: readonly string[]) => FindInit,
): Promise<FindPair> {
  const network = memoryNetwork()
  const limits = { findPollMs: 200 }
  const point = await network.createNode({ find: middle })
  const make = (): Promise<Node> => network.createNode({ limits, find: outer(point.addresses) })
  const [alice, bob] = [await make(), await make()]
  return { alice, bob, [Symbol.asyncDispose]: () => network.stop() }
}

findSuite('rendezvous', {
  source: 'rendezvous',
  open: () =>
    around({ rendezvous: { serve: true } }, (points) => ({ rendezvous: { points: [...points] } })),
})

findSuite('rendezvous with the older signed records', {
  source: 'rendezvous',
  open: () =>
    around({ rendezvous: { serve: true } }, (points) => ({
      rendezvous: { points: [...points], record: 'legacy' },
    })),
})

findSuite('Kademlia', {
  source: 'kademlia',
  takesBack: false,
  open: () =>
    around({ kademlia: true }, (bootstrap) => ({ kademlia: { bootstrap: [...bootstrap] } })),
})
