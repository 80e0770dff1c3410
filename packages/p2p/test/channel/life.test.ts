/** Deadlines, cancellation, backpressure, early answers: how requests end other than by their answer. */
import { bytes } from '@stronghold/core'
import { manualClock } from '@stronghold/testkit'
import { expect, test } from 'vitest'

import { P2pError } from '../../src/errors.ts'
import {
  bidiStream,
  clientStream,
  defineProtocol,
  serverStream,
  unary,
} from '../../src/protocol.ts'
import type { HandlerContext } from '../../src/protocol.ts'

import { ends } from './ends.ts'

const protocol = defineProtocol('/example/life/1.0.0', {
  wait: unary({ request: bytes, response: bytes }),
  down: serverStream({ download: bytes }),
  up: clientStream({ upload: bytes, response: bytes }),
  both: bidiStream({ upload: bytes, download: bytes }),
  crash: unary({}),
  nested: unary({}),
})

type Up = HandlerContext & { readonly upload: AsyncIterable<Uint8Array> }

function quiet(): {
  wait(message: Uint8Array, context: HandlerContext): Promise<Uint8Array>
  down(): AsyncGenerator<Uint8Array>
  up(_: undefined, context: Up): Promise<Uint8Array>
  both(_: undefined, context: Up): AsyncGenerator<Uint8Array>
  crash(): undefined
  nested(): undefined
} {
  return {
    wait: (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reject(signal.reason as Error)
        })
      }),
    down: async function* () {
      yield await Promise.resolve(Uint8Array.of(1))
    },
    up: async (_, { upload }) => {
      for await (const _item of upload) break
      return Uint8Array.of(1)
    },
    both: async function* (_, { upload }) {
      for await (const item of upload) yield item
    },
    crash: () => {
      throw new Error('the secret is 42')
    },
    nested: () => {
      throw new P2pError('not_found', 'elsewhere', { layer: 'dial', ran: 'no' })
    },
  }
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

test('the deadline ends a request on both sides', async () => {
  const clock = manualClock()
  const two = ends({ clock })
  let reason: unknown
  two.serve(protocol, {
    ...quiet(),
    wait: (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          reason = signal.reason
          reject(signal.reason as Error)
        })
      }),
  })
  const answer = two.client(protocol).wait(new Uint8Array(1), { timeoutMs: 5000 })
  await expect.poll(() => two.events.some(({ type }) => type === 'request')).toBe(true)
  clock.advance(5000)
  await expect(answer).rejects.toMatchObject({
    code: 'deadline_exceeded',
    layer: 'request',
    ran: 'maybe',
  })
  expect(reason).toMatchObject({ name: 'TimeoutError' })
  two.close()
})

test('a deadline past maxTimeoutMs is cut', async () => {
  const clock = manualClock()
  const two = ends({ clock, asking: {}, limits: { maxTimeoutMs: 1000 } })
  let deadlineMs = 0
  two.serve(protocol, {
    ...quiet(),
    wait: (message, context) => {
      deadlineMs = context.deadlineMs
      return Promise.resolve(message)
    },
  })
  await two.client(protocol).wait(new Uint8Array(1), { timeoutMs: 86_400_000 })
  expect(deadlineMs - clock.nowMs()).toBe(1000)
  two.close()
})

test('a caller that aborts hears its own reason, and the handler is told', async () => {
  const two = ends()
  const told = Promise.withResolvers<unknown>()
  two.serve(protocol, {
    ...quiet(),
    wait: (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          told.resolve(signal.reason)
          reject(signal.reason as Error)
        })
      }),
  })
  const controller = new AbortController()
  const answer = two.client(protocol).wait(new Uint8Array(1), { signal: controller.signal })
  await expect.poll(() => two.events.some(({ type }) => type === 'request')).toBe(true)
  const reason = new Error('changed my mind')
  controller.abort(reason)
  await expect(answer).rejects.toBe(reason)
  expect(await told.promise).toMatchObject({ name: 'AbortError' })
  await expect.poll(() => two.answering[0]?.responder.size).toBe(0)
  two.close()
})

test('a signal that is aborted already asks nobody', async () => {
  const two = ends()
  two.serve(protocol, quiet())
  const reason = new Error('too late')
  const options = { signal: AbortSignal.abort(reason) }
  await expect(two.client(protocol).wait(new Uint8Array(1), options)).rejects.toBe(reason)
  expect(two.pipes).toHaveLength(0)
  two.close()
})

test('break ends a download at the sender', async () => {
  const two = ends()
  const left = Promise.withResolvers<number>()
  two.serve(protocol, {
    ...quiet(),
    down: async function* () {
      let sent = 0
      try {
        for (;;) {
          yield new Uint8Array(1000)
          sent += 1000
          await turn()
        }
      } finally {
        left.resolve(sent)
      }
    },
  })
  for await (const item of two.client(protocol).down()) {
    expect(item.byteLength).toBe(1000)
    break
  }
  expect(await left.promise).toBeGreaterThan(0)
  two.close()
})

test('a reader that does not read stops the sender at the window', async () => {
  const two = ends({ limits: { requestWindowBytes: 64 * 1024 } })
  let sent = 0
  two.serve(protocol, {
    ...quiet(),
    down: async function* () {
      for (;;) {
        await turn()
        sent += 1000
        yield new Uint8Array(1000)
      }
    },
  })
  const items = two.client(protocol).down()
  await items.next()
  let before = -1
  while (before !== sent) {
    before = sent
    for (let i = 0; i < 50; i++) await turn()
  }
  // The window, what waits for credit at the sender, and the item in its hand.
  expect(sent).toBeGreaterThan(60_000)
  expect(sent).toBeLessThan((64 + 64) * 1024 + 3000)
  for (let i = 0; i < 100; i++) await items.next()
  await expect.poll(() => sent).toBeGreaterThan(before)
  await items.return?.()
  two.close()
})

test('a handler that does not read stops the uploader', async () => {
  const two = ends({ limits: { requestWindowBytes: 64 * 1024 } })
  two.serve(protocol, {
    ...quiet(),
    up: (_, { signal }) => quiet().wait(new Uint8Array(0), { signal } as HandlerContext),
  })
  let sent = 0
  const upload = async function* (): AsyncGenerator<Uint8Array> {
    for (;;) {
      await turn()
      sent += 1000
      yield new Uint8Array(1000)
    }
  }
  const controller = new AbortController()
  const answer = two.client(protocol).up(undefined, { upload: upload(), signal: controller.signal })
  let before = -1
  while (before !== sent || sent === 0) {
    before = sent
    for (let i = 0; i < 50; i++) await turn()
  }
  expect(sent).toBeLessThan((64 + 64) * 1024 + 3000)
  controller.abort(new Error('enough'))
  await expect(answer).rejects.toThrow('enough')
  two.close()
})

test('an answer before the end of the upload stops the uploader and closes its iterator', async () => {
  const two = ends()
  two.serve(protocol, quiet())
  const closed = Promise.withResolvers<undefined>()
  const upload = async function* (): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        await turn()
        yield new Uint8Array(10)
      }
    } finally {
      closed.resolve(undefined)
    }
  }
  expect(await two.client(protocol).up(undefined, { upload: upload() })).toEqual(Uint8Array.of(1))
  await closed.promise
  two.close()
})

test('an upload that fails at the caller is heard there, and never taken for a whole one', async () => {
  const two = ends()
  const seen = Promise.withResolvers<unknown>()
  two.serve(protocol, {
    ...quiet(),
    up: async (_, { upload }) => {
      try {
        for await (const _item of upload);
        seen.resolve('whole')
      } catch (error) {
        seen.resolve(error)
      }
      return new Uint8Array(0)
    },
  })
  const upload = async function* (): AsyncGenerator<Uint8Array> {
    yield Uint8Array.of(1)
    await turn()
    throw new Error('disk gone')
  }
  await expect(two.client(protocol).up(undefined, { upload: upload() })).rejects.toThrow(
    'disk gone',
  )
  expect(await seen.promise).toMatchObject({ code: 'canceled' })
  two.close()
})

test('a download without its end fails, however cleanly the pipe ended', async () => {
  const two = ends()
  two.serve(protocol, {
    ...quiet(),
    down: async function* () {
      yield Uint8Array.of(1)
      await new Promise(() => {})
    },
  })
  const items = two.client(protocol).down()
  await items.next()
  two.pipes[0]?.[1].end()
  await expect(items.next()).rejects.toMatchObject({ code: 'unavailable', ran: 'maybe' })
  two.close()
})

test('what a handler throws by accident stays home', async () => {
  const two = ends()
  two.serve(protocol, quiet())
  const error: unknown = await two
    .client(protocol)
    .crash()
    .catch((e: unknown) => e)
  expect(error).toMatchObject({ code: 'internal', ran: 'yes', layer: 'handler', message: 'id-1' })
  expect(two.events.at(-2)).toMatchObject({ type: 'handlerFailed', id: 'id-1' })
  two.close()
})

test('an error of a third peer does not say that this handler did not run', async () => {
  const two = ends()
  two.serve(protocol, quiet())
  await expect(two.client(protocol).nested()).rejects.toMatchObject({
    code: 'not_found',
    ran: 'yes',
    layer: 'handler',
  })
  two.close()
})

test('what is not served is unimplemented', async () => {
  const two = ends()
  await expect(two.client(protocol).crash()).rejects.toMatchObject({
    code: 'unimplemented',
    ran: 'no',
    layer: 'protocol',
  })
  const served = two.serve(protocol, quiet())
  await expect(two.client(protocol).crash()).rejects.toMatchObject({ code: 'internal' })
  served[Symbol.dispose]()
  await expect(two.client(protocol).crash()).rejects.toMatchObject({ code: 'unimplemented' })
  two.close()
})

test('the firewall decides with the facts of the checked request, before the handler and any upload byte', async () => {
  const strict = defineProtocol('/example/strict/1.0.0', {
    up: clientStream({
      upload: bytes,
      facts: () => ({ kind: 'upload' }),
    }),
  })
  let ran = false
  let taken = false
  const two = ends({
    firewall: {
      inbound: { fallback: ({ facts }) => (facts?.['kind'] === 'upload' ? 'deny' : 'allow') },
    },
  })
  two.serve(strict, {
    up: () => {
      ran = true
      return undefined
    },
  })
  const upload = function* (): Generator<Uint8Array> {
    taken = true
    yield Uint8Array.of(1)
  }
  await expect(two.client(strict).up(undefined, { upload: upload() })).rejects.toMatchObject({
    code: 'permission_denied',
    ran: 'no',
    layer: 'firewall',
  })
  expect({ ran, taken }).toEqual({ ran: false, taken: false })
  expect(two.events).toMatchObject([{ type: 'denied', facts: { kind: 'upload' }, by: 'fallback' }])
  expect(two.pipes).toHaveLength(1)
  two.close()
})

test('a closed book of calls fails what is in flight', async () => {
  const two = ends()
  two.serve(protocol, quiet())
  const answer = two.client(protocol).wait(new Uint8Array(1))
  await expect.poll(() => two.events.some(({ type }) => type === 'request')).toBe(true)
  two.calls.close()
  await expect(answer).rejects.toMatchObject({ code: 'unavailable', ran: 'maybe' })
  await expect(two.client(protocol).crash()).rejects.toMatchObject({
    code: 'unavailable',
    ran: 'no',
  })
  two.close()
})

test('requestTimeoutMs: the deadline of a request that names none', async () => {
  const clock = manualClock()
  const two = ends({ clock, limits: { requestTimeoutMs: 700 } })
  two.serve(protocol, quiet())
  const answer = two.client(protocol).wait(new Uint8Array(1))
  await expect.poll(() => two.events.some(({ type }) => type === 'request')).toBe(true)
  clock.advance(699)
  await turn()
  expect(two.calls.size).toBe(1)
  clock.advance(1)
  await expect(answer).rejects.toMatchObject({ code: 'deadline_exceeded' })
  expect(two.calls.size).toBe(0)
  two.close()
})

test('maxOutboundPerPeer: one call more fails at once', async () => {
  const two = ends({ asking: { maxOutboundPerPeer: 2 } })
  two.serve(protocol, quiet())
  const remote = two.client(protocol)
  const waiting = [remote.wait(new Uint8Array(1)), remote.wait(new Uint8Array(1))]
  await expect(remote.wait(new Uint8Array(1))).rejects.toMatchObject({
    code: 'resource_exhausted',
    ran: 'no',
    layer: 'limit',
  })
  two.close()
  await Promise.allSettled(waiting)
})

test('a request or an item past maxMessageBytes never leaves', async () => {
  const two = ends({ asking: { maxMessageBytes: 1000 } })
  two.serve(protocol, quiet())
  const remote = two.client(protocol)
  await expect(remote.wait(new Uint8Array(1001))).rejects.toMatchObject({
    code: 'resource_exhausted',
    ran: 'no',
  })
  expect(two.pipes).toHaveLength(0)
  await expect(remote.up(undefined, { upload: [new Uint8Array(1001)] })).rejects.toMatchObject({
    code: 'resource_exhausted',
  })
  two.close()
})

test('misuse is told at once, and costs nobody anything', async () => {
  const two = ends()
  // Past the types, as a caller in plain JavaScript would.
  const remote = two.client(protocol) as unknown as Record<string, (...args: unknown[]) => unknown>
  expect(() => remote['wait']?.(new Uint8Array(1), { timeout: 1 })).toThrow(TypeError)
  expect(() => remote['wait']?.(new Uint8Array(1), { timeoutMs: 0 })).toThrow(RangeError)
  expect(() => remote['wait']?.(new Uint8Array(1), { upload: [] })).toThrow(TypeError)
  expect(() => remote['up']?.(undefined)).toThrow(TypeError)
  await expect(remote['wait']?.('text')).rejects.toThrow(TypeError)
  expect(Object.isFrozen(remote)).toBe(true)
  expect(two.pipes).toHaveLength(0)
  two.close()
})
