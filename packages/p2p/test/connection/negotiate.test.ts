import { expect, test, vi } from 'vitest'

import { encodeMessage, MULTISTREAM_PROTOCOL } from '../../src/connection/multistream.ts'
import { handleProtocol, selectLazily, selectProtocol } from '../../src/connection/negotiate.ts'
import { PipeReader } from '../../src/connection/reader.ts'
import { DEFAULT_LIMITS } from '../../src/limits.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'
import type { Pipe } from '../../src/connection/pipe.ts'

const limits = DEFAULT_LIMITS
const hello = (...texts: string[]): Uint8Array =>
  Buffer.concat([MULTISTREAM_PROTOCOL, ...texts].map(encodeMessage))
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const turns = async (count = 20): Promise<void> => {
  for (let at = 0; at < count; at++) await Promise.resolve()
}

/** Everything that a pipe tells, and every write to it. */
function watch(pipe: Pipe): { got: string; log: string[]; error?: Error } {
  const seen: { got: string; log: string[]; error?: Error } = { got: '', log: [] }
  pipe.listen({
    data: (chunk) => {
      seen.got += Buffer.from(chunk).toString('latin1')
      seen.log.push('data')
    },
    drain: () => seen.log.push('drain'),
    end: () => seen.log.push('end'),
    close: (error) => {
      seen.log.push('close')
      if (error !== undefined) seen.error = error
    },
  })
  return seen
}

function writesOf(pipe: Pipe): Uint8Array[] {
  const writes: Uint8Array[] = []
  const write = pipe.write.bind(pipe)
  vi.spyOn(pipe, 'write').mockImplementation((chunks) => {
    writes.push(Buffer.concat(chunks))
    return write(chunks)
  })
  return writes
}

test('both sides agree on the first proposal that is offered', async () => {
  const [a, b] = pipePair()
  const [chosen, handled] = await Promise.all([
    selectProtocol(a, ['/x', '/y', '/z'], { limits }),
    handleProtocol(b, { limits, offers: (protocol) => protocol === '/y' || protocol === '/z' }),
  ])
  expect(chosen).toBe('/y')
  expect(handled).toBe('/y')
})

test('what follows the proposal is the next layer’s, which finds the pipe paused', async () => {
  const [a, b] = pipePair()
  a.write([Buffer.concat([hello('/y'), bytes('first')])])
  a.write([bytes('second')])
  a.end()
  let taken = 0
  await handleProtocol(b, { limits, offers: () => true, onBytes: (count) => (taken = count) })
  expect(taken).toBe(hello('/y').byteLength)
  const seen = watch(b)
  await turns()
  expect(seen.log).toEqual([])
  b.resume()
  await turns()
  expect(seen.got).toBe('firstsecond')
  expect(seen.log.at(-1)).toBe('end')
})

test('a greeting and a proposal that came together are answered in one write', async () => {
  const [a, b] = pipePair()
  const writes = writesOf(b)
  a.write([hello('/x', '/y')])
  await handleProtocol(b, { limits, offers: (protocol) => protocol === '/y' })
  expect(writes.map((write) => Buffer.from(write).toString('hex'))).toEqual([
    Buffer.from(hello('na', '/y')).toString('hex'),
  ])
})

test('a dialer whose proposals are all refused fails with unimplemented and resets', async () => {
  const [a, b] = pipePair()
  const handled = handleProtocol(b, { limits, offers: () => false })
  handled.catch(() => {})
  await expect(selectProtocol(a, ['/x', '/y'], { limits })).rejects.toMatchObject({
    code: 'unimplemented',
    layer: 'protocol',
  })
  expect(a.closed).toBe(true)
  await expect(handled).rejects.toMatchObject({ code: 'unavailable', layer: 'protocol' })
})

test('a signal ends a negotiation and resets the pipe', async () => {
  for (const [reason, code] of [
    [new DOMException('late', 'TimeoutError'), 'deadline_exceeded'],
    [new Error('no more'), 'canceled'],
  ] as const) {
    const [a, b] = pipePair()
    const stop = new AbortController()
    const handled = handleProtocol(b, { limits, offers: () => true, signal: stop.signal })
    stop.abort(reason)
    await expect(handled).rejects.toMatchObject({ code, layer: 'protocol' })
    expect(b.closed).toBe(true)
    expect(a.closed).toBe(true)
    await expect(
      selectProtocol(pipePair()[0], ['/x'], { limits, signal: stop.signal }),
    ).rejects.toMatchObject({ code })
  }
})

test('a pipe that ends before the protocol is chosen fails with unavailable', async () => {
  const [a, b] = pipePair()
  const handled = handleProtocol(b, { limits, offers: () => true })
  a.write([hello()])
  a.end()
  await expect(handled).rejects.toMatchObject({ code: 'unavailable' })
  await expect(handleProtocol(b, { limits, offers: () => true })).rejects.toMatchObject({
    code: 'unavailable',
  })
})

test('a lazy proposal leaves in one write with the first data', async () => {
  const [a, b] = pipePair()
  const writes = writesOf(a)
  const settled = vi.fn()
  const lazy = selectLazily(a, '/y', { limits, onSettled: settled })
  const seen = watch(lazy)
  await turns()
  expect(writes).toEqual([])
  lazy.write([bytes('hi'), bytes('!')])
  lazy.resume()
  await turns()
  expect(writes).toEqual([Buffer.concat([hello('/y'), bytes('hi!')])])
  expect(settled).not.toHaveBeenCalled()
  expect(await handleProtocol(b, { limits, offers: () => true })).toBe('/y')
  const reader = new PipeReader(b, { maxBytes: 10, layer: 'protocol' })
  expect(await reader.read(3)).toEqual(bytes('hi!'))
  b.write([bytes('yes')])
  await turns()
  expect(settled.mock.calls).toEqual([[undefined]])
  expect(seen.got).toBe('yes')
})

test('a lazy proposal leaves by itself when somebody reads or ends without writing', async () => {
  for (const act of ['resume', 'end'] as const) {
    const [a, b] = pipePair()
    const lazy = selectLazily(a, '/y', { limits })
    watch(lazy)
    lazy[act]()
    expect(await handleProtocol(b, { limits, offers: () => true })).toBe('/y')
  }
})

test('after the echo the listener sits on the lower pipe', async () => {
  const [a, b] = pipePair()
  const listen = vi.spyOn(a, 'listen')
  const lazy = selectLazily(a, '/y', { limits })
  const events = { data: vi.fn(), drain: vi.fn(), end: vi.fn(), close: vi.fn() }
  lazy.listen(events)
  lazy.resume()
  await handleProtocol(b, { limits, offers: () => true })
  await turns()
  expect(listen.mock.lastCall?.[0]).toBe(events)
})

test('an echo cut at every byte is swallowed whole and nothing behind it is lost', async () => {
  const answer = Buffer.concat([hello('/y'), bytes('tail')])
  for (let cut = 1; cut < answer.byteLength; cut++) {
    const [a, b] = pipePair()
    const lazy = selectLazily(a, '/y', { limits })
    const seen = watch(lazy)
    lazy.resume()
    b.write([answer.subarray(0, cut)])
    await turns()
    b.write([answer.subarray(cut)])
    b.end()
    await turns()
    expect(seen.got).toBe('tail')
    expect(seen.log.at(-1)).toBe('end')
  }
})

test('a paused lazy pipe reads the echo and nothing more', async () => {
  const [a, b] = pipePair()
  const settled = vi.fn()
  const lazy = selectLazily(a, '/y', { limits, onSettled: settled })
  const seen = watch(lazy)
  lazy.write([bytes('q')])
  b.write([Buffer.concat([hello('/y'), bytes('answer')])])
  await turns()
  expect(settled).toHaveBeenCalledOnce()
  expect(seen.got).toBe('')
  lazy.resume()
  await turns()
  expect(seen.got).toBe('answer')
})

test('pausing a lazy pipe before the echo does not keep the echo out', async () => {
  const [a, b] = pipePair()
  const settled = vi.fn()
  const lazy = selectLazily(a, '/y', { limits, onSettled: settled })
  const seen = watch(lazy)
  lazy.resume()
  await turns()
  lazy.pause()
  b.write([Buffer.concat([hello('/y'), bytes('answer')])])
  await turns()
  expect(settled).toHaveBeenCalledOnce()
  expect(seen.got).toBe('')
})

test('a listener that comes after the echo gets everything behind it', async () => {
  const [a, b] = pipePair()
  const lazy = selectLazily(a, '/y', { limits })
  lazy.write([bytes('q')])
  lazy.resume()
  b.write([Buffer.concat([hello('/y'), bytes('one')])])
  await turns()
  b.write([bytes('two')])
  b.end()
  await turns()
  const seen = watch(lazy)
  await turns()
  expect(seen.got).toBe('onetwo')
  expect(seen.log.at(-1)).toBe('end')
})

test('bytes given back before the echo come before those behind it', async () => {
  const [a, b] = pipePair()
  const lazy = selectLazily(a, '/y', { limits })
  lazy.unshift(bytes('2'))
  lazy.unshift(bytes('1'))
  const seen = watch(lazy)
  lazy.resume()
  b.write([Buffer.concat([hello('/y'), bytes('3')])])
  await turns()
  expect(seen.got).toBe('123')
})

test('a refused lazy proposal resets the lower pipe and closes with unimplemented', async () => {
  for (const answer of [
    hello('na'),
    hello('/other'),
    Buffer.of(0),
    bytes('HTTP/1.1 400 Bad Request'.padEnd(80)),
  ]) {
    const [a, b] = pipePair()
    const settled = vi.fn()
    const lazy = selectLazily(a, '/y', { limits, onSettled: settled })
    const seen = watch(lazy)
    const other = watch(b)
    lazy.write([bytes('q')])
    lazy.resume()
    b.write([answer])
    await turns()
    expect(seen.log).toEqual(['close'])
    expect(seen.error).toMatchObject({ code: 'unimplemented', layer: 'protocol', ran: 'no' })
    expect(settled.mock.calls).toEqual([[seen.error]])
    expect(lazy.closed).toBe(true)
    expect(other.log).toEqual(['close'])
  }
})

test('a lower pipe that ends before the echo closes the lazy one with unavailable', async () => {
  const [a, b] = pipePair()
  const settled = vi.fn()
  const lazy = selectLazily(a, '/y', { limits, onSettled: settled })
  const seen = watch(lazy)
  lazy.resume()
  b.end()
  await turns()
  expect(seen.error).toMatchObject({ code: 'unavailable', layer: 'protocol' })
  expect(settled.mock.calls).toEqual([[seen.error]])
})

test('a lower pipe that breaks before anybody listens is told when somebody does', async () => {
  const [a, b] = pipePair()
  const lazy = selectLazily(a, '/y', { limits })
  lazy.write([bytes('q')])
  b.destroy(new Error('broken'))
  await turns()
  expect(lazy.closed).toBe(true)
  const seen = watch(lazy)
  await turns()
  expect(seen.log).toEqual(['close'])
  expect(seen.error).toBeInstanceOf(Error)
})

test('a lazy pipe destroyed before it said anything sends nothing', async () => {
  const [a, b] = pipePair()
  const writes = writesOf(a)
  const lazy = selectLazily(a, '/y', { limits })
  const seen = watch(lazy)
  lazy.resume()
  const error = new Error('changed my mind')
  lazy.destroy(error)
  await turns()
  expect(writes).toEqual([])
  expect(seen.error).toBe(error)
  expect(b.closed).toBe(true)
})

test('backpressure passes through a lazy pipe before and after the echo', async () => {
  const [a, b] = pipePair({ highWaterBytes: 100 })
  const lazy = selectLazily(a, '/y', { limits })
  const seen = watch(lazy)
  lazy.resume()
  expect(lazy.write([new Uint8Array(200)])).toBe(false)
  expect(lazy.queuedBytes).toBeGreaterThan(200)
  await handleProtocol(b, { limits, offers: () => true })
  const other = watch(b)
  b.resume()
  await turns()
  expect(other.got.length).toBe(200)
  expect(seen.log).toEqual(['drain'])
  expect(lazy.write([new Uint8Array(99)])).toBe(true)
})
