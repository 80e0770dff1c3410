/** Who is measured, in the order of the table. Each is loaded by the processes that run it, and by no other. */
import type { Contender } from './contender.ts'

/** One row of the table. */
export interface Entry {
  /** What the table and the chart call it. */
  label: string
  /** Measures that would say nothing here, and why. */
  leaves?: Readonly<Record<string, string>>
  load(): Promise<Contender>
}

/** All ratios are to this one. */
export const REFERENCE = 'tls'

const SAME = 'the same connections as with one stream'

/** By the name that `--only` takes. */
export const CONTENDERS: Readonly<Record<string, Entry>> = {
  tcp: {
    label: 'raw TCP',
    load: async () => (await import('./contenders/sockets.ts')).tcp,
  },
  tls: {
    label: 'raw TLS, two certificates',
    load: async () => (await import('./contenders/sockets.ts')).tls,
  },
  'stronghold-noise': {
    label: 'stronghold, Noise',
    load: async () => (await import('./contenders/stronghold.ts')).stronghold('noise'),
  },
  'stronghold-tls': {
    label: 'stronghold, TLS',
    load: async () => (await import('./contenders/stronghold.ts')).stronghold('tls'),
  },
  http2: {
    label: 'HTTP/2 over TLS',
    load: async () => (await import('./contenders/http2.ts')).http2,
  },
  grpc: {
    label: 'gRPC over TLS',
    load: async () => (await import('./contenders/grpc.ts')).grpc,
  },
  hyperdht: {
    label: 'hyperdht + protomux-rpc',
    leaves: { roundTrips: 'UDP: there is no connection that a proxy could delay' },
    load: async () => (await import('./contenders/hyperdht.ts')).hyperdht,
  },
  'libp2p-noise': {
    label: 'js-libp2p, Noise, one stream',
    load: async () => (await import('./contenders/libp2p.ts')).libp2pOneStream('noise'),
  },
  'libp2p-tls': {
    label: 'js-libp2p, TLS, one stream',
    load: async () => (await import('./contenders/libp2p.ts')).libp2pOneStream('tls'),
  },
  'libp2p-each': {
    label: 'js-libp2p, Noise, a stream each',
    leaves: { handshakes: SAME, memory: SAME },
    load: async () => (await import('./contenders/libp2p.ts')).libp2pStreamEach('noise'),
  },
}
