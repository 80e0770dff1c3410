/** One process of the relay's question, told what to be and what to do by messages. */
import { bytes, createNode, defineProtocol, serverStream, unary } from '@stronghold/p2p'
import type { Client, Node, NodeInit } from '@stronghold/p2p'

import { KEY_PATH, MESSAGE } from '../sign/protocol.ts'
import { RELAYS } from './relays.ts'

const asked = defineProtocol('/bench/relayed/1.0.0', {
  echo: unary({ request: bytes, response: bytes }),
  down: serverStream({ request: bytes, download: bytes }),
})
type Remote = Client<typeof asked.methods>

/** What a process can be told. */
export type Order =
  | { do: 'relay'; name: string; to: number }
  | { do: 'home'; init: NodeInit }
  | { do: 'away'; address: string }
  /** A vault whose key the owner of an identity file may use; the file is made. */
  | { do: 'vault'; init: NodeInit; folder: string; seeker: string }
  | { do: 'seek'; init: NodeInit; target: string }
  | { do: 'measure'; name: Measure; forMs: number }
  | { do: 'cpu' }

/** What is measured through each relay. */
export type Measure = 'alone' | 'inFlight64' | 'bulk'

/** What it says then. */
export type Told = { address: string; peer?: string } | { figures: Record<string, number> }

const BODY = new Uint8Array(32).fill(7)
const CHUNK = new Uint8Array(60_000).fill(7)
const IN_FLIGHT = 64
const OPEN: NodeInit = { firewall: { inbound: { fallback: 'allow' } } }

let remote: Remote | undefined

process.on('message', (order: Order) => {
  obey(order).then(
    (told) => process.send?.(told),
    (error: unknown) => {
      process.send?.({ error: error instanceof Error ? error.message : String(error) })
    },
  )
})
process.on('disconnect', () => process.exit(0))

async function obey(order: Order): Promise<Told> {
  switch (order.do) {
    case 'relay': {
      const entry = RELAYS[order.name]
      if (entry === undefined) throw new Error(`no relay is called ${order.name}`)
      return { address: await entry.start(order.to) }
    }
    case 'home': {
      const node = await createNode({ ...OPEN, ...order.init })
      serve(node)
      return { address: node.addresses[0] ?? '', peer: node.peer }
    }
    case 'away': {
      const node = await createNode({ relay: { punch: false } })
      remote = node.client(asked, order.address)
      await remote.echo(BODY)
      return { figures: {} }
    }
    case 'vault': {
      const { serve: serveKey } = await import('../sign/served.ts')
      const { address, admit } = await serveKey(order.folder, order.init)
      const seeker = await createNode({ identity: order.seeker })
      await seeker.stop()
      await admit(seeker.peer)
      const at = address['node'] ?? ''
      return { address: at, peer: at.slice(at.lastIndexOf('/') + 1) }
    }
    case 'seek':
      return { figures: await seek(order.init, order.target) }
    case 'measure':
      if (remote === undefined) throw new Error('there is nobody to ask')
      return { figures: await MEASURES[order.name](remote, order.forMs) }
    case 'cpu': {
      const { user, system } = process.cpuUsage()
      return { figures: { us: user + system } }
    }
  }
}

function serve(node: Node): void {
  node.serve(asked, {
    echo: (message) => message,
    down: function* () {
      for (;;) yield CHUNK
    },
  })
}

/** From nothing to the first signature by a key over there. */
async function seek(init: NodeInit, target: string): Promise<Record<string, number>> {
  const { connectVault } = await import('@stronghold/remote/connect')
  const { sign } = await import('@stronghold/vault/catalog')
  const fromMs = performance.now()
  const node = await createNode(init)
  const vault = connectVault(node, target)
  const input = { key: KEY_PATH, message: MESSAGE, as: { format: 'raw' as const } }
  const { signature } = await vault.run(sign, input)
  const untilMs = performance.now()
  if (signature.byteLength !== 64) throw new Error(`a signature of ${signature.byteLength} bytes`)
  await node.stop()
  return { answerMs: untilMs - fromMs, processMs: untilMs }
}

const MEASURES: Record<
  Measure,
  (remote: Remote, forMs: number) => Promise<Record<string, number>>
> = {
  async alone(one, forMs) {
    const times: number[] = []
    const endMs = performance.now() + forMs
    while (performance.now() < endMs) {
      const fromMs = performance.now()
      await one.echo(BODY)
      times.push(performance.now() - fromMs)
    }
    times.sort((a, b) => a - b)
    return { p50Ms: times[times.length >> 1] ?? Number.NaN, answers: times.length }
  },
  async inFlight64(one, forMs) {
    let answers = 0
    const fromMs = performance.now()
    const work = async (): Promise<void> => {
      while (performance.now() < fromMs + forMs) {
        await one.echo(BODY)
        answers += 1
      }
    }
    await Promise.all(Array.from({ length: IN_FLIGHT }, work))
    return { perSecond: (answers * 1000) / (performance.now() - fromMs), answers }
  },
  async bulk(one, forMs) {
    let taken = 0
    const fromMs = performance.now()
    for await (const chunk of one.down(BODY)) {
      taken += chunk.byteLength
      if (performance.now() >= fromMs + forMs) break
    }
    return { mbPerSecond: taken / 1000 / (performance.now() - fromMs) }
  },
}
