/** The node door's asking: what it takes, and how many vaults it keeps at a time. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'

import { createNode } from '@stronghold/p2p'
import { memoryNetwork } from '@stronghold/p2p/testing'
import { systemClock } from '@stronghold/vault'
import { expect, test } from 'vitest'

import { readConfig } from '../../src/config.ts'
import { locateHome } from '../../src/home.ts'
import { MAX_ASKED_PEERS, MAX_REASON_LENGTH, MAX_STEPS, MAX_WAIT_MS } from '../../src/limits.ts'
import { ASKING_METHODS, askingOf } from '../../src/node/asking.ts'
import type { Told } from '../../src/node/asking.ts'
import { Machine } from '../machine.ts'

const ID = '00112233445566778899aabbccddeeff'
const STEP = { procedure: 'random', input: { length: 1 } }

test('a request is bounded before it is sent', () => {
  const takes = (asked: object): boolean => {
    const whole = { id: ID, steps: [STEP], reason: '', timeoutMs: 1, receipt: false, ...asked }
    return ASKING_METHODS.submit.args.safeParse([{ peer: 'p', addresses: [] }, whole]).success
  }
  expect(takes({ reason: 'x'.repeat(MAX_REASON_LENGTH), timeoutMs: MAX_WAIT_MS })).toBe(true)
  expect(takes({ steps: Array<object>(MAX_STEPS).fill(STEP) })).toBe(true)
  expect(takes({ steps: Array<object>(MAX_STEPS + 1).fill(STEP) })).toBe(false)
  expect(takes({ steps: [] })).toBe(false)
  expect(takes({ reason: 'x'.repeat(MAX_REASON_LENGTH + 1) })).toBe(false)
  expect(takes({ timeoutMs: MAX_WAIT_MS + 1 })).toBe(false)
  expect(takes({ id: '../x' })).toBe(false)
})

test('MAX_ASKED_PEERS are asked at a time; one more is refused while all are in use', async () => {
  using machine = new Machine()
  const home = locateHome({ env: {}, cwd: machine.cwd, userHome: machine.cwd }, 'home')
  // Somebody who takes every connection and never says a word.
  // Whoever gives up waiting resets the connection.
  const silent = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  await using network = memoryNetwork()
  const peers = await Promise.all(
    Array.from({ length: MAX_ASKED_PEERS + 1 }, async () => {
      await using one = await network.createNode({ listen: [] })
      return { peer: one.peer, addresses: [`/ip4/127.0.0.1/tcp/${port}`] }
    }),
  )
  await using node = await createNode()
  const config = readConfig({ path: home.config, env: {}, flags: {}, cwd: machine.cwd })
  const door = askingOf({
    node,
    home,
    config,
    clock: systemClock,
    kind: 'call',
    startedAtMs: 0,
    stop: undefined,
  })
  const enough = new AbortController()
  const again = new AbortController()
  const first = async (
    target: (typeof peers)[number],
    control: AbortController,
  ): Promise<Told | undefined> => {
    const asked = { id: ID, steps: [STEP], reason: '', timeoutMs: 1000, receipt: false }
    for await (const told of door.submit(target, asked, control)) return told
    return undefined
  }
  const waiting = peers.slice(0, MAX_ASKED_PEERS).map((one) => first(one, enough))
  await new Promise(setImmediate)
  const last = peers.at(-1)
  if (last === undefined) throw new Error('none')
  expect(await first(last, again)).toMatchObject({
    state: 'failed',
    code: 'resource_exhausted',
    ran: 'no',
  })
  enough.abort()
  expect(await Promise.all(waiting)).toEqual(waiting.map(() => undefined))
  // What nobody uses makes room.
  const one = first(last, again)
  await new Promise(setImmediate)
  again.abort()
  expect(await one).toBeUndefined()
  silent.close()
})
