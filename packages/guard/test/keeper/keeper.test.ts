import { afterAll, describe } from 'vitest'

import { guardSuite } from '../guard-suite.ts'
import { kept, KeeperThreads } from './keeper-of.ts'

const threads = new KeeperThreads()
afterAll(() => threads.stop())

describe('openKeeper()', () => {
  guardSuite({ setup: (init) => kept(init, threads) })
})

describe('connectOwner()', () => {
  guardSuite({
    setup: async (init) => {
      const all = await kept(init, threads)
      return {
        guard: { network: all.guard.network, owner: all.owner() },
        clock: all.clock,
        [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
      }
    },
  })
})
