/** The book of requests to others: bounded, pruned, named by prefixes. */
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'

import { expect, test } from 'vitest'

import { Failure } from '../src/failure.ts'
import { locateHome } from '../src/home.ts'
import type { Home } from '../src/home.ts'
import { KEEP_REQUEST_MS, MAX_AGAIN_LENGTH, MAX_HEADS, MAX_REQUESTS } from '../src/limits.ts'
import { readHead, writeHead } from '../src/node/heads.ts'
import {
  commandAgain,
  idsNamed,
  readRequests,
  requestOf,
  shortName,
  writeRequest,
} from '../src/requests.ts'
import type { AskedRequest } from '../src/requests.ts'
import { Machine } from './machine.ts'

const PEER = '12D3KooWGjmG2kLsxiSUyHx1XF6u4qAZnEZrKEp3K12yomBjSh5J'
const NOW_MS = 1_800_000_000_000

function homeOf(machine: Machine): Home {
  return locateHome({ env: {}, cwd: machine.cwd, userHome: machine.cwd }, 'home')
}

function asked(index: number, init: Partial<AskedRequest> = {}): AskedRequest {
  return {
    id: index.toString(16).padStart(8, '0').padEnd(32, '0'),
    peer: PEER,
    name: 'home',
    what: ['sign:key release/app'],
    reason: '',
    askedAtMs: NOW_MS + index,
    expiresAtMs: NOW_MS + 600_000,
    state: 'pending',
    isRepeatable: false,
    delivery: { kind: 'signature', out: null, receipt: null, as: null },
    ...init,
  }
}

test('MAX_REQUESTS are remembered; for one more the oldest that is over goes, or it is refused', () => {
  using machine = new Machine()
  const home = homeOf(machine)
  for (let index = 0; index < MAX_REQUESTS; index++) {
    writeRequest(home, asked(index, index === 3 ? { state: 'done' } : {}), NOW_MS)
  }
  expect(readRequests(home)).toHaveLength(MAX_REQUESTS)
  writeRequest(home, asked(MAX_REQUESTS), NOW_MS)
  const ids = readRequests(home).map(({ id }) => id)
  expect(ids).toHaveLength(MAX_REQUESTS)
  expect(ids).not.toContain(asked(3).id)
  expect(() => {
    writeRequest(home, asked(MAX_REQUESTS + 1), NOW_MS)
  }).toThrow(Failure)
  // What became of one that is there is written all the same.
  writeRequest(home, asked(1, { state: 'done' }), NOW_MS)
  expect(requestOf(home, PEER, asked(1).id)?.state).toBe('done')
  expect(requestOf(home, 'another', asked(1).id)).toBeUndefined()
})

test('what is over since KEEP_REQUEST_MS is forgotten with the next', () => {
  using machine = new Machine()
  const home = homeOf(machine)
  writeRequest(home, asked(1, { expiresAtMs: NOW_MS }), NOW_MS)
  writeRequest(home, asked(2), NOW_MS + KEEP_REQUEST_MS)
  expect(readRequests(home)).toHaveLength(2)
  writeRequest(home, asked(3), NOW_MS + KEEP_REQUEST_MS + 1)
  expect(readRequests(home).map(({ id }) => id)).toEqual([asked(2).id, asked(3).id])
  expect(readdirSync(home.requests)).toHaveLength(2)
})

test('a file that is no request is passed over', () => {
  using machine = new Machine()
  const home = homeOf(machine)
  mkdirSync(home.requests, { recursive: true })
  chmodSync(home.path, 0o700)
  writeFileSync(`${home.requests}/${asked(1).id}.json`, '{"v":1}')
  writeRequest(home, asked(2), NOW_MS)
  expect(readRequests(home).map(({ id }) => id)).toEqual([asked(2).id])
})

test('a request is named by any beginning of four digits or more', () => {
  const [one, two] = [
    asked(1, { id: '7f3a0'.padEnd(32, '0') }),
    asked(2, { id: '7f3a1'.padEnd(32, '0') }),
  ]
  expect(shortName(one.id, [one])).toBe('q-7f3a')
  expect(shortName(one.id, [one, two])).toBe('q-7f3a0')
  expect(idsNamed('q-7f3a', [one, two])).toEqual([one.id, two.id])
  expect(idsNamed('7f3a1', [one, two])).toEqual([two.id])
  expect(idsNamed(one.id, [one, two])).toEqual([one.id])
  for (const text of ['7f3', 'x-7f3a', 'q-', '../7f3a']) {
    expect(() => idsNamed(text, [one])).toThrow(Failure)
  }
})

test('heads of MAX_HEADS peers are kept; the one written longest ago goes', () => {
  using machine = new Machine()
  const home = homeOf(machine)
  const peer = (index: number): string => `${PEER.slice(0, -4)}${1111 + index}`.replaceAll('0', 'a')
  const peers = Array.from({ length: MAX_HEADS + 1 }, (_, index) => peer(index))
  mkdirSync(home.path, { mode: 0o700 })
  const heads = Object.fromEntries(peers.slice(0, MAX_HEADS).map((one) => [one, 'AAAA']))
  writeFileSync(home.heads, JSON.stringify({ v: 1, heads }))
  expect(readHead(home, peer(0))).toEqual(new Uint8Array(3))
  writeHead(home, peer(MAX_HEADS), Uint8Array.of(1))
  expect(readHead(home, peer(MAX_HEADS))).toEqual(Uint8Array.of(1))
  expect(readHead(home, peer(0))).toBeUndefined()
  expect(readHead(home, peer(1))).toEqual(new Uint8Array(3))
})

test('the command that asks again is told without its id, as a shell takes it, up to MAX_AGAIN_LENGTH', () => {
  const words = [
    'sign',
    'home:a/b',
    '--no-wait',
    '--request-id',
    '00',
    '--request-id=01',
    '--reason',
  ]
  expect(commandAgain([...words, "it's $HOME"])).toBe(
    "stronghold sign home:a/b --reason 'it'\\''s $HOME'",
  )
  const room = MAX_AGAIN_LENGTH - 'stronghold '.length
  expect(commandAgain(['a'.repeat(room)])).toHaveLength(MAX_AGAIN_LENGTH)
  expect(commandAgain(['a'.repeat(room + 1)])).toBeUndefined()
})
