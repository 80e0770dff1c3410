import { expect, test } from 'vitest'

import { encodeMessage, MULTISTREAM_PROTOCOL } from '../../src/connection/multistream.ts'
import { handleProtocol, selectLazily, selectProtocol } from '../../src/connection/negotiate.ts'
import { DEFAULT_LIMITS, resolveLimits } from '../../src/limits.ts'
import { pipePair } from '../../src/transports/pipe-pair.ts'

const hello = encodeMessage(MULTISTREAM_PROTOCOL)

test('endless proposals end after maxNegotiationMessages, with one reset', async () => {
  const limits = resolveLimits({ maxNegotiationMessages: 4 })
  const [a, b] = pipePair()
  const handled = handleProtocol(b, { limits, offers: () => false })
  a.write([hello, ...Array.from({ length: 1000 }, () => encodeMessage('/x'))])
  await expect(handled).rejects.toMatchObject({ code: 'resource_exhausted', layer: 'limit' })
  expect(a.closed).toBe(true)
})

test('endless bytes of negotiation end at maxHandshakeBytes', async () => {
  const limits = resolveLimits({ maxNegotiationMessages: 1_000_000, maxHandshakeBytes: 5000 })
  const [a, b] = pipePair()
  let answered = 0
  const handled = handleProtocol(b, { limits, offers: () => ++answered < 0 })
  a.write([hello, ...Array.from({ length: 1000 }, () => encodeMessage('x'.repeat(97)))])
  await expect(handled).rejects.toMatchObject({ code: 'resource_exhausted', layer: 'limit' })
  expect(answered).toBe(Math.floor((5000 - hello.byteLength) / 99))
})

test('a message past maxNegotiationMessageBytes ends the negotiation before it is sent', async () => {
  const limits = resolveLimits({ maxNegotiationMessageBytes: 64 })
  const [a, b] = pipePair()
  const handled = handleProtocol(b, { limits, offers: () => true })
  a.write([hello, Uint8Array.of(65)])
  await expect(handled).rejects.toMatchObject({ code: 'invalid_argument', layer: 'protocol' })
})

test('an endless length ends a negotiation on either side', async () => {
  const limits = DEFAULT_LIMITS
  const endless = new Uint8Array(100).fill(0x80)
  const [a, b] = pipePair()
  const handled = handleProtocol(b, { limits, offers: () => true })
  a.write([endless])
  await expect(handled).rejects.toMatchObject({ code: 'invalid_argument' })
  const [c, d] = pipePair()
  const selected = selectProtocol(c, ['/x'], { limits })
  d.write([endless])
  await expect(selected).rejects.toMatchObject({ code: 'invalid_argument' })
  const [e, f] = pipePair()
  const lazy = selectLazily(e, '/x', { limits })
  const closed = new Promise((resolve) => {
    lazy.listen({ data: () => {}, drain: () => {}, end: () => {}, close: resolve })
  })
  lazy.resume()
  f.write([endless])
  expect(await closed).toMatchObject({ code: 'unimplemented' })
})

test('a listener that answers byte by byte for ever is given up by the signal', async () => {
  const [a, b] = pipePair()
  const stop = new AbortController()
  const selected = selectProtocol(a, ['/x'], { limits: DEFAULT_LIMITS, signal: stop.signal })
  b.write([hello.subarray(0, 1)])
  b.write([hello.subarray(1, 2)])
  stop.abort(new DOMException('late', 'TimeoutError'))
  await expect(selected).rejects.toMatchObject({ code: 'deadline_exceeded' })
  expect(b.closed).toBe(true)
})
