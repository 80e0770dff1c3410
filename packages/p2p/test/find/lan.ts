/** A network of links in memory: what is sent to the group reaches every other socket on it, and our own. */
import type {
  Endpoint,
  InterfaceAddress,
  Link,
  LinkInit,
  MulticastRuntime,
} from '../../src/runtime/multicast.ts'

/** A packet that was seen on the network. */
export interface Seen {
  readonly bytes: Uint8Array
  readonly from: Endpoint
  /** Undefined: to the group. */
  readonly to: Endpoint | undefined
  readonly on: string
}

interface Socket {
  readonly init: LinkInit
  readonly machine: Machine
}

/** One machine on the network. */
export interface Machine extends MulticastRuntime {
  /** What it has; tests change it. */
  addresses: InterfaceAddress[]
  /** Links that cannot be opened, or cannot send, by `name IPvN`. */
  readonly broken: Map<string, 'open' | 'send'>
  readonly open: (init: LinkInit) => Promise<Link>
  /** Sockets that are open. */
  readonly links: number
}

/** A network. */
export interface Lan {
  readonly seen: Seen[]
  machine(...addresses: InterfaceAddress[]): Machine
  /** Somebody without a node says something, to the group or to one. */
  say(on: string, bytes: Uint8Array, from: Endpoint, to?: Endpoint): void
}

export function eth0(
  address: string,
  prefixLength = address.includes(':') ? 64 : 24,
): InterfaceAddress {
  const family = address.includes(':') ? 6 : 4
  return { name: 'eth0', family, address, prefixLength, internal: false }
}

export function lan(): Lan {
  const sockets = new Set<Socket>()
  const seen: Seen[] = []
  const say = (on: string, bytes: Uint8Array, from: Endpoint, to?: Endpoint): void => {
    seen.push({ bytes, from, to, on })
    const family = from.address.includes(':') ? 6 : 4
    for (const { init } of [...sockets]) {
      if (init.on.name !== on || init.on.family !== family) continue
      if (to !== undefined && (to.address !== init.on.address || to.port !== init.port)) continue
      init.onPacket(bytes.slice(), from)
    }
  }
  return {
    seen,
    say,
    machine: (...addresses) => {
      const own = new Set<Socket>()
      const machine: Machine = {
        addresses,
        broken: new Map(),
        interfaces: () => machine.addresses,
        get links() {
          return own.size
        },
        open: async (init) => {
          const { on, port } = init
          const key = `${on.name} IPv${on.family}`
          if (machine.broken.get(key) === 'open') throw new Error('ENODEV')
          const socket: Socket = { init, machine }
          sockets.add(socket)
          own.add(socket)
          return {
            send: async (bytes, to) => {
              if (machine.broken.get(key) === 'send') throw new Error('ENETUNREACH')
              say(on.name, bytes, { address: on.address, port }, to)
            },
            close: async () => {
              sockets.delete(socket)
              own.delete(socket)
            },
          }
        },
      }
      return machine
    },
  }
}
