/** Completion, as the shells themselves do it. */
import { spawnSync } from 'node:child_process'

import { describe, expect, test } from 'vitest'

import { allCommands } from '../src/commands/table.ts'
import { completionScript, SHELLS } from '../src/completion.ts'
import { Machine } from './machine.ts'

const COMMANDS = await allCommands()

/** What bash offers behind these words. */
function offered(...words: string[]): string[] {
  const typed = words.map((word) => `'${word}'`).join(' ')
  const { stdout, stderr, status } = spawnSync('bash', ['--norc', '-s'], {
    cwd: '/',
    encoding: 'utf8',
    input: `${completionScript('bash', COMMANDS)}
COMP_WORDS=(stronghold ${typed}); COMP_CWORD=${words.length}
_stronghold; printf '%s\\n' "\${COMPREPLY[@]}"\n`,
  })
  if (status !== 0) throw new Error(stderr)
  expect(stderr).toBe('')
  return stdout.split('\n').filter((word) => word !== '')
}

describe('completion bash', () => {
  test('offers nouns, then verbs, then options and their values', () => {
    expect(offered('ke')).toEqual(['key'])
    expect(offered('key', 'r')).toEqual(['rotate', 'revoke'])
    expect(offered('--home', 'x', 'key', 'cr')).toEqual(['create'])
    expect(offered('sign', '--na')).toEqual(['--namespace'])
    expect(offered('rule', 'add', '--eff')).toEqual(['--effect'])
    expect(offered('rule', 'add', '--effect', 'a')).toEqual(['allow', 'ask'])
    expect(offered('key', 'create', 'a/b', '--type', 'p')).toEqual(['p256', 'p384'])
  })

  test('offers every command', () => {
    const nouns = new Set(COMMANDS.map(({ name }) => name.split(' ')[0] ?? ''))
    expect(new Set(offered(''))).toEqual(new Set([...nouns, '--help']))
  })
})

describe('completion', () => {
  test('knows bash, zsh and fish, and says so to others', async () => {
    using machine = new Machine()
    for (const shell of SHELLS) {
      expect((await machine.done(`completion ${shell}`)).stdout).toContain('stronghold')
    }
    const { exit, stderr } = await machine.run('completion tcsh')
    expect(exit).toBe(2)
    expect(stderr).toContain('it knows bash, fish, zsh')
  })

  test('of fish names each option of each command once', () => {
    const lines = completionScript('fish', COMMANDS).split('\n')
    expect(new Set(lines).size).toBe(lines.length)
    expect(lines.filter((line) => line.includes('-l effect ')).length).toBeGreaterThan(0)
  })
})
