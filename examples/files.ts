/**
 * A few files at home, read and written by a laptop: one request with an answer, a download, an upload that somebody has
 * to allow. Both nodes live in this process, on a network in memory; over TCP nothing but the addresses would differ.
 *
 *   node examples/files.ts
 */
import {
  bytes,
  clientStream,
  defineProtocol,
  isP2pError,
  P2pError,
  serverStream,
  unary,
} from '@stronghold/p2p'
import { memoryNetwork } from '@stronghold/p2p/testing'
import { z } from 'zod'

const named = z.object({ name: z.string().max(64) })
const length = z.object({ chunks: z.int() })
const files = defineProtocol('/example/files/1.0.0', {
  stat: unary({ request: named, response: length, readOnly: true }),
  read: serverStream({ request: named, download: bytes, readOnly: true }),
  write: clientStream({
    request: named,
    upload: bytes,
    response: length,
    facts: ({ name }) => ({ name }), // all that the firewall, the prompt and the log will see
  }),
})

const stored = new Map<string, Uint8Array[]>()
function open(name: string): Uint8Array[] {
  const chunks = stored.get(name)
  if (chunks !== undefined) return chunks
  throw new P2pError('not_found', `Cannot open ${name}: there is no such file`, {
    layer: 'handler',
  })
}

await using network = memoryNetwork()
await using home = await network.createNode({
  firewall: {
    inbound: { fallback: ({ method }) => (method === 'write' ? 'ask' : 'allow') },
    onAsk: ({ method, facts }) => {
      const verdict = facts?.['name'] === 'a' ? 'allow' : 'deny' // here a person would decide
      console.log('asked', method, facts, verdict)
      return verdict
    },
  },
})
home.serve(files, {
  stat: ({ name }) => ({ chunks: open(name).length }),
  read: function* ({ name }) {
    yield* open(name) // pulled as fast as the reader reads
  },
  write: async ({ name }, { upload }) => {
    const chunks: Uint8Array[] = []
    for await (const chunk of upload) chunks.push(chunk) // a slow handler slows the sender
    stored.set(name, chunks)
    return { chunks: chunks.length }
  },
})
const events = home.events({ types: ['connected', 'denied'] })

await using laptop = await network.createNode()
const remote = laptop.client(files, home.addresses) // connects on first use
const upload = [Uint8Array.of(1, 2, 3), Uint8Array.of(4)]
console.log('wrote', await remote.write({ name: 'a' }, { upload, timeoutMs: 60_000 }))
console.log('stat', await remote.stat({ name: 'a' }))
for await (const chunk of remote.read({ name: 'a' })) console.log('read', chunk.byteLength) // break cancels
await remote.stat({ name: 'b' }).catch(tell)
await remote.write({ name: 'b' }, { upload }).catch(tell)

let left = 2
for await (const event of events) {
  console.log(event.type, event.peer === laptop.peer ? 'laptop' : event.peer)
  if (--left === 0) break
}

function tell(error: unknown): void {
  if (!isP2pError(error)) throw error
  console.log(error.code, error.ran, error.layer)
}
