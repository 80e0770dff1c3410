import { createSocket } from 'node:dgram'
import { once } from 'node:events'

import { expect, test } from 'vitest'

import { systemResolver } from '../../src/transports/system-resolver.ts'

const { signal } = new AbortController()

test('knows the hosts that the machine knows', async () => {
  expect(await systemResolver().resolve4('localhost', { signal })).toContain('127.0.0.1')
})

test('asks the given server for TXT records', async () => {
  const server = createSocket('udp4')
  server.on('message', (query, { port }) => {
    // The query as its own answer: response bit, one answer, its name a pointer to the question's (RFC 1035 §4.1).
    const question = query.subarray(0, query.indexOf(0, 12) + 5)
    const header = Buffer.from(question)
    header.writeUInt16BE(0x8180, 2)
    header.writeUInt32BE(0x0001_0001, 4)
    header.writeUInt32BE(0, 8)
    const answer = Buffer.from('c00c0010000100000000000d08646e73616464723d032f782f', 'hex')
    server.send(Buffer.concat([header, answer]), port, '127.0.0.1')
  })
  server.bind(0, '127.0.0.1')
  await once(server, 'listening')
  const resolver = systemResolver({ servers: [`127.0.0.1:${server.address().port}`] })
  expect(await resolver.resolveTxt('_dnsaddr.a.test', { signal })).toEqual([['dnsaddr=', '/x/']])
  server.close()
})

test('a question that nobody answers ends the moment its signal aborts', async () => {
  const silent = createSocket('udp4')
  silent.bind(0, '127.0.0.1')
  await once(silent, 'listening')
  const resolver = systemResolver({ servers: [`127.0.0.1:${silent.address().port}`] })
  const controller = new AbortController()
  silent.once('message', () => {
    controller.abort(new Error('enough'))
  })
  await expect(resolver.resolveTxt('a.test', { signal: controller.signal })).rejects.toThrow(
    'enough',
  )
  const before = AbortSignal.abort(new Error('before'))
  await expect(resolver.resolve4('localhost', { signal: before })).rejects.toThrow('before')
  silent.close()
})
