// Run by scripts/check-packages.ts in a folder that holds nothing but the packed packages.
import { bytes, createNode, defineProtocol, unary } from '@stronghold/p2p'

const echo = defineProtocol('/example/echo/1.0.0', {
  echo: unary({ request: bytes, response: bytes, readOnly: true }),
})
const home = await createNode({
  listen: ['/ip4/127.0.0.1/tcp/0'],
  firewall: { inbound: { fallback: 'allow' } },
})
home.serve(echo, { echo: (request) => request })
const away = await createNode()
const answer = await away.client(echo, home.addresses).echo(Uint8Array.of(1, 2, 3))
if (answer.join() !== '1,2,3') throw new Error(`Cannot trust the echo: it said ${answer.join()}`)
await away.stop()
await home.stop()
console.log('two nodes from dist: fine')
