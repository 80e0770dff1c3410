/** The real binary: descriptors, exit codes, what others see of it in `ps`. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { SOURCE_ENV } from './stronghold.ts'

const BINARY = fileURLToPath(new URL('../bin/stronghold.js', import.meta.url))
const PASSPHRASE = 'correct horse battery staple'

let folder: string
let env: NodeJS.ProcessEnv
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'stronghold-process-'))
  writeFileSync(join(folder, 'pass'), `${PASSPHRASE}\n`, { mode: 0o600 })
  env = { ...SOURCE_ENV, STRONGHOLD_HOME: join(folder, 'home') }
})
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

describe('stronghold', () => {
  test(
    'takes a passphrase by descriptor, signs, and ssh-keygen accepts it',
    { timeout: 60_000 },
    () => {
      const run = (
        args: string[],
        input = '',
      ): { status: number | null; out: string; err: string } => {
        const descriptor = openSync(join(folder, 'pass'), 'r')
        const { status, stdout, stderr } = spawnSync(
          process.execPath,
          [BINARY, ...args, '--passphrase-fd', '3'],
          {
            cwd: folder,
            env,
            input,
            encoding: 'utf8',
            stdio: ['pipe', 'pipe', 'pipe', descriptor],
          },
        )
        return { status, out: stdout, err: stderr }
      }
      expect(run(['init'])).toMatchObject({ status: 0, err: '' })
      expect(run(['key', 'create', 'release/app'])).toEqual({
        status: 0,
        out: 'release/app  ed25519  version 1  egress public  sync no\n',
        err: '',
      })
      const { out: signature } = run(['sign', 'release/app'], 'release 2.4.0')
      writeFileSync(join(folder, 'sig'), signature)
      const signers = run(['pub', 'release/app', '--format', 'allowed-signers']).out
      writeFileSync(join(folder, 'signers'), signers)
      const told = execFileSync(
        'ssh-keygen',
        '-Y verify -f signers -I release/app -n file -s sig'.split(' '),
        { cwd: folder, input: 'release 2.4.0', encoding: 'utf8' },
      )
      expect(told).toContain('Good "file" signature')
      expect(run(['sing'])).toMatchObject({ status: 2, out: '' })
    },
  )

  test(
    'without terminal and passphrase it ends with 7; ps shows no secret',
    { timeout: 60_000 },
    async () => {
      const args = ['sign', 'release/app', '--passphrase-file', 'pass']
      // Its stdin stays open, so that it can be looked at while it runs.
      const child = spawn(process.execPath, [BINARY, ...args], { cwd: folder, env, stdio: 'pipe' })
      const ended = new Promise<number | null>((resolve) => child.on('exit', resolve))
      await new Promise((resolve) => child.on('spawn', resolve))
      const shown = execFileSync('ps', ['-ww', '-o', 'args=', '-p', String(child.pid)], {
        encoding: 'utf8',
      })
      expect(shown).toContain('release/app')
      expect(shown).not.toContain('horse')
      if (process.platform === 'linux') {
        const told = (name: string): string => readFileSync(`/proc/${child.pid}/${name}`, 'latin1')
        expect(told('environ')).not.toContain('horse')
        // A crash writes no file; and where one is taken by a program of the system's, no memory is in it.
        await expect.poll(() => told('limits')).toMatch(/^Max core file size +0 +0 /m)
        await expect.poll(() => told('coredump_filter')).toBe('00000000\n')
      }
      child.stdin.end('x')
      expect(await ended).toBe(0)
      const { status, stdout, stderr } = spawnSync(
        'setsid',
        ['-w', process.execPath, BINARY, 'key', 'list'],
        {
          cwd: folder,
          env,
          input: '',
          encoding: 'utf8',
        },
      )
      expect({ status, stdout }).toEqual({ status: 7, stdout: '' })
      expect(stderr).toContain('there is no terminal to ask on')
    },
  )

  test.runIf(existsSync('/dev/full'))(
    'a result that cannot be written is an error, with one sentence and no trace of the program',
    { timeout: 60_000 },
    () => {
      const full = openSync('/dev/full', 'w')
      const { status, stderr } = spawnSync(process.execPath, [BINARY, 'version'], {
        env,
        encoding: 'utf8',
        stdio: ['ignore', full, 'pipe'],
      })
      closeSync(full)
      expect(stderr).toBe(
        'stronghold: error: cannot use "stdout": the disk is full\nstronghold: hint: make room on the disk: df -h\n',
      )
      expect(status).toBe(13)
    },
  )
})
