import { bytes, equalBytes } from '@stronghold/core'
import { expect, test } from 'vitest'
import { z } from 'zod'

import { isP2pError, P2pError } from '../../src/errors.ts'
import {
  bidiStream,
  clientStream,
  defineProtocol,
  serverStream,
  unary,
} from '../../src/protocol.ts'

import { ends } from './ends.ts'

const files = defineProtocol('/example/files/1.0.0', {
  echo: unary({ request: bytes, response: bytes }),
  stat: unary({
    request: z.object({ name: z.string() }),
    response: z.object({ chunks: z.int() }),
    readOnly: true,
  }),
  read: serverStream({ request: z.object({ name: z.string() }), download: bytes }),
  write: clientStream({
    request: z.object({ name: z.string() }),
    upload: bytes,
    response: z.object({ bytes: z.int() }),
    facts: ({ name }) => ({ name }),
  }),
  chat: bidiStream({ upload: z.string(), download: z.string() }),
  quiet: unary({}),
})

const handlers = {
  echo: (message: Uint8Array) => message,
  stat: ({ name }: { name: string }) => {
    if (name === 'none') {
      throw new P2pError('not_found', `Cannot stat ${name}: not there`, { layer: 'handler' })
    }
    return { chunks: name.length }
  },
  read: async function* ({ name }: { name: string }): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < Number(name); i++) {
      await Promise.resolve()
      yield Uint8Array.of(i)
    }
  },
  write: async (_: { name: string }, { upload }: { upload: AsyncIterable<Uint8Array> }) => {
    let sum = 0
    for await (const chunk of upload) sum += chunk.byteLength
    return { bytes: sum }
  },
  chat: async function* (
    _: undefined,
    { upload }: { upload: AsyncIterable<string> },
  ): AsyncGenerator<string> {
    for await (const line of upload) yield line.toUpperCase()
  },
  quiet: () => undefined,
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}

test('each kind of method gets its answer', async () => {
  const two = ends()
  two.serve(files, handlers)
  const remote = two.client(files)
  expect(await remote.echo(Uint8Array.of(1, 2))).toEqual(Uint8Array.of(1, 2))
  expect(await remote.stat({ name: 'abc' })).toEqual({ chunks: 3 })
  await remote.quiet()
  expect(await all(remote.read({ name: '3' }))).toEqual([0, 1, 2].map((i) => Uint8Array.of(i)))
  const upload = [Uint8Array.of(1, 2, 3), new Uint8Array(0), new Uint8Array(300_000)]
  expect(await remote.write({ name: 'a' }, { upload })).toEqual({ bytes: 300_003 })
  expect(await all(remote.chat(undefined, { upload: ['a', 'b'] }))).toEqual(['A', 'B'])
  two.close()
})

test('long messages arrive whole, small ones beside them', async () => {
  const two = ends()
  two.serve(files, handlers)
  const remote = two.client(files)
  const long = new Uint8Array(4 * 1024 * 1024).fill(7)
  const [first, ...small] = await Promise.all([
    remote.echo(long),
    ...Array.from({ length: 50 }, (_, i) => remote.echo(Uint8Array.of(i))),
  ])
  expect(equalBytes(first ?? new Uint8Array(0), long)).toBe(true)
  expect(small.map((one) => one[0])).toEqual(Array.from({ length: 50 }, (_, i) => i))
  two.close()
})

test('a handler that throws a P2pError is heard with its code', async () => {
  const two = ends()
  two.serve(files, handlers)
  const error: unknown = await two
    .client(files)
    .stat({ name: 'none' })
    .catch((e: unknown) => e)
  expect(isP2pError(error, 'not_found')).toBe(true)
  expect(error).toMatchObject({
    ran: 'yes',
    layer: 'handler',
    message: 'Cannot stat none: not there',
  })
  two.close()
})

test('frames queued in one turn leave in one write, on both sides', async () => {
  const writes = [0, 0]
  const two = ends({
    wrap: (pipes) => {
      for (const [side, pipe] of pipes.entries()) {
        const write = pipe.write.bind(pipe)
        pipe.write = (chunks) => {
          writes[side] = (writes[side] ?? 0) + 1
          return write(chunks)
        }
      }
      return pipes
    },
  })
  two.serve(files, {
    ...handlers,
    // Each takes its own number of promises, all within the turn.
    echo: async (message) => {
      for (let i = 0; i < (message[0] ?? 0); i++) await Promise.resolve()
      return message
    },
  })
  const remote = two.client(files)
  await remote.echo(Uint8Array.of(0))
  writes.fill(0)
  const some = Array.from({ length: 64 }, (_, i) => remote.echo(Uint8Array.of(i)))
  await Promise.all([...some, remote.stat({ name: 'a' })])
  expect(writes).toEqual([1, 1])
  two.close()
})
