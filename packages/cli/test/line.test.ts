/** Command lines: what they mean, and what is said about those that mean nothing. */
import { describe, expect, test } from 'vitest'
import fc from 'fast-check'

import { allCommands, commandsOf } from '../src/commands/table.ts'
import { arity, optionsOf } from '../src/command.ts'
import { Failure } from '../src/failure.ts'
import { readLine } from '../src/line.ts'

const COMMANDS = await allCommands()

const read = (line: string): ReturnType<typeof readLine> =>
  readLine(line.split(' ').filter(Boolean), COMMANDS)
const refused = (line: string): { reason: string | undefined; hint: string | undefined } => {
  try {
    read(line)
  } catch (error) {
    if (error instanceof Failure) return { reason: error.reason, hint: error.hint }
  }
  throw new Error(`${line} was read`)
}

describe('readLine()', () => {
  test('finds noun and verb wherever options stand', () => {
    for (const line of [
      'key create a/b --type p256',
      '--home x key create a/b --type=p256',
      '--key-file k key create --type p256 -- a/b',
    ]) {
      expect(read(line)).toMatchObject({
        kind: 'run',
        command: { name: 'key create' },
        operands: ['a/b'],
        options: { type: 'p256' },
      })
    }
  })

  test('operands behind -- are operands', () => {
    expect(read('store get -- --odd')).toMatchObject({ operands: ['--odd'] })
  })

  test('suggests the command, the verb, the option and the value that were meant', () => {
    expect(refused('sing a/b').hint).toBe('stronghold sign')
    expect(refused('key crate a/b').hint).toBe('stronghold key create')
    expect(refused('sign a/b --inn x').hint).toBe('stronghold sign --in')
    expect(refused('sign a/b --format sshsg').hint).toBe('stronghold sign --format sshsig')
    expect(refused('xyzzy').hint).toBe('stronghold --help')
  })

  test('names what is missing and what is too much', () => {
    expect(refused('key create').reason).toBe('PATH is missing')
    expect(refused('key list a b').reason).toBe('it does not know what to do with "b"')
    expect(refused('sign a/b --in').reason).toBe('--in needs a value: FILE')
    expect(refused('key list --json=x').reason).toBe('--json takes no value')
  })

  test('help is asked for in four ways', () => {
    for (const line of ['', '--help', 'help', '-h', '--home x --help', '--home=x', '--json']) {
      expect(read(line)).toMatchObject({ kind: 'help', command: undefined })
    }
    for (const line of ['sign --help', 'help sign', 'sign -h', 'sign a/b --help']) {
      expect(read(line)).toMatchObject({ kind: 'help', command: { name: 'sign' } })
    }
    for (const line of ['key', 'help key', 'key --help']) {
      expect(read(line)).toMatchObject({ kind: 'help', noun: 'key' })
    }
  })

  test('junk is read or refused, never anything else', () => {
    const words = fc.oneof(
      fc.string(),
      fc.constantFrom('key', 'create', 'sign', '--in', '--', '-', '--home', '--json', '-h', '-x'),
    )
    fc.assert(
      fc.property(fc.array(words, { maxLength: 6 }), (args) => {
        try {
          readLine(args, COMMANDS)
        } catch (error) {
          expect(error).toBeInstanceOf(Failure)
        }
      }),
    )
  })
})

describe('the table of commands', () => {
  test('holds each name once, and no verb that is a command with operands', () => {
    const names = COMMANDS.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
  })

  test('is read in part where the first word names a command, and as a whole where it does not', async () => {
    for (const word of new Set(COMMANDS.map(({ name }) => name.split(' ')[0] ?? ''))) {
      const few = await commandsOf(word)
      const those = COMMANDS.filter(({ name }) => name.split(' ')[0] === word)
      expect(few).toEqual(expect.arrayContaining(those))
      expect(few.length).toBeLessThan(COMMANDS.length / 4)
    }
    expect(await commandsOf('sing')).toEqual(COMMANDS)
    expect(await commandsOf(undefined)).toEqual(COMMANDS)
  })

  test('every example is a command line that is read, but for what a shell adds', () => {
    for (const { examples } of COMMANDS) {
      for (const [line] of examples) {
        const own = /stronghold ([^|>)<]+)/.exec(line)?.[1] ?? ''
        const words = [...own.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
          ([, a, b, c]) => a ?? b ?? c ?? '',
        )
        expect(readLine(words, COMMANDS).kind).toBe('run')
      }
    }
  })

  test('every command says what it prints as JSON', () => {
    for (const { name, prints } of COMMANDS)
      expect({ name, prints: prints !== undefined }).toEqual({ name, prints: true })
  })

  test('no option stands for two things, and switches have no choices', () => {
    for (const command of COMMANDS) {
      for (const [name, { value, choices }] of Object.entries(optionsOf(command))) {
        expect(name).toMatch(/^[a-z][a-z-]*$/)
        if (value === undefined) expect(choices).toBeUndefined()
      }
      expect(arity(command.operands).least).toBeLessThanOrEqual(arity(command.operands).most)
    }
  })
})
