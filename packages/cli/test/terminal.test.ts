/** What goes to stdout, to stderr and to a terminal. */
import { describe, expect, test } from 'vitest'

import { failureOf, Failure, quoted } from '../src/failure.ts'
import { remote, wrapped } from '../src/terminal.ts'
import { Machine } from './machine.ts'

describe('a terminal', () => {
  test('gets colour, unless NO_COLOR, TERM=dumb or --json say otherwise', async () => {
    using machine = new Machine()
    const escape = '\u001b['
    expect((await machine.done('--help', { columns: 80 })).stdout).toContain(escape)
    for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
      expect((await machine.done('--help', { columns: 80, env })).stdout).not.toContain(escape)
    }
    expect((await machine.done('--help')).stdout).not.toContain(escape)
    expect((await machine.done('config show --json', { columns: 80 })).stdout).not.toContain(escape)
    expect((await machine.run('sing', { watched: true })).stderr).toContain('\u001b[31merror')
  })

  test('is not filled over its edge by help or tables', async () => {
    using machine = new Machine()
    const { json } = await machine.done('completion bash --json')
    expect(json.script).toContain('complete -o filenames')
    const script = json.script as string
    const names = [...script.matchAll(/^ {6}'([a-z]+)'\) words/gm)].map(([, name = '']) => name)
    expect(names.length).toBeGreaterThan(15)
    for (const name of names) {
      const { stdout } = await machine.done(`help ${name}`)
      for (const line of stdout.split('\n')) {
        // An address of a peer is a word of its own length.
        if (!line.includes('/p2p/')) expect(line.length).toBeLessThanOrEqual(80)
      }
    }
  })

  test('is not filled over its edge by a row; what somebody may copy stands below as a whole', async () => {
    using machine = new Machine()
    const peer = '12D3KooWJSfkzjDYBhfPZ88TpwywK5PLVcLPpsyhrsb4Ldo6XWn2'
    await machine.done(`peer add nas /ip4/192.168.1.9/tcp/7430/p2p/${peer}`)
    const { stdout } = await machine.done('peer show nas', { watched: true, columns: 40 })
    expect(stdout).toContain(`peer\n  ${peer}\n`)
    const narrow = await machine.done('config show', { watched: true, columns: 40 })
    expect(narrow.stdout).toContain('…')
  })

  test('shows progress where somebody watches, on stderr alone', async () => {
    using machine = await new Machine().init()
    await machine.done('key create a/b')
    const stdin = new Uint8Array(9 * 1024 * 1024)
    const watched = await machine.done('sign a/b', { stdin, watched: true })
    expect(watched.stderr).toContain('hashing')
    expect(watched.stdout).toMatch(/^-----BEGIN SSH SIGNATURE-----/)
    expect((await machine.done('sign a/b', { stdin })).stderr).toBe('')
  })
})

describe('remote()', () => {
  test('escapes and cuts text of others', () => {
    expect(remote('a\u001b[2Jb\nc')).toBe('a\\u{1b}[2Jb⏎c')
    expect(remote('x'.repeat(500))).toHaveLength(120)
  })
})

describe('wrapped()', () => {
  test('keeps every word, and lines within the columns', () => {
    const text = 'one two three four five six seven eight nine ten'
    const lines = wrapped(text, 20, '  ').split('\n')
    expect(lines.every((line) => line.length <= 20)).toBe(true)
    expect(lines.join(' ').split(/\s+/)).toEqual(text.split(' '))
  })
})

describe('failureOf()', () => {
  test('splits a message of a package into sentence and cause, past colons in quotes', () => {
    const { message, reason } = failureOf(new SyntaxError('Cannot read "a: b": not one: really'))
    expect({ message, reason }).toEqual({
      message: 'cannot read "a: b"',
      reason: 'not one: really',
    })
  })

  test('escapes what a message carries', () => {
    expect(failureOf(new Error('Cannot\u001b[2J go')).message).not.toContain('\u001b')
  })

  test('anything thrown is a failure', () => {
    for (const thrown of [undefined, 'text', 7, { code: 'ENOENT' }]) {
      expect(failureOf(thrown)).toBeInstanceOf(Failure)
    }
  })
})

test('what an error names is quoted and escaped, each once, and cut', () => {
  expect(quoted('na\u001b[31mme "\\"\n')).toBe('"na\\u001b[31mme \\"\\\\\\"\\n"')
  expect(quoted('\u202eevil')).toBe('"\\u{202e}evil"')
  expect(quoted('x'.repeat(1000))).toBe(`"${'x'.repeat(63)}…"`)
})

test('a peer id is never cut: where its line is too narrow it stands below', async () => {
  using machine = new Machine()
  const peer = '12D3KooWGjmG2kLsxiSUyHx1XF6u4qAZnEZrKEp3K12yomBjSh5J'
  await machine.done(`peer add nas ${peer}`)
  expect((await machine.done('peer list', { columns: 40 })).stdout).toContain(`nas\n  ${peer}\n`)
})
