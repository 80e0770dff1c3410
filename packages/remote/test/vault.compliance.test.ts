/** `connectVault()` keeps what every `Vault` promises, in memory and over TCP. */
import { vaultCompliance } from '@stronghold/testkit/compliance'

import { EVERYTHING, served } from './served.ts'
import type { Served } from './served.ts'

const all = new Map<unknown, Served>()

vaultCompliance('connectVault() over a network in memory', {
  setup: async () => {
    const one = await served({ rules: [EVERYTHING], empty: true })
    all.set(one.remote, one)
    return one.remote
  },
  teardown: async (vault) => {
    await all.get(vault)?.[Symbol.asyncDispose]()
  },
  absent: 'permission_denied',
  listing: 'usable',
})
