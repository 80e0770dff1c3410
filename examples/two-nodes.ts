import { createNode, defineProtocol, isP2pError, unary } from '@stronghold/p2p'
import { z } from 'zod'

const name = z.string().max(64)
const notes = defineProtocol('/example/notes/1.0.0', {
  read: unary({
    request: z.object({ name }),
    response: z.object({ text: z.string() }),
    readOnly: true,
  }),
  write: unary({
    request: z.object({ name, text: z.string() }),
    response: z.object({}),
    facts: ({ name }) => ({ name }), // all that the firewall and the log will see
  }),
})

await using home = await createNode({
  listen: ['/ip4/127.0.0.1/tcp/0'],
  firewall: { inbound: { fallback: ({ method }) => (method === 'read' ? 'allow' : 'deny') } },
})
const texts = new Map([['hello', 'kept at home']])
home.serve(notes, {
  read: ({ name }) => ({ text: texts.get(name) ?? '' }),
  write: ({ name, text }) => {
    texts.set(name, text)
    return {}
  },
})

await using laptop = await createNode()
const remote = laptop.client(notes, home.addresses) // connects on first use
console.log(await remote.read({ name: 'hello' }))
await remote.write({ name: 'hello', text: 'changed' }).catch((error: unknown) => {
  if (!isP2pError(error)) throw error
  console.log(error.code, error.ran, error.layer)
})
