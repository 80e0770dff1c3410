/** Passphrases on their way in: typed, from files, never shown. */
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'

import { Slab } from '@stronghold/vault'
import { describe, expect, test } from 'vitest'

import type { Io } from '../src/io.ts'
import { ask, askOptional } from '../src/passphrase.ts'
import { Failure } from '../src/failure.ts'
import { Machine } from './machine.ts'

/** What is read when somebody types so, and what the terminal showed. */
function typed(text: string, asked: typeof ask = ask): { read: string; shown: string } {
  const bytes = [...new TextEncoder().encode(text)]
  let shown = ''
  const io = {
    openTerminal: () => ({
      write: (some: string) => {
        shown += some
      },
      readByte: (into: Uint8Array, at: number) => {
        const byte = bytes.shift()
        if (byte === undefined) return false
        into[at] = byte
        return true
      },
      suspend: () => {
        shown += '[stopped]'
      },
      [Symbol.dispose]: () => {},
    }),
  } as Partial<Io> as Io
  using slab = new Slab({ bytes: 8192 })
  using secret = asked(io, slab, 'Passphrase: ')
  return { read: new TextDecoder().decode(secret.bytes), shown }
}

describe('ask()', () => {
  test('reads a line, and shows nothing of it', () => {
    expect(typed('correct horse\r')).toEqual({
      read: 'correct horse',
      shown: 'Passphrase: \r\n',
    })
  })

  test('takes back whole characters, and whole lines', () => {
    expect(typed('abc\u007f\u007fd\n').read).toBe('ad')
    expect(typed('aß€😀\u007f\u007f\u007fx\n').read).toBe('ax')
    expect(typed('wrong\u0015right\n').read).toBe('right')
    expect(typed('\u007f\u007fx\n').read).toBe('x')
  })

  test('stops on ^Z, and asks anew when it goes on', () => {
    expect(typed('wrong\u001aright\r')).toEqual({
      read: 'right',
      shown: 'Passphrase: \r\n[stopped]Passphrase: \r\n',
    })
  })

  test('gives up on ^C, ^D, the end and an empty line', () => {
    for (const text of ['abc\u0003', 'abc\u0004', 'abc', '\r']) {
      expect(() => typed(text)).toThrow(Failure)
    }
  })

  test('where none is an answer, the end and an empty line are; ^C is not', () => {
    const optional = (text: string): boolean => {
      let wasAsked = false
      typed(text, (io, slab, question) => {
        wasAsked = askOptional(io, slab, question) !== undefined
        return slab.take(1)
      })
      return wasAsked
    }
    expect(['\r', 'abc\u0004', 'abc', 'abc\r'].map(optional)).toEqual([false, false, false, true])
    expect(() => optional('abc\u0003')).toThrow(Failure)
  })

  test('takes 1,024 bytes and no more', () => {
    expect(typed(`${'x'.repeat(1024)}\r`).read).toHaveLength(1024)
    expect(() => typed(`${'x'.repeat(1025)}\r`)).toThrow(Failure)
  })
})

describe('what unlocks', () => {
  test('two flags that say different things are refused', async () => {
    using machine = await new Machine().init()
    const { exit, stderr } = await machine.run('key list --key-file a --passphrase-file b')
    expect(exit).toBe(2)
    expect(stderr).toContain('--passphrase-file and --key-file say different things')
  })

  test('a pipe where a file is named is read once, for a new vault and to unlock it', async () => {
    using machine = new Machine()
    const pipe = machine.path('pipe')
    spawnSync('mkfifo', [pipe])
    const given = (): void => {
      spawn('sh', ['-c', 'echo correct horse > "$0"', pipe])
    }
    machine.write('same', 'correct horse\n')
    given()
    await machine.done(`init --passphrase-file ${pipe}`)
    given()
    await machine.done(`key create release/app --passphrase-file ${pipe}`)
    given()
    const backup = `backup create --to all.age --backup-passphrase-file ${pipe}`
    await machine.done(`${backup} --passphrase-file same`)
    given()
    const verify = `backup verify all.age --backup-passphrase-file ${pipe}`
    await machine.done(`${verify} --passphrase-file same`)
  })

  test('a descriptor that is no number is refused', async () => {
    using machine = await new Machine().init()
    expect((await machine.run('key list --passphrase-fd three')).exit).toBe(2)
    const closed = await machine.run('key list --passphrase-fd 999')
    expect(closed.exit).toBe(2)
    expect(closed.stderr).toContain('descriptor 999 is not open for reading')
  })

  test('a passphrase file of two lines, one that is missing, a vault open to others', async () => {
    using machine = await new Machine().init()
    writeFileSync(machine.path('two'), 'one\ntwo\n')
    expect((await machine.run('key list --passphrase-file two')).exit).toBe(2)
    expect((await machine.run('key list --passphrase-file none')).exit).toBe(9)
    chmodSync(machine.path('home', 'vault'), 0o755)
    const { exit, stderr } = await machine.run('key list')
    expect(exit).toBe(2)
    expect(stderr).toContain('chmod')
  })

  test('no command line takes a passphrase', () => {
    const source = readFileSync(new URL('../src/command.ts', import.meta.url), 'utf8')
    expect(source).not.toMatch(/\bpassphrase: \{ value/)
  })
})
