/** Requests to decide on, for the tests of the firewall. */
import type { RequestFacts } from '../../src/firewall/rules.ts'
import type { Address, PeerId } from '../../src/identity.ts'

/** A short name stands for a peer here; whatever begins with a capital letter is one. */
export function peerOf(name: string): PeerId {
  if (!/^[A-Z]/.test(name)) throw new SyntaxError(`Cannot read peer id: ${name}`)
  return name as PeerId
}

/** A request of that peer; the rest does not matter unless it is given. */
export function requestOf(peer: string, given: Partial<RequestFacts> = {}): RequestFacts {
  return {
    peer: peerOf(peer),
    connection: {
      id: '1',
      direction: 'inbound',
      remoteAddress: '/ip4/192.0.2.1/tcp/4001' as Address,
      security: 'noise',
      relayed: false,
    },
    protocol: '/example/files/1.0.0',
    method: 'stat',
    facts: undefined,
    ...given,
  }
}

/** A promise and its ends. */
export function later<T>(): {
  promise: Promise<T>
  resolve: (value: T) => void
  reject: (error: unknown) => void
} {
  return Promise.withResolvers<T>()
}

/** Lets everything that is decided already be told. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}
