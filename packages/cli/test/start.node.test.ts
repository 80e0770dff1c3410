/** What a process does first: where it keeps what was compiled, and where it does not. */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { homeOfUser, isOursAlone, keepCompiled } from '../src/start.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'stronghold-start-'))
})
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** A directory `name/within`, the first of which somebody else may have touched. */
function made(name: string): { above: string; within: string } {
  const above = join(folder, name)
  const within = join(above, 'within')
  mkdirSync(within, { recursive: true, mode: 0o700 })
  return { above, within }
}

describe('what was compiled', () => {
  test('is kept in the cache directory, 0700, and threads and processes find it there', () => {
    const env = { XDG_CACHE_HOME: join(folder, 'cache') } as Record<string, string>
    const kept = keepCompiled(env, '/nowhere')
    expect(kept).toBe(join(folder, 'cache', 'stronghold', 'compiled'))
    expect(isOursAlone(kept ?? '')).toBe(true)
    expect(env['NODE_COMPILE_CACHE']).toBe(kept)
  })

  test('is kept where the environment says, and nothing is made beside it', () => {
    const env = { NODE_COMPILE_CACHE: '/elsewhere', XDG_CACHE_HOME: join(folder, 'none') }
    expect(keepCompiled(env, folder)).toBeUndefined()
    expect(existsSync(join(folder, 'none'))).toBe(false)
  })

  test('makes no home for a user who has none', () => {
    const none = join(folder, 'no-home')
    expect(keepCompiled({}, none)).toBeUndefined()
    expect(existsSync(none)).toBe(false)
  })

  test('is not kept where others may write, look, or put another in its place', () => {
    expect(isOursAlone(made('own').within)).toBe(true)
    const open = made('open')
    chmodSync(open.within, 0o750)
    expect(isOursAlone(open.within)).toBe(false)
    const shared = made('shared')
    chmodSync(shared.above, 0o777)
    expect(isOursAlone(shared.within)).toBe(false)
    chmodSync(shared.above, 0o1777)
    expect(isOursAlone(shared.within)).toBe(true)
    symlinkSync(made('own').within, join(folder, 'link'))
    expect(isOursAlone(join(folder, 'link'))).toBe(false)
    const cache = made('there')
    chmodSync(cache.above, 0o777)
    const env = { XDG_CACHE_HOME: cache.above } as Record<string, string>
    expect(keepCompiled(env, '/nowhere')).toBeUndefined()
    expect(env['NODE_COMPILE_CACHE']).toBeUndefined()
    expect(keepCompiled({}, join(folder, 'none', '\0'))).toBeUndefined()
  })

  test.skipIf(process.getuid?.() !== 0)('is not kept in a directory of another user', () => {
    const [own, above] = [made('foreign'), made('foreign-above')]
    chownSync(own.within, 12_345, 12_345)
    chownSync(above.above, 12_345, 12_345)
    expect(isOursAlone(own.within)).toBe(false)
    expect(isOursAlone(above.within)).toBe(false)
  })
})

test('the home of a user is absolute, whatever the environment says', () => {
  expect(homeOfUser({ HOME: '/home/me' })).toBe('/home/me')
  const known = homeOfUser({})
  expect(known).toMatch(/^\//)
  expect(homeOfUser({ HOME: '' })).toBe(known)
  expect(homeOfUser({ HOME: 'relative' })).toBe(known)
})
