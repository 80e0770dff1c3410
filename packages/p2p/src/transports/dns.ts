/**
 * Names in addresses: `dns4`, `dns6`, `dns` and `dnsaddr` become addresses that hold none. Pure but for the resolver,
 * which is handed in. Whoever answers for a name is trusted with nothing: depth, number and time are bounded.
 */
import type { MultiaddrResolver } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { Component, Multiaddr } from '@multiformats/multiaddr'

import { equalBytes } from '@stronghold/core'

import { isP2pError, P2pError } from '../errors.ts'
import type { Address } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'

import { quote } from './endpoint.ts'

/** Asks the domain name system. Rejects when there is no answer, and at once when the signal aborts. */
export interface Resolver {
  /** IPv4 addresses as text. */
  resolve4(name: string, options: ResolveOptions): Promise<readonly string[]>
  /** IPv6 addresses as text. */
  resolve6(name: string, options: ResolveOptions): Promise<readonly string[]>
  /** TXT records, each in the pieces that it came in. */
  resolveTxt(name: string, options: ResolveOptions): Promise<readonly (readonly string[])[]>
}

/** The last argument of each question. */
export interface ResolveOptions {
  signal: AbortSignal
}

/** What resolving an address needs. */
export interface ResolveAddressOptions extends ResolveOptions {
  resolver: Resolver
  limits: Pick<P2pLimits, 'maxDnsDepth' | 'maxDnsAnswers'>
}

/** Whether the address begins with a name. */
export function isResolvable(address: Multiaddr): boolean {
  switch (address.getComponents()[0]?.name) {
    case 'dns':
    case 'dns4':
    case 'dns6':
    case 'dnsaddr':
      return true
    default:
      return false
  }
}

/**
 * Every address that a name stands for, at most `maxDnsAnswers`, in the order of the answers; an address without a
 * name is its own answer. What follows a `dnsaddr`, such as `/p2p/ID`, must end each answer. Where TLS carries a
 * WebSocket the name goes on as `/tls/sni/NAME/ws`. A name asked before is not asked again, which ends every loop.
 *
 * Source: multiformats/multiaddr `protocols/DNSADDR.md`.
 *
 * @throws `signal.reason` when aborted; `P2pError` of layer `dial`: `invalid_argument` for what is no host name,
 *   `unavailable` when nothing was found
 */
export async function resolveAddress(
  address: Multiaddr,
  options: ResolveAddressOptions,
): Promise<Multiaddr[]> {
  options.signal.throwIfAborted()
  if (!isResolvable(address)) return [address]
  const name = address.getComponents()[0]?.value ?? ''
  if (!isHostName(name)) {
    throw new P2pError('invalid_argument', `Cannot resolve ${quote(address)}: not a host name`, {
      layer: 'dial',
      address: address.toString() as Address,
    })
  }
  const search = new Search(options)
  await search.follow(address, 0)
  options.signal.throwIfAborted()
  if (search.found.size > 0) return [...search.found.values()]
  throw new P2pError('unavailable', `Cannot resolve ${quote(address)}: no address found`, {
    layer: 'dial',
    address: address.toString() as Address,
    cause: search.failure,
  })
}

/**
 * The resolvers of a libp2p node, for `connectionManager.resolvers`. One name that does not resolve does not spoil
 * the dial of the other addresses.
 */
export function dnsResolvers(
  options: Omit<ResolveAddressOptions, 'signal'>,
): Record<string, MultiaddrResolver> {
  return {
    dns: {
      canResolve: isResolvable,
      async resolve(address, { signal }) {
        try {
          return await resolveAddress(address, {
            ...options,
            signal: signal ?? new AbortController().signal,
          })
        } catch (error) {
          if (isP2pError(error)) return []
          throw error
        }
      },
    },
  }
}

/** One resolution: what was found, what was asked, how much more may be read. */
class Search {
  readonly found = new Map<string, Multiaddr>()
  failure: unknown
  readonly #options: ResolveAddressOptions
  readonly #asked = new Set<string>()
  #records: number

  constructor(options: ResolveAddressOptions) {
    this.#options = options
    this.#records = options.limits.maxDnsAnswers
  }

  async follow(address: Multiaddr, depth: number): Promise<void> {
    const [first, ...rest] = address.getComponents()
    const { signal, limits } = this.#options
    if (first === undefined || this.found.size >= limits.maxDnsAnswers) return
    if (!isResolvable(address)) {
      this.found.set(address.toString(), address)
      return
    }
    const name = first.value ?? ''
    const question = address.toString()
    // A host name only: what is in an answer is not put to the system's resolver as it stands.
    if (!isHostName(name) || this.#asked.has(question) || depth > limits.maxDnsDepth) return
    this.#asked.add(question)
    try {
      if (first.name === 'dnsaddr') await this.#followRecords(name, rest, depth)
      else await this.#askHost(first.name, name, rest)
    } catch (error) {
      signal.throwIfAborted()
      this.failure ??= error
    }
  }

  async #followRecords(name: string, rest: Component[], depth: number): Promise<void> {
    const { resolver, signal } = this.#options
    const records = await resolver.resolveTxt(`_dnsaddr.${name}`, { signal })
    for (const record of records) {
      if (this.#records === 0) return
      this.#records--
      const target = parseRecord(record)
      if (target === undefined || !endsWith(target.getComponents(), rest)) continue
      signal.throwIfAborted()
      // One after the other: an answer that fans out must not become as many questions at once.
      await this.follow(target, depth + 1)
    }
  }

  async #askHost(kind: string, name: string, rest: Component[]): Promise<void> {
    const { resolver, signal, limits } = this.#options
    const [ip4, ip6] = await Promise.allSettled([
      kind === 'dns6' ? [] : resolver.resolve4(name, { signal }),
      kind === 'dns4' ? [] : resolver.resolve6(name, { signal }),
    ])
    for (const answer of [ip4, ip6]) {
      if (answer.status === 'rejected') {
        this.failure ??= answer.reason
        continue
      }
      for (const ip of answer.value) {
        if (this.found.size >= limits.maxDnsAnswers) return
        const target = hostAddress(answer === ip4 ? 'ip4' : 'ip6', ip, withName(rest, name))
        if (target !== undefined) this.found.set(target.toString(), target)
      }
    }
  }
}

const PREFIX = 'dnsaddr='

function parseRecord(pieces: readonly string[]): Multiaddr | undefined {
  const record = pieces.join('')
  if (!record.startsWith(PREFIX)) return undefined
  try {
    return multiaddr(record.slice(PREFIX.length))
  } catch {
    return undefined // somebody else's record, or one of a protocol that we do not know
  }
}

function hostAddress(kind: string, ip: string, rest: Component[]): Multiaddr | undefined {
  try {
    return multiaddr(`/${kind}/${ip}`).encapsulate(multiaddr(rest))
  } catch {
    return undefined
  }
}

function endsWith(all: readonly Component[], end: readonly Component[]): boolean {
  if (all.length < end.length) return false
  // As bytes: a peer id has two forms as text.
  const tail = all.slice(all.length - end.length)
  return equalBytes(multiaddr(tail).bytes, multiaddr([...end]).bytes)
}

/** The name is needed once more for the certificate: `/wss` and `/tls/ws` become `/tls/sni/NAME/ws`. */
function withName(rest: readonly Component[], name: string): Component[] {
  const at = rest.findIndex(
    (component, i) =>
      component.name === 'wss' || (component.name === 'tls' && rest[i + 1]?.name === 'ws'),
  )
  if (at < 0) return [...rest]
  const after = rest.slice(at + (rest[at]?.name === 'wss' ? 1 : 2))
  return [...rest.slice(0, at), ...multiaddr(`/tls/sni/${name}/ws`).getComponents(), ...after]
}

/** RFC 1123 §2.1 with the underscore that real names have; at most 253 characters, labels at most 63. */
function isHostName(name: string): boolean {
  return name.length <= 253 && /^(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?$/i.test(name)
}
