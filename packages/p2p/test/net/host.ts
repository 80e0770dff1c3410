/** One host of the network rig: a node in a process of its own, told what to be by its arguments, telling what happens as lines. */
import { bytes, createNode, defineProtocol, unary } from '../../src/index.ts'
import type { Node } from '../../src/index.ts'

const protocol = defineProtocol('/example/net/1.0.0', {
  echo: unary({ request: bytes, response: bytes }),
})

const [role = '', address = ''] = process.argv.slice(2)

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
  node.serve(protocol, { echo: (message) => message })
  say({ type: 'ready', peer: node.peer })
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
