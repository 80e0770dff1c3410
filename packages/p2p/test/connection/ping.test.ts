import { manualClock } from '@stronghold/testkit'
import { multiaddr } from '@multiformats/multiaddr'
import { expect, test, vi } from 'vitest'
import type { Connection, Stream } from '@libp2p/interface'

import { pipeOf } from '../../src/connection/message-stream.ts'
import { answerPings, PING_PROTOCOL, ping } from '../../src/connection/ping.ts'
import { DEFAULT_LIMITS } from '../../src/limits.ts'
import { MemoryHub, memory } from '../../src/transports/memory.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import type { Pipe } from '../../src/connection/pipe.ts'

import { ourNode } from './_nodes.ts'
import type { OurNode } from './_nodes.ts'

const nobody = { drain: (): void => {}, end: (): void => {}, close: (): void => {} }

async function pair(): Promise<
  AsyncDisposable & { alice: OurNode; bob: OurNode; connection: Connection }
> {
  const transport = memory(new MemoryHub())
  const alice = await ourNode({ transport, listen: ['/memory/alice'] })
  const bob = await ourNode({ transport })
  const connection = await bob.libp2p.dial(multiaddr(`/memory/alice/p2p/${alice.identity.peer}`))
  return {
    alice,
    bob,
    connection,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([alice.libp2p.stop(), bob.libp2p.stop()])
    },
  }
}

test('a ping is answered in both directions, again and again, and leaves no stream behind', async () => {
  await using nodes = await pair()
  const { alice, bob, connection } = nodes
  await bob.libp2p.services.identify.identify(connection)
  for (let count = 0; count < 5; count++) {
    expect(await bob.libp2p.services.ping.ping(connection)).toBeGreaterThanOrEqual(0)
  }
  const [inbound] = alice.libp2p.getConnections()
  expect(await alice.libp2p.services.ping.ping(inbound ?? expect.fail())).toBeGreaterThanOrEqual(0)
  await expect.poll(() => connection.streams.length).toBe(0)
  await expect.poll(() => inbound?.streams.length).toBe(0)
})

test('a peer without ping says so, and the connection stays', async () => {
  await using nodes = await pair()
  await nodes.alice.libp2p.unhandle(PING_PROTOCOL)
  const asked = nodes.bob.libp2p.services.ping.ping(nodes.connection)
  await expect(asked).rejects.toMatchObject({ name: 'P2pError', layer: 'protocol', ran: 'no' })
  expect(nodes.connection.status).toBe('open')
})

test('a third ping stream of one peer is reset, and a place that becomes free is taken', async () => {
  await using nodes = await pair()
  const streams: Pipe[] = []
  const open = async (): Promise<{ pipe: Pipe; closed: ReturnType<typeof vi.fn>; got: number }> => {
    const stream = await nodes.connection.newStream(PING_PROTOCOL, { maxOutboundStreams: 10 })
    const pipe = pipeOf(stream)
    const state = { pipe, closed: vi.fn(), got: 0 }
    pipe.listen({
      ...nobody,
      data: (chunk) => {
        state.got += chunk.byteLength
      },
      close: state.closed,
    })
    pipe.write([new Uint8Array(32)])
    pipe.resume()
    streams.push(pipe)
    return state
  }
  await nodes.bob.libp2p.handle(PING_PROTOCOL, () => {}, { force: true, maxOutboundStreams: 10 })
  const first = await open()
  const second = await open()
  await expect.poll(() => [first.got, second.got]).toEqual([32, 32])
  const third = await open()
  await expect.poll(() => third.closed.mock.calls.length).toBe(1)
  expect(third.got).toBe(0)
  first.pipe.end()
  await expect.poll(() => first.closed.mock.calls.length).toBe(1)
  const fourth = await open()
  await expect.poll(() => fourth.got).toBe(32)
})

test('an answerer holds nothing: who does not read its answers is not read either', async () => {
  const [near, far] = pipePair({ highWaterBytes: 1000 })
  answerPings(near)
  let room = true
  let sent = 0
  for (let count = 0; count < 1000 && room; count++) {
    room = far.write([new Uint8Array(32)])
    sent += 32
    for (let turn = 0; turn < 4; turn++) await Promise.resolve()
  }
  // What is held lies in the two pipes, up to their marks.
  expect(room).toBe(false)
  expect(sent).toBeLessThan(2200)
  let got = 0
  far.listen({ ...nobody, data: (chunk) => void (got += chunk.byteLength) })
  far.resume()
  await vi.waitFor(() => expect(got).toBe(sent))
})

/** A connection whose next stream is one end of a pair. */
function scripted(answer: (pipe: Pipe) => void): Connection {
  const [near, far] = pipePair()
  answer(far)
  const stream = {
    status: 'open',
    writeBufferLength: 0,
    readableEnded: false,
    pause: () => near.pause(),
    resume: () => near.resume(),
    send: (data: Uint8Array) => near.write([data]),
    close: async () => {
      near.end()
    },
    abort: (error: Error) => near.destroy(error),
    addEventListener: (type: string, listener: (event: unknown) => void) => {
      listeners[type] = listener
    },
  }
  const listeners: Record<string, (event: unknown) => void> = {}
  near.listen({
    data: (data) => listeners['message']?.({ data }),
    drain: () => {},
    end: () => listeners['remoteCloseWrite']?.({}),
    close: (error) => {
      stream.status = 'closed'
      listeners['close']?.({ error })
    },
  })
  const connection = { newStream: async () => stream as Partial<Stream> as Stream }
  return connection as Partial<Connection> as Connection
}

test('an answer that is other, longer, missing or late is an error with its own code', async () => {
  const clock = manualClock()
  const service = ping({ limits: DEFAULT_LIMITS, clock })({ registrar: {} as never })
  const echo =
    (change: (chunk: Uint8Array) => Uint8Array) =>
    (pipe: Pipe): void => {
      pipe.listen({ ...nobody, data: (chunk) => pipe.write([change(chunk)]) })
      pipe.resume()
    }
  const other = scripted(echo((chunk) => chunk.map((byte) => byte ^ 1)))
  await expect(service.ping(other)).rejects.toMatchObject({ code: 'data_loss' })
  const longer = scripted(echo((chunk) => new Uint8Array([...chunk, 0])))
  await expect(service.ping(longer)).rejects.toMatchObject({ code: 'data_loss' })
  const gone = scripted((pipe) => {
    pipe.listen({ ...nobody, data: () => pipe.end() })
    pipe.resume()
  })
  await expect(service.ping(gone)).rejects.toMatchObject({ code: 'unavailable' })
  const silent = service.ping(scripted(() => {}))
  silent.catch(() => {})
  await vi.waitFor(() => expect(clock.timers).toBe(1))
  clock.advance(DEFAULT_LIMITS.identifyTimeoutMs)
  await expect(silent).rejects.toMatchObject({ code: 'deadline_exceeded' })
  const stop = new AbortController()
  const canceled = service.ping(
    scripted(() => {}),
    stop.signal,
  )
  canceled.catch(() => {})
  stop.abort(new Error('enough'))
  await expect(canceled).rejects.toThrow('enough')
  expect(clock.timers).toBe(0)
})

test('a ping takes the time that the clock says', async () => {
  const clock = manualClock()
  const service = ping({ limits: DEFAULT_LIMITS, clock })({ registrar: {} as never })
  const connection = scripted((pipe) => {
    pipe.listen({
      ...nobody,
      data: (chunk) => {
        clock.advance(40)
        pipe.write([chunk.subarray(0, 10)])
        pipe.write([chunk.subarray(10)])
      },
    })
    pipe.resume()
  })
  expect(await service.ping(connection)).toBe(40)
})
