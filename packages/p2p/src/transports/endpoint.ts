/**
 * What of a multiaddr a socket needs: host, port, and how a WebSocket is wrapped. Reads and prints; connects nothing.
 */
import { multiaddr } from '@multiformats/multiaddr'
import type { Component, Multiaddr } from '@multiformats/multiaddr'

import { P2pError } from '../errors.ts'
import type { Address } from '../identity.ts'

/** Where a TCP connection goes. */
export interface TcpEndpoint {
  /** What kind of host it is; `ip4` and `ip6` need no resolving. */
  kind: 'ip4' | 'ip6' | 'dns' | 'dns4' | 'dns6'
  /** An IP address, with `%zone` where there is one, or a name. */
  host: string
  /** 0 to 65,535. */
  port: number
}

/** Where a WebSocket goes. */
export interface WebSocketEndpoint extends TcpEndpoint {
  /** TLS below the WebSocket. */
  secure: boolean
  /** The name for TLS and HTTP, where the address gives one beside the host. */
  sni: string | undefined
  /** What follows the port in the address of a listener: `/ws`, `/wss`, `/tls/ws` or `/tls/sni/NAME/ws`. */
  suffix: string
}

/** Reads `HOST/tcp/PORT` with an optional `/p2p/…`; undefined for anything else. */
export function tcpEndpoint(address: Multiaddr): TcpEndpoint | undefined {
  const read = readTcp(address)
  return read !== undefined && read.rest.length === 0 ? read.endpoint : undefined
}

/** Reads `HOST/tcp/PORT` and `/ws`, `/wss`, `/tls/ws` or `/tls/sni/NAME/ws`, with an optional `/p2p/…`. */
export function webSocketEndpoint(address: Multiaddr): WebSocketEndpoint | undefined {
  const read = readTcp(address)
  if (read === undefined) return undefined
  const [first, second, third] = read.rest
  const names = read.rest.map(({ name }) => name).join('/')
  switch (names) {
    case 'ws':
      return { ...read.endpoint, secure: false, sni: undefined, suffix: '/ws' }
    case 'wss':
    case 'tls/ws':
      return { ...read.endpoint, secure: true, sni: undefined, suffix: `/${names}` }
    case 'tls/sni/ws':
      if (first === undefined || second?.value === undefined || third === undefined)
        return undefined
      return {
        ...read.endpoint,
        secure: true,
        sni: second.value,
        suffix: `/tls/sni/${second.value}/ws`,
      }
    default:
      return undefined
  }
}

/** Whether the host of an endpoint is an IP address, not a name. */
export function isIp(endpoint: TcpEndpoint): boolean {
  return endpoint.kind === 'ip4' || endpoint.kind === 'ip6'
}

/**
 * The multiaddr of the other end of a socket.
 *
 * @throws when `host` is no IP address
 */
export function socketAddress(host: string, port: number, suffix: string): Multiaddr {
  const [ip, zone] = host.split('%') as [string, string | undefined]
  if (!ip.includes(':')) return multiaddr(`/ip4/${ip}/tcp/${port}${suffix}`)
  const before = zone === undefined ? '' : `/ip6zone/${zone}`
  return multiaddr(`${before}/ip6/${ip}/tcp/${port}${suffix}`)
}

/** The error of a dial that did not come through. */
export function dialError(address: Multiaddr, cause: unknown): P2pError {
  return new P2pError('unavailable', `Cannot dial ${quote(address)}: ${stateOf(cause)}`, {
    layer: 'dial',
    address: address.toString() as Address,
    cause,
  })
}

/** The error of a listener that did not come up. */
export function listenError(address: Multiaddr, cause: unknown): P2pError {
  return new P2pError(
    'failed_precondition',
    `Cannot listen on ${quote(address)}: ${stateOf(cause)}`,
    {
      layer: 'dial',
      address: address.toString() as Address,
      cause,
    },
  )
}

/** An address as a message shows it: quoted and cut. */
export function quote(address: Multiaddr): string {
  return JSON.stringify(address.toString().slice(0, 64))
}

const STATES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ETIMEDOUT: 'no answer',
  EADDRINUSE: 'address in use',
  EADDRNOTAVAIL: 'address not available',
  EACCES: 'not permitted',
}

function stateOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause).slice(0, 64)
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined
  return (code === undefined ? undefined : STATES[code]) ?? cause.message.slice(0, 128)
}

function readTcp(address: Multiaddr): { endpoint: TcpEndpoint; rest: Component[] } | undefined {
  const all = address.getComponents()
  const zone = all[0]?.name === 'ip6zone' ? all[0].value : undefined
  const [host, tcp, ...rest] = zone === undefined ? all : all.slice(1)
  if (host?.value === undefined || tcp?.name !== 'tcp' || tcp.value === undefined) return undefined
  if (zone !== undefined && host.name !== 'ip6') return undefined
  switch (host.name) {
    case 'ip4':
    case 'ip6':
    case 'dns':
    case 'dns4':
    case 'dns6':
      break
    default:
      return undefined
  }
  if (rest.at(-1)?.name === 'p2p') rest.pop()
  return {
    endpoint: {
      kind: host.name,
      host: zone === undefined ? host.value : `${host.value}%${zone}`,
      port: Number(tcp.value),
    },
    rest,
  }
}
