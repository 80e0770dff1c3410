/** Addresses of one peer, raced: what is silent holds nothing up. */
import { expect, test } from 'vitest'

import { bytes, defineProtocol, parseAddress, unary } from '../../src/index.ts'
import type { Node, NodeInit } from '../../src/index.ts'
import { Internet } from './internet.ts'

const echo = defineProtocol('/example/echo/1.0.0', {
  bytes: unary({ request: bytes, response: bytes }),
})
const OPEN: NodeInit = { firewall: { inbound: { fallback: 'allow' } }, relay: { punch: false } }
// To hosts where nobody is, a dial ends with its time alone.
const SILENT = ['/ip4/8.9.9.1/tcp/1', '/ip4/8.9.9.2/tcp/1']
const LIMITS = { dialTimeoutMs: 15_000 }
const RELAY = '/ip4/8.0.9.9/tcp/4001'

function serve(node: Node): void {
  node.serve(echo, { bytes: (message) => message })
}

/** All of one peer. */
function at(peer: Node, ...addresses: string[]): string[] {
  return addresses.map((one) => parseAddress(`${one}/p2p/${peer.peer}`))
}

test('an address that is silent does not hold up the next one', async () => {
  await using internet = new Internet()
  const good = '/ip4/8.0.0.1/tcp/7430'
  const home = await internet.node('8.0.0.1', { ...OPEN, listen: [good], announce: [good] })
  serve(home)
  const away = await internet.node('8.0.1.1', { limits: LIMITS })
  const startMs = performance.now()
  const remote = away.client(echo, at(home, ...SILENT, good))
  expect(await remote.bytes(Uint8Array.of(7))).toEqual(Uint8Array.of(7))
  expect(performance.now() - startMs).toBeLessThan(LIMITS.dialTimeoutMs / 2)
  expect(away.connections(home.peer)).toHaveLength(1)
  // Who lost by a moment is no worse for it.
  const failures = away.book.list(home.peer).map((one) => one.failures)
  expect(failures).toEqual([0, 0, 0])
})

test('direct addresses have the field for themselves, then a relay is tried beside them, and they count as failed', async () => {
  await using internet = new Internet()
  const relay = await internet.node('8.0.9.9', {
    listen: [RELAY],
    announce: [RELAY],
    relay: { serve: true },
  })
  const through = `${RELAY}/p2p/${relay.peer}/p2p-circuit`
  const home = await internet.node('8.0.0.1', { ...OPEN, listen: [through] }, 'symmetric')
  serve(home)
  const away = await internet.node('8.0.1.1', { limits: LIMITS, relay: { punch: false } })
  const failed = away.events({ types: ['dialFailed'] })
  const startMs = performance.now()
  const remote = away.client(echo, at(home, ...SILENT, through))
  expect(await remote.bytes(Uint8Array.of(7))).toEqual(Uint8Array.of(7))
  const tookMs = performance.now() - startMs
  expect(tookMs).toBeGreaterThan(2000)
  expect(tookMs).toBeLessThan(LIMITS.dialTimeoutMs / 2)
  expect(away.connections(home.peer)).toMatchObject([{ relayed: true }])
  expect((await failed.next()).value).toMatchObject({
    peer: home.peer,
    address: at(home, SILENT[0] ?? '')[0],
  })
  const failures = away.book.list(home.peer).filter(({ relayed }) => !relayed)
  expect(failures.map((one) => one.failures)).toEqual([1, 1])
})

test('where nothing answers, the error says both ways; two who ask at once share one race', async () => {
  await using internet = new Internet()
  const relay = await internet.node('8.0.9.9', { listen: [RELAY], relay: { serve: true } })
  const home = await internet.node('8.0.0.1')
  const away = await internet.node('8.0.1.1', { limits: { dialTimeoutMs: 300 } })
  const all = at(home, ...SILENT, `${RELAY}/p2p/${relay.peer}/p2p-circuit`)
  const tried = await Promise.allSettled([away.connect(all), away.connect(all)])
  const messages = tried.map((one) => (one.status === 'rejected' ? String(one.reason) : ''))
  expect(messages[0]).toContain('and directly: ')
  expect(messages[1]).toBe(messages[0])
  expect(away.book.list(home.peer).map(({ failures }) => failures)).toEqual([1, 1, 1])
})
