/**
 * What the program sees of the machine: streams, environment, directory, clock, terminal. Everything comes in by this one
 * value, so that a test is a machine of its own. It knows no command.
 */
import type { Clock } from '@stronghold/vault'

/** Where results or messages go. */
export interface Sink {
  /** Is it a terminal. */
  readonly isTerminal: boolean
  /** Columns of the terminal; `undefined` where it is none or does not say. */
  readonly columns: number | undefined
  /** Resolves when there is room for more. */
  write(data: string | Uint8Array): Promise<void>
}

/** Where input comes from. */
export interface Source extends AsyncIterable<Uint8Array> {
  readonly isTerminal: boolean
  /** The descriptor, where secrets are read past the heap; `undefined` in tests that have none. */
  readonly descriptor: number | undefined
}

/** The terminal of the person in front of it, whatever stdin and stdout are. */
export interface PersonalTerminal extends Disposable {
  write(text: string): void
  /**
   * Reads one byte into a place, without it being shown. Blocks until there is one.
   *
   * @returns false at the end
   */
  readByte(into: Uint8Array, at: number): boolean
  /** Stops this program and whatever runs with it, as ^Z does; returns when they go on. */
  suspend(): void
}

/** How the terminal in front is watched. */
export interface KeysInit {
  /** Written at first, and `leave` when all is over: also where the process ends by an error. */
  readonly enter: string
  readonly leave: string
  /** What was typed, as it comes and unseen. The bytes are wiped when this returns. */
  onBytes(bytes: Uint8Array): void
  onResize(): void
  /** The terminal is gone. */
  onEnd(): void
}

/** The terminal in front while other things go on beside it: nothing here waits. Disposing puts it back as it was. */
export interface KeyTerminal extends Disposable {
  readonly columns: number
  readonly rows: number
  /** Shows a whole screen. One that comes before the last could be written takes the place of what waits. */
  show(frame: string): void
}

/** Another run of this program, which goes on when this one ends. */
export interface Background {
  readonly pid: number
  /** The first line that it printed; `undefined` where it ended without. */
  readonly first: Promise<string | undefined>
}

/** How another run is started. */
export interface BackgroundInit {
  readonly args: readonly string[]
  /** Where its stderr goes, at the end of what stands there. */
  readonly log: string
  /** Readable as descriptor 3. */
  readonly passphrase?: Uint8Array
}

/** The machine as the program sees it. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Absolute. */
  readonly cwd: string
  /** The home directory of the user, absolute. */
  readonly userHome: string
  readonly stdin: Source
  readonly stdout: Sink
  readonly stderr: Sink
  readonly clock: Clock
  /** What the clock's timers are not: keeps the process alive. */
  sleep(ms: number): Promise<void>
  /** `undefined` where nobody sits in front. */
  openTerminal(): PersonalTerminal | undefined
  /** The same, key by key and without waiting; `undefined` where nobody sits in front. */
  openKeys(init: KeysInit): KeyTerminal | undefined
  /** From now on until it is disposed of, whoever wants to end this process (^C, SIGTERM, SIGHUP) is only heard. */
  onEnding(listener: () => void): Disposable
  /** What starts this program once more: a file and its first arguments. */
  readonly self: readonly string[]
  /** Runs this program once more, in the background. */
  background(init: BackgroundInit): Background
}

/**
 * What comes of a promise within so many milliseconds, else nothing. Keeps no process alive by itself: whatever is waited
 * for does.
 */
export function within<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>()
  const stop = clock.setTimer(ms, () => {
    late.resolve(undefined)
  })
  return Promise.race([promise, late.promise]).finally(stop)
}

/** Waits so many milliseconds, or until the signal fires. Keeps no process alive by itself. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stop()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const stop = clock.setTimer(ms, done)
    if (signal.aborted) done()
    else signal.addEventListener('abort', done, { once: true })
  })
}
