/**
 * Who is registered where at a rendezvous point: a bounded table, in the order of registration. Pure: time is handed
 * in, records were verified before.
 */
import type { PeerId } from '../identity.ts'

/** The limits of a registry; see `P2pLimits`. */
export interface RegistryLimits {
  readonly maxRegistrations: number
  readonly maxRegistrationsPerPeer: number
}

/** What is registered. */
export interface Registration {
  readonly peer: PeerId
  readonly namespace: string
  /** The signed peer record, as it came. */
  readonly record: Uint8Array
  /** Since the epoch. */
  readonly expiresAtMs: number
}

/** A page of what is registered. */
export interface RegistryPage {
  readonly registrations: readonly Registration[]
  /** The sequence number of the last of them; what comes after it is new. */
  readonly last: number
}

interface Entry extends Registration {
  readonly sequence: number
}

/** All registrations of one point. */
export class Registry {
  readonly #limits: RegistryLimits
  // The first of each map is the oldest: a registration that is renewed goes to the end.
  readonly #all = new Map<string, Entry>()
  readonly #byNamespace = new Map<string, Map<string, Entry>>()
  readonly #byPeer = new Map<PeerId, Map<string, Entry>>()
  #sequence = 0

  constructor(limits: RegistryLimits) {
    this.#limits = limits
  }

  /** Registrations that are held, those that have run out and were not looked at since included. */
  get size(): number {
    return this.#all.size
  }

  /** Adds or renews. `'quota'`: the peer has as many as it may; `'full'`: all together are. Nothing is pushed out. */
  register(registration: Registration, nowMs: number): 'ok' | 'quota' | 'full' {
    const { peer, namespace } = registration
    const key = keyOf(peer, namespace)
    if (!this.#all.has(key)) {
      const { maxRegistrations, maxRegistrationsPerPeer } = this.#limits
      if ((this.#byPeer.get(peer)?.size ?? 0) >= maxRegistrationsPerPeer) this.expire(nowMs)
      if ((this.#byPeer.get(peer)?.size ?? 0) >= maxRegistrationsPerPeer) return 'quota'
      if (this.#all.size >= maxRegistrations) this.expire(nowMs)
      if (this.#all.size >= maxRegistrations) return 'full'
    }
    this.#delete(key)
    this.#sequence += 1
    const entry: Entry = { ...registration, sequence: this.#sequence }
    this.#all.set(key, entry)
    add(this.#byNamespace, namespace, key, entry)
    add(this.#byPeer, peer, key, entry)
    return 'ok'
  }

  /** True where there was something to forget. */
  unregister(peer: PeerId, namespace: string): boolean {
    return this.#delete(keyOf(peer, namespace))
  }

  /** Forgets all of a peer. */
  forget(peer: PeerId): void {
    for (const key of [...(this.#byPeer.get(peer)?.keys() ?? [])]) this.#delete(key)
  }

  /**
   * At most `limit` registrations that came after a sequence number, the oldest first, with records of at most
   * `maxBytes` together, but for the first; of all namespaces where none is named.
   */
  discover(
    namespace: string | undefined,
    after: number,
    limit: number,
    maxBytes: number,
    nowMs: number,
  ): RegistryPage {
    const from = namespace === undefined ? this.#all : this.#byNamespace.get(namespace)
    const registrations: Registration[] = []
    let last = after
    let bytes = 0
    for (const { sequence, ...registration } of from?.values() ?? []) {
      if (sequence <= after || registration.expiresAtMs <= nowMs) continue
      bytes += registration.record.byteLength
      if (registrations.length >= limit || (registrations.length > 0 && bytes > maxBytes)) break
      registrations.push(registration)
      last = sequence
    }
    return { registrations, last }
  }

  /** Forgets what has run out. */
  expire(nowMs: number): void {
    for (const [key, { expiresAtMs }] of this.#all) if (expiresAtMs <= nowMs) this.#delete(key)
  }

  #delete(key: string): boolean {
    const entry = this.#all.get(key)
    if (entry === undefined) return false
    this.#all.delete(key)
    remove(this.#byNamespace, entry.namespace, key)
    remove(this.#byPeer, entry.peer, key)
    return true
  }
}

/** A peer id holds no space, so that no two pairs have one key. */
function keyOf(peer: PeerId, namespace: string): string {
  return `${peer} ${namespace}`
}

function add<K>(index: Map<K, Map<string, Entry>>, by: K, key: string, entry: Entry): void {
  const some = index.get(by)
  if (some === undefined) index.set(by, new Map([[key, entry]]))
  else some.set(key, entry)
}

function remove<K>(index: Map<K, Map<string, Entry>>, by: K, key: string): void {
  const some = index.get(by)
  some?.delete(key)
  if (some?.size === 0) index.delete(by)
}
