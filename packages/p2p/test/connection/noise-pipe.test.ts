import { beforeAll } from 'vitest'

import { createNoise } from '../../src/connection/noise.ts'
import { openIdentity } from '../../src/open-identity.ts'
import type { Security } from '../../src/connection/security.ts'
import { pipeSuite } from '../transports/pipe-suite.ts'

import { secure } from './secured.ts'

let alices: Security
let bobs: Security
beforeAll(async () => {
  alices = createNoise({ identity: await openIdentity({ generate: 'ed25519' }) })
  bobs = createNoise({ identity: await openIdentity({ generate: 'ed25519' }) })
})

pipeSuite('Noise', {
  open: async () => {
    const [a, b] = await secure(alices, bobs)
    return [a.pipe, b.pipe]
  },
  maxUnreadBytes: 512 * 1024,
})
