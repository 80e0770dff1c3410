/**
 * What a Kademlia node keeps for its network, as the datastore that `@libp2p/kad-dht` wants: in memory, bounded in all and
 * for each peer. It knows how that package names provider records, and nothing else of it.
 */
import type { KadDHTComponents } from '@libp2p/kad-dht'

type Datastore = KadDHTComponents['datastore']
type Key = Parameters<Datastore['get']>[0]
interface Pair {
  key: Key
  value: Uint8Array
}

/** The limits of the store; see `P2pLimits`. */
export interface DhtRecordLimits {
  readonly maxDhtRecords: number
  readonly maxDhtRecordsPerPeer: number
}

/** Records in memory, oldest first. */
export class DhtRecords implements Datastore {
  readonly #limits: DhtRecordLimits
  readonly #self: string
  readonly #records = new Map<string, Pair>()
  readonly #byOwner = new Map<string, number>()

  /** @param self - our peer id as text: what we provide ourselves is never pushed out */
  constructor(limits: DhtRecordLimits, self: string) {
    this.#limits = limits
    this.#self = self
  }

  get size(): number {
    return this.#records.size
  }

  /** @throws `RangeError` past what its owner may have, or where only our own could make room */
  put(key: Key, value: Uint8Array): Key {
    const name = key.toString()
    const owner = ownerOf(name)
    this.delete(key)
    const own = this.#byOwner.get(owner) ?? 0
    if (owner !== this.#self && own >= this.#limits.maxDhtRecordsPerPeer) throw full()
    if (this.#records.size >= this.#limits.maxDhtRecords) this.#makeRoom()
    this.#records.set(name, { key, value })
    this.#byOwner.set(owner, own + 1)
    return key
  }

  get(key: Key): Uint8Array {
    const record = this.#records.get(key.toString())
    if (record !== undefined) return record.value
    // By this name the callers know that it is absent, and not broken.
    throw Object.assign(new Error('not found'), { name: 'NotFoundError' })
  }

  has(key: Key): boolean {
    return this.#records.has(key.toString())
  }

  delete(key: Key): void {
    const name = key.toString()
    if (!this.#records.delete(name)) return
    const owner = ownerOf(name)
    const rest = (this.#byOwner.get(owner) ?? 1) - 1
    if (rest > 0) this.#byOwner.set(owner, rest)
    else this.#byOwner.delete(owner)
  }

  async *query({ prefix = '' }: { prefix?: string }): AsyncGenerator<Pair> {
    for (const pair of [...this.#records.values()]) {
      if (pair.key.toString().startsWith(prefix)) yield pair
    }
  }

  async *queryKeys(query: { prefix?: string }): AsyncGenerator<Key> {
    for await (const { key } of this.query(query)) yield key
  }

  async *putMany(source: AsyncIterable<Pair> | Iterable<Pair>): AsyncGenerator<Key> {
    for await (const { key, value } of source) yield this.put(key, value)
  }

  async *getMany(source: AsyncIterable<Key> | Iterable<Key>): AsyncGenerator<Pair> {
    for await (const key of source) yield { key, value: this.get(key) }
  }

  async *deleteMany(source: AsyncIterable<Key> | Iterable<Key>): AsyncGenerator<Key> {
    for await (const key of source) {
      this.delete(key)
      yield key
    }
  }

  batch(): ReturnType<Datastore['batch']> {
    const jobs: (() => void)[] = []
    return {
      put: (key, value) => jobs.push(() => this.put(key, value)),
      delete: (key) => jobs.push(() => this.delete(key)),
      commit: () => {
        for (const job of jobs.splice(0)) job()
      },
    }
  }

  #makeRoom(): void {
    for (const [name, { key }] of this.#records) {
      if (ownerOf(name) === this.#self) continue
      this.delete(key)
      return
    }
    throw full()
  }
}

/** Provider records are named `…/provider/CONTENT/PEER`. */
function ownerOf(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1)
}

function full(): RangeError {
  return new RangeError('Cannot keep a provider record: too many are held')
}
