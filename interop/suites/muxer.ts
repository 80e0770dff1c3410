/** libp2p's stream muxer suite on our muxer. Its stress test keeps 1,000 streams open at once. */
import tests from '@libp2p/interface-compliance-tests/stream-muxer'

import { yamux } from '../../packages/p2p/src/connection/muxer.ts'

tests({
  setup: async () => yamux({ limits: { maxStreamsPerConnection: 1024, keepAliveTimeoutMs: 1000 } }),
  teardown: async () => {},
})
