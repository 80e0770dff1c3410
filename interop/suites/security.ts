/** libp2p's connection encryption suite on our Noise and our TLS. */
import tests from '@libp2p/interface-compliance-tests/connection-encryption'
import type { StreamMuxerFactory } from '@libp2p/interface'

import { noise, tls } from '../../packages/p2p/src/connection/encrypters.ts'

const upgrader = { getStreamMuxers: () => new Map<string, StreamMuxerFactory>() }

for (const [name, factory] of Object.entries({ Noise: noise(), TLS: tls() })) {
  describe(`the connection encrypter ${name}`, () => {
    tests({
      setup: async (init) => {
        if (init === undefined) throw new TypeError('the suite gives no key')
        return factory({ privateKey: init.privateKey, upgrader })
      },
      teardown: async () => {},
    })
  })
}
