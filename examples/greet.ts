/**
 * Two nodes greet each other, each in a process of its own; `npm start` shows both.
 *
 *   node examples/greet.ts home [ADDRESS TO LISTEN ON]
 *   node examples/greet.ts away ADDRESS-OF-HOME
 *
 * `home` listens, answers the first greeting and greets back over the same connection; then both end.
 */
import { createNode, defineProtocol, unary } from '@stronghold/p2p'
import { z } from 'zod'

const greeting = defineProtocol('/example/greeting/1.0.0', {
  greet: unary({
    request: z.object({ from: z.string().max(64) }),
    response: z.object({ text: z.string() }),
    facts: ({ from }) => ({ from }),
  }),
})

const [role, address] = process.argv.slice(2)
if (role === 'home') await home(address ?? '/ip4/127.0.0.1/tcp/0')
else if (role === 'away' && address !== undefined) await away(address)
else {
  console.error('greet: error: expected home [ADDRESS] or away ADDRESS')
  process.exitCode = 2
}

async function home(listen: string): Promise<void> {
  const greeted = Promise.withResolvers<string>()
  await using node = await createNode({
    listen: [listen],
    security: ['noise'],
    firewall: { inbound: { fallback: 'allow' } },
  })
  node.serve(greeting, {
    greet: ({ from }, { peer }) => {
      greeted.resolve(peer)
      return { text: `Hello ${from}, this is home` }
    },
  })
  console.log(`I am ${node.peer}`)
  console.log(`listening on ${node.addresses[0] ?? 'nothing'}`)
  const peer = await greeted.promise
  console.log(`${short(peer)} greeted me; greeting back`)
  const { text } = await node.client(greeting, peer).greet({ from: 'home' })
  console.log(`the answer: ${text}`)
}

async function away(to: string): Promise<void> {
  await using node = await createNode({
    security: ['noise'],
    firewall: { inbound: { fallback: 'allow' } },
  })
  node.serve(greeting, { greet: ({ from }) => ({ text: `Hello ${from}, this is away` }) })
  const left = firstOf(node.events({ types: ['disconnected'] }))
  console.log(`I am ${node.peer}`)
  const startedAtMs = performance.now()
  const { text } = await node.client(greeting, to).greet({ from: 'away' })
  const took = (performance.now() - startedAtMs).toFixed(0)
  console.log(`the answer: ${text}`)
  for (const { transport, security } of node.connections()) {
    console.log(`connected over ${transport} with ${security}; dialled and answered in ${took} ms`)
  }
  await left // home has what it wanted
}

async function firstOf<T>(events: AsyncIterable<T>): Promise<T | undefined> {
  for await (const event of events) return event
  return undefined
}

/** The end of a peer id, enough to tell two apart. */
function short(peer: string): string {
  return `…${peer.slice(-6)}`
}
