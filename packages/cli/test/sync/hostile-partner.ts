/**
 * A partner that holds its keys and says what it likes, over a connection of its own: written from `docs/sync.md` alone, so what is
 * said there is what is understood here.
 */
import { concat, decode, encode } from '@stronghold/core'
import type { NetworkDoor, SyncReply } from '@stronghold/guard'
import { createNode, parseAddress } from '@stronghold/p2p'
import type { Node, PeerId } from '@stronghold/p2p'
import { sayToPartner, serveSync } from '@stronghold/remote'
import { createVault, MemoryStore } from '@stronghold/vault'
import type { OpenVault, VaultTransaction } from '@stronghold/vault'
import { generate } from '@stronghold/vault/catalog'

import type { Stronghold } from './strongholds.ts'

type Channel = ReturnType<VaultTransaction['sync']['channel']>
/** A message inside its seal, as a map. */
export type Said = Readonly<Record<string, unknown>>

/** 16 bytes, the last of them as given. */
export function sixteen(last: number): Uint8Array {
  const bytes = new Uint8Array(16)
  new DataView(bytes.buffer).setUint32(12, last)
  return bytes
}

/** What a side says of itself first (`sync.md §5`). */
const WISHES = { mode: 'two-way', merge: 'newest-version', paths: ['**'] } as const

/** One such partner. */
export class HostilePartner implements AsyncDisposable {
  readonly #identity: string
  node: Node
  readonly vault: OpenVault
  /** The mark that its victim gave last. */
  held: Uint8Array | undefined

  private constructor(identity: string, node: Node, vault: OpenVault) {
    this.#identity = identity
    this.node = node
    this.vault = vault
  }

  /** @param identity - where its node's key stands, made where there is none */
  static async open(identity: string): Promise<HostilePartner> {
    const keyFile = new Uint8Array(32).fill(9)
    const memory = { bytes: 1024 * 1024 }
    const vault = await createVault({ at: new MemoryStore(), credential: { keyFile }, memory })
    return new HostilePartner(identity, await nodeOf(identity), vault)
  }

  /** Connections of before are gone; it is the same peer. */
  async restart(): Promise<void> {
    await this.node.stop()
    this.node = await nodeOf(this.#identity)
  }

  /** What its victim pins. */
  pinned(): { vault: Uint8Array; key: Uint8Array } {
    const key = this.vault.transaction((tx) => tx.sync.publicKey())
    return { vault: this.vault.head().vault, key }
  }

  /** Makes keys of its own, that it may give away. */
  async create(paths: readonly string[]): Promise<void> {
    for (const to of paths) {
      await this.vault.run(generate, { to, type: 'ed25519', labels: { sync: true } })
    }
  }

  /** A record as it would be sent, with its secrets sealed for one run. */
  record(channel: Channel, path: string): Said {
    return this.vault.transaction(({ sync }) => {
      const found = sync.at(path)
      if (found === undefined) throw new Error(`no ${path}`)
      const { id, type, labels, createdAtMs, minimum } = found
      const versions = found.versions.map(({ number, createdAtMs: at, length }) => ({
        ...{ number, length, createdAtMs: at, digest: bytes(sync.digest(id, number)) },
        public: sync.publicKeyOf(id, number),
        sealed: sync.seal(channel, id, number),
      }))
      const usage = [...labels.usage].sort()
      const egress: string = labels.egress
      const what = { id: bytes(id), path, type, usage, egress, sync: true }
      return { ...what, createdAtMs, minimum, versions }
    })
  }

  /** Begins a run with a victim, reached at some addresses. */
  async begin(victim: Stronghold, addresses: readonly string[]): Promise<HostileRun> {
    const { node, vault } = this
    const peer = victim.peer as PeerId
    node.book.add(peer, addresses.map(parseAddress))
    const nonce = crypto.getRandomValues(new Uint8Array(16))
    const begun = await sayToPartner(node, peer, { kind: 'begin', nonce })
    if (begun.state !== 'begun') throw new Error(JSON.stringify(begun))
    const own = { peer: node.peer, vault: vault.head().vault }
    const nonces = concat([nonce, begun.nonce])
    const channel = this.#channel(own, { ...begun, peer }, nonces)
    channel.open(begun.sealed)
    return new HostileRun(this, channel, (sealed) =>
      sayToPartner(node, peer, { kind: 'step', session: begun.session, sealed }),
    )
  }

  /** Answers a victim's runs from a script, for as long as the result stands. */
  answer(
    victim: { readonly peer: string; readonly vault: Uint8Array; readonly key: Uint8Array },
    script: (said: Said, channel: Channel) => Said,
  ): Disposable {
    const own = { peer: this.node.peer, vault: this.vault.head().vault }
    let channel: Channel | undefined
    const sync: NetworkDoor['sync'] = (_, message): Promise<SyncReply> => {
      if (message.kind === 'begin') {
        const nonce = crypto.getRandomValues(new Uint8Array(16))
        channel = this.#channel(own, victim, concat([message.nonce, nonce]))
        const { held } = this
        const welcome = { kind: 'welcome', head: this.head(), ...WISHES, held, count: 1 }
        const sealed = channel.seal(encode(welcome))
        const begun = {
          state: 'begun',
          session: sixteen(1),
          ...this.pinned(),
          nonce,
          sealed,
        } as const
        return Promise.resolve(begun)
      }
      if (message.kind !== 'step' || channel === undefined) throw new Error(message.kind)
      const said = decode(channel.open(message.sealed)) as Said
      if (said['mark'] instanceof Uint8Array) this.held = said['mark']
      return Promise.resolve({
        state: 'step',
        sealed: channel.seal(encode(script(said, channel))),
      })
    }
    return serveSync(this.node, { network: { standing: () => Promise.resolve('known'), sync } })
  }

  head(): Uint8Array {
    return encode(this.vault.head())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node.stop()
    await this.vault.close()
  }

  #channel(
    own: { readonly peer: string; readonly vault: Uint8Array },
    other: { readonly peer: string; readonly vault: Uint8Array; readonly key: Uint8Array },
    nonces: Uint8Array,
  ): Channel {
    const info = (from: typeof own, to: typeof own): Uint8Array =>
      encode({
        ...{ domain: 'stronghold/sync/1', from: from.peer, to: to.peer },
        ...{ fromVault: from.vault, toVault: to.vault, nonces },
      })
    const [sendInfo, receiveInfo] = [info(own, other), info(other, own)]
    const partner = other.key
    return this.vault.transaction((tx) => tx.sync.channel({ partner, sendInfo, receiveInfo }))
  }
}

/** One run that it began. */
export class HostileRun {
  readonly #partner: HostilePartner
  readonly channel: Channel
  readonly #send: (sealed: Uint8Array) => Promise<SyncReply>

  constructor(
    partner: HostilePartner,
    channel: Channel,
    send: (sealed: Uint8Array) => Promise<SyncReply>,
  ) {
    this.#partner = partner
    this.channel = channel
    this.#send = send
  }

  /** Says what was sealed, whenever that was. */
  sealed(sealed: Uint8Array): Promise<SyncReply> {
    return this.#send(sealed)
  }

  /** Says something, and opens the answer. */
  async say(said: Said): Promise<Said> {
    const reply = await this.#send(this.seal(said))
    if (reply.state !== 'step') throw new Error(JSON.stringify(reply))
    const answer = decode(this.channel.open(reply.sealed)) as Said
    if (answer['mark'] instanceof Uint8Array) this.#partner.held = answer['mark']
    return answer
  }

  seal(said: Said): Uint8Array {
    return this.channel.seal(encode(said))
  }

  /** That it has nothing, so that it is told of everything. */
  list(): Said {
    const nothing = { maps: [], bits: 0, buckets: sixteen(0), fresh: false, mark: sixteen(7) }
    const { held } = this.#partner
    return { kind: 'list', head: this.#partner.head(), ...WISHES, held, ...nothing }
  }

  record(path: string): Said {
    return this.#partner.record(this.channel, path)
  }

  /** What came of records that are put, one by one. */
  async put(records: readonly Said[]): Promise<string[]> {
    const answer = await this.say({ kind: 'put', mark: sixteen(8), records })
    return (answer['results'] as [Uint8Array, string, Uint8Array][]).map(([, outcome]) => outcome)
  }
}

function nodeOf(identity: string): Promise<Node> {
  return createNode({ identity, listen: ['/ip4/127.0.0.1/tcp/0'] })
}

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'))
}

/** Entries that rise and have no end, as many in a message as there may be. */
export function* endless(): Generator<Said, never> {
  for (let at = 1; ;) {
    const entries = new Uint8Array(3072 * 32)
    for (let i = 0; i < 3072; i++, at++) entries.set(sixteen(at), 32 * i)
    yield { kind: 'entries', mark: sixteen(2), differ: Uint8Array.of(0x80), entries, more: true }
  }
}
