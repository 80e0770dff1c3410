import { expect, test } from 'vitest'

import { PipeReader } from '../src/connection/reader.ts'
import { pipePair } from '../src/transports/pipe-pair.ts'

test('what one end writes the other reads, in order', async () => {
  const [a, b] = pipePair()
  a.write([Uint8Array.of(1, 2), Uint8Array.of(3)])
  const reader = new PipeReader(b, { maxBytes: 10, layer: 'protocol' })
  expect(await reader.read(1)).toEqual(Uint8Array.of(1))
  expect(await reader.read(2)).toEqual(Uint8Array.of(2, 3))
  a.end()
  await expect(reader.read(1)).rejects.toThrow('the connection ended')
})

test('a reader gives unread bytes back', async () => {
  const [a, b] = pipePair()
  a.write([Uint8Array.of(1, 2, 3)])
  const reader = new PipeReader(b, { maxBytes: 10, layer: 'protocol' })
  await reader.read(1)
  reader.release()
  const got = await new Promise<Uint8Array>((resolve) => {
    b.listen({ data: resolve, drain: () => {}, end: () => {}, close: () => {} })
    b.resume()
  })
  expect(got).toEqual(Uint8Array.of(2, 3))
})
