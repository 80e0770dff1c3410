/**
 * The terminal in front, key by key, while a program goes on beside it: nothing here blocks, neither a person who types
 * nothing nor a terminal that takes nothing. With `machine.ts` the only file of this package that touches `process`. It knows
 * no key and no screen.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { ReadStream } from 'node:tty'

import type { KeysInit, KeyTerminal } from './io.ts'

/** How soon a terminal that takes nothing is asked again, in milliseconds. */
const RETRY_MS = 50
/** How often, and how soon after another, a terminal is offered what puts it back. Then it is left as it is. */
const LAST_TRIES = 20
const LAST_RETRY_MS = 10
const KEY_BYTES = 256
const USUAL = { columns: 80, rows: 24 }

/** Opens it in raw mode: ^C is a key there. `undefined` where there is none. */
export function openKeys(init: KeysInit): KeyTerminal | undefined {
  let file: number
  let input: number
  try {
    input = openSync('/dev/tty', 'r')
  } catch {
    return undefined
  }
  try {
    file = openSync('/dev/tty', constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    closeSync(input)
    return undefined
  }
  const screen = new Screen(file)
  // Keys go past the heap, where they would stay: a passphrase may be among them.
  const buffer = new Uint8Array(KEY_BYTES)
  const onread = {
    buffer,
    callback: (count: number, read: Uint8Array): boolean => {
      try {
        init.onBytes(read.subarray(0, count))
      } finally {
        read.fill(0)
      }
      return true
    },
  }
  const keys = new ReadStream(input, { onread })
  const gone = (): void => {
    init.onEnd()
  }
  const resized = (): void => {
    init.onResize()
  }
  const leave = (): void => {
    screen.end(init.leave)
  }
  keys.on('error', gone)
  keys.on('end', gone)
  keys.setRawMode(true)
  keys.resume()
  process.on('SIGWINCH', resized)
  // Whatever ends this process: Node.js takes raw mode back then, and this the screen.
  process.once('exit', leave)
  screen.show(init.enter)
  let isOpen = true
  return {
    get columns() {
      return sizeOf().columns
    },
    get rows() {
      return sizeOf().rows
    },
    show: (frame) => {
      screen.show(frame)
    },
    [Symbol.dispose]: () => {
      if (!isOpen) return
      isOpen = false
      process.off('SIGWINCH', resized)
      process.off('exit', leave)
      leave()
      closeSync(file)
      keys.off('end', gone)
      // Where the terminal is gone there is no mode to take back.
      if (!keys.destroyed) keys.setRawMode(false)
      keys.destroy()
    },
  }
}

/** Those of stdout or stderr, which hear of changes by themselves. */
function sizeOf(): { columns: number; rows: number } {
  const stream = [process.stdout, process.stderr].find(({ isTTY }) => isTTY)
  return {
    columns: (stream?.columns ?? 0) || USUAL.columns,
    rows: (stream?.rows ?? 0) || USUAL.rows,
  }
}

/** Writes whole frames. What a slow terminal does not take waits, and a newer frame takes the place of one that waits. */
class Screen {
  readonly #file: number
  #writing: Uint8Array = new Uint8Array()
  #next: string | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(file: number) {
    this.#file = file
  }

  show(frame: string): void {
    this.#next = frame
    if (this.#timer === undefined) this.#write()
  }

  /** What was begun is not left half: a terminal in the middle of a sequence would swallow what comes. */
  end(text: string): void {
    this.#next = text
    for (let tries = 0; tries < LAST_TRIES; tries++) {
      clearTimeout(this.#timer)
      this.#write()
      if (this.#writing.byteLength === 0) return
      // The process may be on its way out: there is no later.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LAST_RETRY_MS)
    }
    clearTimeout(this.#timer)
  }

  #write(): void {
    this.#timer = undefined
    try {
      for (;;) {
        if (this.#writing.byteLength === 0) {
          if (this.#next === undefined) return
          this.#writing = new TextEncoder().encode(this.#next)
          this.#next = undefined
        }
        this.#writing = this.#writing.subarray(writeSync(this.#file, this.#writing))
      }
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      // Anything but "not now" means that the terminal is gone; whoever reads its keys hears of that.
      if (code !== 'EAGAIN') {
        this.#writing = new Uint8Array()
        return
      }
      this.#timer = setTimeout(() => {
        this.#write()
      }, RETRY_MS)
    }
  }
}
