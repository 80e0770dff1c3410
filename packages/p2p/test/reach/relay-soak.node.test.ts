/**
 * A relay under much use, in a process of its own: reservations that come and go, many circuits, and being killed. Takes
 * minutes: `STRONGHOLD_LONG=1` runs it.
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

import { generateKeyPair, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { expect, test } from 'vitest'

import { bytes, createNode, defineProtocol, isP2pError, unary } from '../../src/index.ts'
import type { Node, NodeInit } from '../../src/index.ts'
import type { P2pLimits } from '../../src/limits.ts'

const soak = test.skipIf(process.env['STRONGHOLD_LONG'] !== '1')
const CYCLES = 10_000
const CIRCUITS = 200
const RESTARTS = 50
const TIMEOUT_MS = 3_600_000
const UNHURRIED = { timeoutMs: 300_000 }
const PATIENT = { timeout: 60_000, interval: 500 }
/** Where everybody shares a processor a handshake takes long. */
const SLOWLY = { handshakeTimeoutMs: 60_000, dialTimeoutMs: 60_000 }

const PROCESS = fileURLToPath(new URL('relay-process.ts', import.meta.url))
const protocol = defineProtocol('/example/soak/1.0.0', {
  count: unary({ request: bytes, response: bytes }),
})
const OPEN: NodeInit = { firewall: { inbound: { fallback: 'allow' } } }
const MIB = 1024 * 1024

interface Memory {
  rss: number
  heapUsed: number
  external: number
  reservations: number
  openCircuits: number
  connections: number
}

/** A relay whose key and port stay the same from one life to the next. */
class Relay implements AsyncDisposable {
  readonly #key: string
  readonly #limits: string
  #child: ChildProcess | undefined
  #port = 0
  address = ''

  private constructor(key: string, limits: Partial<P2pLimits>) {
    this.#key = key
    this.#limits = JSON.stringify(limits)
  }

  static async start(limits: Partial<P2pLimits> = {}): Promise<Relay> {
    const key = privateKeyToProtobuf(await generateKeyPair('Ed25519'))
    const relay = new Relay(Buffer.from(key).toString('hex'), limits)
    await relay.live()
    return relay
  }

  async live(): Promise<void> {
    const child = fork(PROCESS, [this.#key, String(this.#port), this.#limits], {
      execArgv: ['--expose-gc', '--conditions=@stronghold/source'],
      serialization: 'json',
    })
    this.#child = child
    const [{ address }] = (await once(child, 'message')) as [{ address: string }]
    this.address = address
    this.#port = Number(/\/tcp\/(\d+)/.exec(address)?.[1])
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
    this.#child = undefined
  }

  async memory(): Promise<Memory> {
    const told = once(this.#child ?? expect.fail('it is dead'), 'message')
    this.#child?.send('memory')
    return ((await told) as [Memory])[0]
  }

  get through(): string {
    return `${this.address}/p2p-circuit`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }
}

/** What is held when nobody uses it, however much was before. */
function held({ heapUsed, external }: Memory): number {
  return heapUsed + external
}

async function home(relay: Relay): Promise<{ node: Node; ran: number[] }> {
  const node = await createNode({ ...OPEN, listen: [relay.through], limits: SLOWLY })
  const ran: number[] = []
  node.serve(protocol, {
    count: (message) => {
      ran.push(numberOf(message))
      return message
    },
  })
  return { node, ran }
}

function message(number: number): Uint8Array {
  return Uint8Array.of(number >> 16, (number >> 8) & 255, number & 255)
}

function numberOf([a = 0, b = 0, c = 0]: Uint8Array): number {
  return a * 65_536 + b * 256 + c
}

soak(
  `${CYCLES.toLocaleString('en')} reservations come and go, and nothing of them stays`,
  async () => {
    await using relay = await Relay.start(SLOWLY)
    const nodes = await Promise.all(Array.from({ length: 4 }, () => createNode({ limits: SLOWLY })))
    const cycles = async (node: Node, count: number): Promise<void> => {
      for (let at = 0; at < count; at++) {
        await node.listen(relay.through)
        await node.unlisten(relay.through)
        for (const { peer } of node.connections()) await node.disconnect(peer)
      }
    }
    const all = (count: number): Promise<unknown> =>
      Promise.all(nodes.map((node) => cycles(node, count / nodes.length)))
    // What is made once, on first use, is no growth.
    await all(CYCLES / 5)
    const before = await relay.memory()
    await all((CYCLES * 4) / 5)
    await expect.poll(async () => (await relay.memory()).connections, PATIENT).toBe(0)
    const after = await relay.memory()
    expect(after).toMatchObject({ reservations: 0, openCircuits: 0 })
    const grown = held(after) - held(before)
    console.log(`relay after ${CYCLES} cycles: ${grown} bytes more, rss ${after.rss}`)
    expect(grown).toBeLessThan(2 * MIB)
    await Promise.all(nodes.map((node) => node.stop()))
  },
  TIMEOUT_MS,
)

soak(
  `${CIRCUITS} circuits at once are carried within bounds, and leave nothing`,
  async () => {
    const many = 2 * CIRCUITS
    await using relay = await Relay.start({
      ...SLOWLY,
      // Opening all of them takes longer than a circuit may stand otherwise.
      maxRelayCircuitMs: TIMEOUT_MS,
      maxRelayReservationsPerAddress: 64,
      maxRelayCircuitsPerPeer: many,
      maxRelayCircuitsPerAddress: many,
      maxRelayCircuitsPerTarget: many,
    })
    const side = Math.ceil(Math.sqrt(CIRCUITS))
    const homes = await Promise.all(Array.from({ length: side }, () => home(relay)))
    const aways = await Promise.all(
      Array.from({ length: side }, () => createNode({ limits: SLOWLY })),
    )
    const before = await relay.memory()
    const pairs = aways.flatMap((away) => homes.map(({ node }) => ({ away, node })))
    const all = pairs.slice(0, CIRCUITS)
    const remotes = all.map(({ away, node }) => away.client(protocol, node.addresses))
    for (const remote of remotes) await remote.count(message(0), UNHURRIED)
    // Below half of what a circuit may carry: none is renewed meanwhile.
    const kilobytes = new Uint8Array(4 * 1024).fill(7)
    for (let round = 0; round < 4; round++) {
      const answers = await Promise.all(remotes.map((remote) => remote.count(kilobytes, UNHURRIED)))
      for (const answer of answers) expect(answer.byteLength).toBe(kilobytes.byteLength)
    }
    const during = await relay.memory()
    expect(during.openCircuits).toBe(CIRCUITS)
    const each = (held(during) - held(before)) / CIRCUITS
    await Promise.all([...aways, ...homes.map(({ node }) => node)].map((node) => node.stop()))
    await expect.poll(async () => (await relay.memory()).connections, PATIENT).toBe(0)
    const after = await relay.memory()
    const left = held(after) - held(before)
    console.log(
      `${CIRCUITS} circuits: ${Math.round(each)} bytes each, ${left} left, rss ${during.rss}`,
    )
    expect(each).toBeLessThan(100_000)
    expect(left).toBeLessThan(2 * MIB)
    expect(after).toMatchObject({ reservations: 0, openCircuits: 0 })
  },
  TIMEOUT_MS,
)

soak(
  `a relay killed and started again ${RESTARTS} times while requests run: none is done twice, none lost without an error`,
  async () => {
    await using relay = await Relay.start()
    const { node, ran } = await home(relay)
    await using there = node
    await using away = await createNode()
    const remote = away.client(protocol, there.addresses)
    const answered = new Set<number>()
    const failed = new Map<number, string>()
    const running: Promise<void>[] = []
    let asked = 0
    let over = false
    let onAnswer: (number: number) => void = () => {}
    const ask = async (): Promise<void> => {
      while (!over) {
        const number = asked++
        const call = remote.count(message(number), { timeoutMs: 20_000 }).then(
          (answer) => {
            expect(numberOf(answer)).toBe(number)
            answered.add(number)
            onAnswer(number)
          },
          (error: unknown) => {
            if (!isP2pError(error)) throw error
            failed.set(number, error.ran)
          },
        )
        running.push(call)
        await new Promise((resolve) => {
          setTimeout(resolve, 10)
        })
      }
    }
    const asking = ask()
    /** Of what is asked from now on so much is answered. */
    const again = (count: number): Promise<void> => {
      const from = asked
      let fresh = 0
      return new Promise((resolve) => {
        onAnswer = (number) => {
          if (number >= from) fresh += 1
          if (fresh >= count) resolve()
        }
      })
    }
    await again(1)
    const pauses: number[] = []
    for (let at = 0; at < RESTARTS; at++) {
      await relay.kill()
      await relay.live()
      const livesMs = Date.now()
      await again(1)
      pauses.push(Date.now() - livesMs)
      await again(20)
    }
    over = true
    await asking
    await Promise.all(running)
    expect(new Set(ran).size).toBe(ran.length)
    expect(answered.size + failed.size).toBe(asked)
    const did = new Set(ran)
    for (const number of answered) expect(did.has(number)).toBe(true)
    for (const [number, how] of failed) if (how === 'no') expect(did.has(number)).toBe(false)
    const [median, most] = [pauses.sort((a, b) => a - b)[RESTARTS >> 1], pauses.at(-1)]
    console.log(
      `asked ${asked}, answered ${answered.size}, failed ${failed.size}; back ${median} ms after the relay (median), ${most} ms (most)`,
    )
  },
  TIMEOUT_MS,
)
