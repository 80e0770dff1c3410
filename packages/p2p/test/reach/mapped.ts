/** This machine as if it were on the internet. */
import type { Transport } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'

/** An address of the internet that is this machine to who dials with `mapped`. */
export const PUBLIC = '9.9.9.9'

/** A transport that dials this machine where it is on the internet, and listens there too where `both`. */
export function mapped<C>(
  factory: (components: C) => Transport,
  both = false,
): (components: C) => Transport {
  return (components) => {
    const transport = factory(components)
    const dial = transport.dial.bind(transport)
    transport.dial = (address, options) =>
      dial(multiaddr(address.toString().replace(PUBLIC, '127.0.0.1')), options)
    if (!both) return transport
    const listen = transport.createListener.bind(transport)
    transport.createListener = (options) => {
      const listener = listen(options)
      const addresses = listener.getAddrs.bind(listener)
      listener.getAddrs = () =>
        addresses().map((one) => multiaddr(one.toString().replace('127.0.0.1', PUBLIC)))
      return listener
    }
    return transport
  }
}
