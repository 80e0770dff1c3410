/** Multicast as Node.js has it. Two sockets a link: one hears the group, one has the interface's own address. */
import { createSocket } from 'node:dgram'
import type { RemoteInfo, Socket } from 'node:dgram'
import { networkInterfaces } from 'node:os'

import { ipPrefix, parseIp } from '../connection/ip.ts'

import type { InterfaceAddress, Link, LinkInit, MulticastRuntime } from './multicast.ts'

// RFC 6762 §11: packets that crossed a router are none of this link's.
const MULTICAST_HOPS = 255

/** The platform's multicast, on Node.js. */
export const multicastRuntime: MulticastRuntime | undefined = { interfaces, open }

function interfaces(): InterfaceAddress[] {
  const all: InterfaceAddress[] = []
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    for (const { address, family, cidr, internal } of addresses ?? []) {
      const prefixLength = Number(cidr?.split('/')[1] ?? Number.NaN)
      if (!Number.isInteger(prefixLength)) continue
      const bare = address.replace(/%.*$/, '')
      all.push({
        name,
        family: family === 'IPv4' ? 4 : 6,
        address: bare,
        prefixLength,
        internal,
      })
    }
  }
  return all
}

async function open(init: LinkInit): Promise<Link> {
  const link = new SocketLink(init)
  try {
    await link.open()
    return link
  } catch (error) {
    await link.close()
    throw error
  }
}

class SocketLink implements Link {
  readonly #init: LinkInit
  readonly #hears: Socket
  readonly #speaks: Socket
  #open = false
  #closed: Promise<void> | undefined

  constructor(init: LinkInit) {
    const type = init.on.family === 4 ? 'udp4' : 'udp6'
    this.#init = init
    this.#hears = createSocket({ type, reuseAddr: true, ipv6Only: init.on.family === 6 })
    this.#speaks = createSocket({ type, reuseAddr: true, ipv6Only: init.on.family === 6 })
  }

  async open(): Promise<void> {
    const { group, port, on } = this.#init
    const zone = on.family === 6 ? `%${on.name}` : ''
    const own = on.family === 6 && !isLinkLocal(on.address) ? on.address : `${on.address}${zone}`
    // The group is joined and left by interface: by its address in IPv4, by its zone in IPv6.
    const where = on.family === 4 ? on.address : `::${zone}`
    await bind(this.#hears, port, undefined)
    this.#hears.addMembership(group, where)
    await bind(this.#speaks, port, own)
    this.#speaks.setMulticastInterface(where)
    this.#speaks.setMulticastTTL(MULTICAST_HOPS)
    this.#speaks.setMulticastLoopback(true)
    this.#open = true
    for (const socket of [this.#hears, this.#speaks]) {
      // A process that has nothing else to do may end.
      socket.unref()
      socket.on('message', (bytes, from) => this.#take(bytes, from))
      socket.on('error', (error) => {
        if (!this.#open) return
        void this.close()
        this.#init.onError(error)
      })
    }
  }

  send(bytes: Uint8Array, to?: { address: string; port: number }): Promise<void> {
    const { group, port, on } = this.#init
    const host = to?.address ?? group
    const zone = on.family === 6 && (to === undefined || isLinkLocal(host)) ? `%${on.name}` : ''
    return new Promise((resolve, reject) => {
      if (!this.#open) return reject(new Error('the link is closed'))
      this.#speaks.send(bytes, to?.port ?? port, `${host}${zone}`, (error) => {
        if (error === null) resolve()
        else reject(error)
      })
    })
  }

  close(): Promise<void> {
    this.#open = false
    this.#closed ??= Promise.all([closeSocket(this.#hears), closeSocket(this.#speaks)]).then(
      () => {},
    )
    return this.#closed
  }

  // Linux gives a socket the packets of every group that anybody on the machine joined, on whatever interface.
  #take(bytes: Uint8Array, from: RemoteInfo): void {
    const { on, networks } = this.#init
    const [address = '', zone] = from.address.split('%')
    if (zone !== undefined && zone !== on.name) return
    if (zone === undefined && !networks.some((own) => isOnLink(address, own))) return
    if (this.#open) this.#init.onPacket(Uint8Array.from(bytes), { address, port: from.port })
  }
}

/** Whether an address is of the interface's own network (RFC 6762 §11). */
function isOnLink(address: string, on: InterfaceAddress): boolean {
  const from = parseIp(address)
  const own = parseIp(on.address)
  if (from === undefined || own === undefined || from.version !== own.version) return false
  const { prefixLength } = on
  return ipPrefix(from, prefixLength).bits === ipPrefix(own, prefixLength).bits
}

function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address)
}

function bind(socket: Socket, port: number, address: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    const to = address === undefined ? { port } : { port, address }
    socket.bind({ ...to, exclusive: true }, () => {
      socket.off('error', reject)
      resolve()
    })
  })
}

function closeSocket(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    try {
      socket.close(() => {
        resolve()
      })
    } catch {
      resolve() // it was never bound, or is closed already
    }
  })
}
