/** Homes whose real processes are talked to at their sockets: a command typed costs a process, and here thousands are. */
import { writeFileSync } from 'node:fs'

import type { OwnerDoor, SyncReport, SyncTurn } from '@stronghold/guard'
import { connectOwner, readToken } from '@stronghold/guard/owner'
import { SocketTransport } from '@stronghold/guard/socket'

import { nodeDoorOver } from '../../src/node/door.ts'
import type { NodeDoor } from '../../src/node/door.ts'
import type { Ended, Place, Running } from '../stronghold.ts'

/** No search, and no way but those that a test names. */
const CONFIG = '[find]\nmdns = false\n[relay]\npunch = false\n[reach]\ncheck = false\n'
const RULES = 'sync:send,sync:receive,sync:remove'
const STEPS = 16

/** One home, and the process that runs in it. */
export class Stronghold {
  readonly name: string
  readonly #place: Place
  #running: Running | undefined
  #listen = '/ip4/127.0.0.1/tcp/0'
  /** Where it listens, as it was started last. */
  addrs: readonly string[] = []

  private constructor(place: Place, name: string) {
    this.#place = place
    this.name = name
  }

  /** Makes the home and starts it, listening on loopback. */
  static async make(place: Place, name: string): Promise<Stronghold> {
    const one = new Stronghold(place, name)
    one.done('init --passphrase-file pass')
    writeFileSync(place.path(name, 'config.toml'), CONFIG, { mode: 0o600 })
    await one.up()
    return one
  }

  get peer(): string {
    return this.addrs[0]?.split('/p2p/').at(-1) ?? ''
  }

  /** Its vault, at the socket that it serves now. */
  get owner(): OwnerDoor {
    const path = (name: string): string => this.#place.path(this.name, name)
    return connectOwner(path('owner.sock'), readToken(path('admin.token')))
  }

  /** Its node. */
  get node(): NodeDoor {
    const path = this.#place.path(this.name, 'control.sock')
    return nodeDoorOver(new SocketTransport({ path, name: this.name }))
  }

  /** Types a command that has to end well. */
  done(line: string | readonly string[]): Ended {
    return this.#place.done(this.name, line)
  }

  /** Types a command. */
  run(line: string | readonly string[]): Ended {
    return this.#place.run(this.name, line)
  }

  /** @param listen - default as before */
  async up(listen = this.#listen): Promise<void> {
    const line = ['up', '--json', '--passphrase-file', 'pass', '--listen', listen]
    this.#running = this.#place.start(this.name, line)
    const ready = await this.#running.line()
    const { addrs } = JSON.parse(ready) as { addrs?: string[] }
    if (addrs === undefined) throw new Error(ready)
    this.addrs = addrs
    // The same port again, so that whoever was cut off finds it.
    this.#listen = listen.includes('/p2p-circuit')
      ? listen
      : (addrs[0]?.split('/p2p/')[0] ?? listen)
  }

  /** Ends it, at once or as it likes to end. */
  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.#running?.process.kill(signal)
    await this.#running?.ended
  }
}

/** Makes two know each other, with rules and partnerships for some paths. The names are those of the homes. */
export async function partner(one: Stronghold, other: Stronghold, paths: string[]): Promise<void> {
  const sides = [
    [one, other],
    [other, one],
  ] as const
  for (const [side, { name, peer, owner }] of sides) {
    await side.owner.addPeer(peer, name)
    await side.owner.addRule({
      peers: [name],
      procedures: RULES.split(','),
      paths,
      effect: 'allow',
    })
    const { vault, key } = await owner.syncOwnKey()
    await side.owner.syncAdd({ name, peer: name, vault, key, paths })
  }
}

/** Runs procedures, many at a time. */
export async function act(
  { owner }: Stronghold,
  procedure: string,
  inputs: readonly object[],
): Promise<void> {
  for (let at = 0; at < inputs.length; at += STEPS) {
    const steps = inputs.slice(at, at + STEPS)
    await owner.run(steps.map((input) => ({ procedure, version: 1, input: { ...input } })))
  }
}

/** Makes keys that may be synchronised. */
export async function create(one: Stronghold, paths: readonly string[]): Promise<void> {
  const labels = { sync: true }
  await act(
    one,
    'generate',
    paths.map((to) => ({ to, type: 'ed25519', labels })),
  )
}

/** All that stands below a pattern, by path: id, versions, labels and public key in one line. */
export async function standing(
  { owner }: Stronghold,
  pattern: string,
): Promise<Map<string, string>> {
  const all = await owner.records(pattern)
  return new Map(
    all.map(({ path, id, version, minimum, versions, egress, sync, publicKey }) => [
      path,
      JSON.stringify([hex(id), version, minimum, versions, egress, sync, hex(publicKey ?? [])]),
    ]),
  )
}

/** What the audit says of synchronisation: what came of which path. */
export async function told({ owner }: Stronghold): Promise<(readonly [string, string])[]> {
  const entries = await owner.auditEntries({ from: 0, count: 10_000 })
  return entries
    .filter(({ event }) => event === 'sync')
    .flatMap(({ facts }) => {
      const {
        phase,
        detail = '',
        records,
      } = facts as {
        phase: string
        detail?: string
        records?: readonly (readonly [string, string])[]
      }
      return records?.map(([what, path]) => [what, path] as const) ?? [[phase, detail] as const]
    })
}

/** What may happen between two messages of a run: `at` counts them from 0. */
export interface Between {
  /** While the message is on its way to the partner. */
  readonly there?: (at: number) => void
  /** While the answer is being taken here. */
  readonly here?: (at: number) => void
}

/** One run, as the program makes it, at the sockets of the asker. Its own address is the only way to the partner. */
export async function run(
  asker: Stronghold,
  partner: Pick<Stronghold, 'peer' | 'name' | 'addrs'>,
  between: Between = {},
): Promise<SyncReport> {
  const { owner, node } = asker
  const whom = { peer: partner.peer, addresses: [...partner.addrs] }
  let turn: SyncTurn = await owner.syncBegin(partner.name)
  for (let at = 0; !turn.done; at++) {
    const { session, say } = turn
    const reply = node.sayToPartner(whom, say)
    between.there?.(at)
    const next = owner.syncNext(session, await reply)
    between.here?.(at)
    turn = await next
  }
  return turn.report
}

function hex(bytes: Uint8Array | readonly number[]): string {
  return Buffer.from(bytes).toString('hex')
}
