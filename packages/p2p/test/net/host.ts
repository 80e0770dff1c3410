/** One host of the network rig: a node in a process of its own, told what to be by its arguments, telling what happens as lines. */
import { bytes, createNode, defineProtocol, isP2pError, unary } from '../../src/index.ts'
import type { Node } from '../../src/index.ts'

const protocol = defineProtocol('/example/net/1.0.0', {
  echo: unary({ request: bytes, response: bytes }),
  // Not to be done twice.
  count: unary({ request: bytes, response: bytes }),
})

const [role = '', address = ''] = process.argv.slice(2)

function numberOf(message: Uint8Array): number {
  return (message[0] ?? 0) * 256 + (message[1] ?? 0)
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

async function tell(node: Node): Promise<void> {
  for await (const event of node.events({ types: ['direct', 'connected'] })) say(event)
}

if (role === 'relay') {
  const node = await createNode({ listen: [address], relay: { serve: true } })
  say({ type: 'ready', peer: node.peer })
} else if (role === 'home') {
  const node = await createNode({
    listen: [`${address}/p2p-circuit`],
    firewall: { inbound: { fallback: 'allow' } },
  })
  void tell(node)
  const count = (message: Uint8Array): Uint8Array => {
    say({ type: 'ran', number: numberOf(message) })
    return message
  }
  node.serve(protocol, { echo: (message) => message, count })
  say({ type: 'ready', peer: node.peer })
} else if (role === 'counter') {
  // Asks without waiting for the answers, and says what became of each.
  const node = await createNode()
  void tell(node)
  const remote = node.client(protocol, address)
  for (let number = 0; ; number += 1) {
    say({ type: 'asked', number })
    remote.count(Uint8Array.of(number >> 8, number & 255), { timeoutMs: 10_000 }).then(
      (answer) => {
        say({ type: 'answered', number, answer: numberOf(answer) })
      },
      (error: unknown) => {
        const { code, ran } = isP2pError(error) ? error : { code: String(error), ran: 'yes' }
        say({ type: 'failed', number, code, ran })
      },
    )
    await new Promise((resolve) => {
      setTimeout(resolve, 50)
    })
  }
} else {
  const node = await createNode()
  void tell(node)
  const remote = node.client(protocol, address)
  const home = address.split('/').at(-1) ?? ''
  for (let sent = 0; ; sent += 1) {
    await remote.echo(Uint8Array.of(sent % 256))
    const ways = node.connections().filter(({ peer }) => peer === home)
    say({ type: 'answered', sent, ways: ways.map(({ relayed }) => relayed) })
    await new Promise((resolve) => {
      setTimeout(resolve, 100)
    })
  }
}
