/** The real machine, for `bin.ts`. With `key-terminal.ts` the only file of this package that touches `process`. */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { isatty, ReadStream } from 'node:tty'

import { systemClock } from './clock.ts'
import type { Background, BackgroundInit, Io, PersonalTerminal, Sink } from './io.ts'
import { openKeys } from './key-terminal.ts'
import { homeOfUser } from './start.ts'

/** This process. */
export function thisMachine(): Io {
  return {
    env: process.env,
    cwd: process.cwd(),
    userHome: homeOfUser(process.env),
    stdin: {
      isTerminal: isatty(0),
      descriptor: 0,
      [Symbol.asyncIterator]: () =>
        process.stdin[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>,
    },
    stdout: sink(process.stdout),
    stderr: sink(process.stderr),
    clock: systemClock,
    sleep: (ms) => delay(ms),
    openTerminal,
    openKeys,
    onEnding,
    self: SELF,
    background,
  }
}

const SELF: readonly string[] = [process.execPath, ...process.execArgv, process.argv[1] ?? '']

function onEnding(listener: () => void): Disposable {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, listener)
  return {
    [Symbol.dispose]: () => {
      for (const signal of signals) process.off(signal, listener)
    },
  }
}

/** The same Node.js, flags and file; a session of its own, so that closing the terminal does not end it. */
function background({ args, log, passphrase }: BackgroundInit): Background {
  const errors = openSync(log, 'a', 0o600)
  const child = spawn(SELF[0] ?? '', [...SELF.slice(1), ...args], {
    detached: true,
    stdio: ['ignore', 'pipe', errors, 'pipe'],
  })
  closeSync(errors)
  const descriptor = child.stdio[3] as Writable
  // It may end before it has read.
  descriptor.on('error', () => {})
  // It stays open over there, which must not keep us.
  descriptor.end(passphrase, () => {
    descriptor.destroy()
  })
  const out = child.stdout as Readable
  const first = new Promise<string | undefined>((resolve) => {
    const lines = createInterface({ input: out })
    lines.once('line', (line) => {
      resolve(line)
      lines.close()
      out.destroy()
      child.unref()
    })
    lines.once('close', () => {
      resolve(undefined)
    })
    child.once('error', () => {
      resolve(undefined)
    })
  })
  return { pid: child.pid ?? 0, first }
}

/** A result that cannot be written is an error, but where whoever read has had enough. Remarks are lost without a word. */
function sink(stream: NodeJS.WriteStream & { readonly fd: number }): Sink {
  let gone = false
  stream.on('error', () => {
    gone = true
  })
  return {
    isTerminal: isatty(stream.fd),
    get columns() {
      return stream.isTTY ? stream.columns : undefined
    },
    write: (data) =>
      new Promise((resolve, reject) => {
        if (gone) resolve()
        else {
          stream.write(data, (error) => {
            const code = (error as NodeJS.ErrnoException | null | undefined)?.code
            if (code === undefined || code === 'EPIPE' || stream.fd !== 1) resolve()
            else reject(Object.assign(error as Error, { path: 'stdout' }))
          })
        }
      }),
  }
}

function openTerminal(): PersonalTerminal | undefined {
  let file: number
  try {
    file = openSync('/dev/tty', 'r+')
  } catch {
    return undefined
  }
  // Raw mode belongs to the terminal: it holds for our own descriptor, and Node.js puts it back when the process ends.
  const stream = new ReadStream(openSync('/dev/tty', 'r'))
  stream.setRawMode(true)
  return {
    write: (text) => {
      writeSync(file, text)
    },
    readByte: (into, at) => readSync(file, into, at, 1, null) === 1,
    suspend: () => {
      stream.setRawMode(false)
      process.kill(0, 'SIGTSTP')
      stream.setRawMode(true)
    },
    [Symbol.dispose]: () => {
      stream.setRawMode(false)
      stream.destroy()
      closeSync(file)
    },
  }
}
