/** What must compile, and what must not. */
import { expectTypeOf } from 'vitest'
import { z } from 'zod'

import {
  bidiStream,
  bytes,
  clientStream,
  defineProtocol,
  serverStream,
  unary,
} from '../src/index.ts'
import type { Node } from '../src/index.ts'

declare const node: Node

const protocol = defineProtocol('/types/1', {
  plain: unary({}),
  // What goes in is not what comes out.
  parse: unary({ request: z.string().transform(Number), response: z.number().transform(String) }),
  down: serverStream({ request: z.object({ n: z.number() }), download: bytes }),
  up: clientStream({ upload: z.string().transform(Number), response: bytes, facts: () => ({}) }),
  both: bidiStream({ upload: bytes, download: z.boolean() }),
})

const client = node.client(protocol, [])
expectTypeOf(client.plain()).resolves.toEqualTypeOf<undefined>()
expectTypeOf(client.parse('1', { timeoutMs: 1 })).resolves.toEqualTypeOf<string>()
expectTypeOf(client.down({ n: 1 })).toEqualTypeOf<AsyncIterableIterator<Uint8Array>>()
expectTypeOf(client.up(undefined, { upload: ['1'] })).resolves.toEqualTypeOf<Uint8Array>()
expectTypeOf(client.both(undefined, { upload: [] })).toEqualTypeOf<AsyncIterableIterator<boolean>>()

// @ts-expect-error a request is missing
void client.parse()
// @ts-expect-error a request of another type
void client.parse(1)
// @ts-expect-error an upload is missing
void client.up(undefined, {})
// @ts-expect-error items of another type
void client.up(undefined, { upload: [1] })
// @ts-expect-error no such method
expectTypeOf(client.other).toBeAny()
// @ts-expect-error no such option
void client.plain(undefined, { timeout: 1 })
// @ts-expect-error a client is frozen
client.plain = client.plain

node.serve(protocol, {
  plain: () => undefined,
  parse: (request) => {
    expectTypeOf(request).toEqualTypeOf<number>()
    return request + 1
  },
  down: async function* ({ n }, { peer, signal }) {
    expectTypeOf(n).toEqualTypeOf<number>()
    expectTypeOf(signal).toEqualTypeOf<AbortSignal>()
    yield new Uint8Array(await Promise.resolve(peer.length))
  },
  up: async (request, { upload }) => {
    expectTypeOf(request).toEqualTypeOf<undefined>()
    for await (const item of upload) expectTypeOf(item).toEqualTypeOf<number>()
    return new Uint8Array(0)
  },
  both: (_, { upload }) => {
    expectTypeOf(upload).toEqualTypeOf<AsyncIterable<Uint8Array>>()
    return [true]
  },
})

// @ts-expect-error handlers are missing
node.serve(protocol, { plain: () => undefined })
node.serve(defineProtocol('/types/2', { parse: unary({ response: z.string() }) }), {
  // @ts-expect-error an answer of another type
  parse: () => 1,
})

// @ts-expect-error not a schema
unary({ request: String })
// @ts-expect-error a stream needs to say what it streams
serverStream({})
// @ts-expect-error a peer id is not any string
node.block('x')
