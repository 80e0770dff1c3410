/** Bounds of the program, each at its limit and one past it. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'

import { expect, test } from 'vitest'

import { fileLines } from '../src/audit-file.ts'
import { readBook, writeBook } from '../src/book.ts'
import { Failure } from '../src/failure.ts'
import { locateHome, makeHome, socketsOf } from '../src/home.ts'
import {
  MAX_AUDIT_LINE_BYTES,
  MAX_BOOK_ADDRESSES,
  MAX_BOOK_PEERS,
  MAX_INPUT_BYTES,
  MAX_SECRET_BYTES,
  MAX_SOCKET_PATH_BYTES,
  MAX_STEPS,
} from '../src/limits.ts'
import { Machine } from './machine.ts'

test('a book holds MAX_BOOK_PEERS and no more', () => {
  using machine = new Machine()
  const home = locateHome({ env: {}, cwd: machine.cwd, userHome: machine.cwd }, 'home')
  const peer = '12D3KooWGjmG2kLsxiSUyHx1XF6u4qAZnEZrKEp3K12yomBjSh5J'
  const all = Array.from({ length: MAX_BOOK_PEERS }, (_, index) => {
    return { peer, name: `p${index}`, addresses: [], blocked: false }
  })
  writeBook(home, all)
  expect(readBook(home)).toHaveLength(MAX_BOOK_PEERS)
  expect(() => {
    writeBook(home, [...all, ...all.slice(0, 1)])
  }).toThrow(Failure)
})

test('a peer has MAX_BOOK_ADDRESSES, the newest first; more at once are refused', async () => {
  using machine = new Machine()
  const peer = '12D3KooWGjmG2kLsxiSUyHx1XF6u4qAZnEZrKEp3K12yomBjSh5J'
  const at = (from: number, count: number): string[] =>
    Array.from({ length: count }, (_, index) => `/ip4/192.0.2.1/tcp/${from + index}/p2p/${peer}`)
  const add = ['peer', 'add', 'nas']
  expect((await machine.run([...add, ...at(1, MAX_BOOK_ADDRESSES + 1)])).exit).toBe(12)
  await machine.done([...add, ...at(1, MAX_BOOK_ADDRESSES)])
  const { json } = await machine.done([...add, ...at(1000, 1), '--json'])
  const { addresses } = json as { addresses: readonly string[] }
  expect(addresses).toHaveLength(MAX_BOOK_ADDRESSES)
  expect(addresses.slice(0, 2)).toEqual(['/ip4/192.0.2.1/tcp/1000', '/ip4/192.0.2.1/tcp/1'])
})

test('sockets move to the runtime directory past MAX_SOCKET_PATH_BYTES, or are refused', () => {
  const at = (length: number) => {
    const path = `/${'x'.repeat(length - '/'.length - '/control.sock'.length)}`
    return locateHome({ env: {}, cwd: '/', userHome: '/' }, path)
  }
  const fits = at(MAX_SOCKET_PATH_BYTES)
  expect(socketsOf(fits, {}).control).toBe(`${fits.path}/control.sock`)
  const long = at(MAX_SOCKET_PATH_BYTES + 1)
  const moved = socketsOf(long, { XDG_RUNTIME_DIR: '/run/user/1' })
  expect(moved.control).toMatch(/^\/run\/user\/1\/stronghold-[0-9a-f]{16}\/control\.sock$/)
  expect(() => socketsOf(long, { XDG_RUNTIME_DIR: `/${'r'.repeat(90)}` })).toThrow(Failure)
})

test('a home that names nothing is refused, and does not become the current directory', async () => {
  using machine = new Machine()
  const { exit, stderr } = await machine.run(['peer', 'list', '--home', ''])
  expect(exit).toBe(2)
  expect(stderr).toContain('--home names nothing')
})

test.runIf(existsSync('/proc/self'))('a home where nothing can be made is refused at once', () => {
  const at = (path: string) => locateHome({ env: {}, cwd: '/', userHome: '/' }, path)
  expect(() => {
    makeHome(at('/proc/self/stronghold/home'))
  }).toThrow('/proc/self/stronghold')
})

test('a home that others may look into, or that is no directory, is refused', async () => {
  using machine = new Machine()
  mkdirSync(machine.path('home'), { mode: 0o755 })
  const { exit, stderr } = await machine.run('init --key-file k')
  expect(exit).toBe(2)
  expect(stderr).toContain(`hint: chmod 700 ${machine.path('home')}`)
})

test('inputs, secrets and chains at their limits', async () => {
  using machine = await new Machine().init()
  await machine.done('key create k/sign')
  await machine.done('sign k/sign --format raw', { stdin: new Uint8Array(MAX_INPUT_BYTES) })
  const over = await machine.run('sign k/sign --format raw', {
    stdin: new Uint8Array(MAX_INPUT_BYTES + 1),
  })
  expect(over.exit).toBe(12)
  writeFileSync(machine.path('fits'), new Uint8Array(MAX_SECRET_BYTES).fill(1))
  writeFileSync(machine.path('over'), new Uint8Array(MAX_SECRET_BYTES + 1).fill(1))
  await machine.done('key import s/fits --in fits --format raw --type opaque')
  expect((await machine.run('key import s/over --in over --format raw --type opaque')).exit).toBe(
    12,
  )
  const chain = (length: number): string =>
    JSON.stringify({
      steps: Array.from({ length }, () => ({ procedure: 'random', input: { length: 1 } })),
    })
  await machine.done('proc run --json', { stdin: chain(MAX_STEPS) })
  expect((await machine.run('proc run', { stdin: chain(MAX_STEPS + 1) })).exit).toBe(2)
})

test('a line of an export has MAX_AUDIT_LINE_BYTES and no more', () => {
  using machine = new Machine()
  const path = machine.path('audit.jsonl')
  const longest = 'a'.repeat(MAX_AUDIT_LINE_BYTES)
  writeFileSync(path, `first\n\n${longest}\nlast`)
  expect([...fileLines(path)].map(({ length }) => length)).toEqual([5, 0, longest.length, 4])
  writeFileSync(path, `first\n${longest}a\n`)
  expect(() => [...fileLines(path)]).toThrow(Failure)
})
