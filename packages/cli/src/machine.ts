/** The real machine, for `bin.ts`. The only file of this package that touches `process`. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { homedir } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { isatty, ReadStream } from 'node:tty'

import { systemClock } from '@stronghold/vault'

import type { Io, PersonalTerminal, Sink } from './io.ts'

/** This process. */
export function thisMachine(): Io {
  return {
    env: process.env,
    cwd: process.cwd(),
    userHome: homedir(),
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
  }
}

function sink(stream: NodeJS.WriteStream & { readonly fd: number }): Sink {
  let gone = false
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // Whoever read has had enough.
    if (error.code !== 'EPIPE') throw error
    gone = true
  })
  return {
    isTerminal: isatty(stream.fd),
    get columns() {
      return stream.isTTY ? stream.columns : undefined
    },
    write: (data) =>
      new Promise((resolve) => {
        if (gone) resolve()
        else {
          stream.write(data, () => {
            resolve()
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
    [Symbol.dispose]: () => {
      stream.setRawMode(false)
      stream.destroy()
      closeSync(file)
    },
  }
}
