/** The loop around the live view, over a door that a test holds. */
import type { OwnerDoor, PendingApproval, UnlockBy } from '@stronghold/guard'
import { manualClock } from '@stronghold/testkit'
import { SecretBox, Slab } from '@stronghold/vault'
import { describe, expect, test } from 'vitest'

import { watchApprovals } from '../../src/approvals/watch.ts'
import type { WatchEnd } from '../../src/approvals/watch.ts'
import type { Io, KeysInit } from '../../src/io.ts'
import { MIN_SHOWN_MS, WATCH_FRAME_MS, WATCH_REFRESH_MS } from '../../src/limits.ts'
import { Terminal } from '../../src/terminal.ts'
import { asked, ASKED_AT_MS } from './asked.ts'

type Event =
  | { readonly type: 'asked'; readonly approval: PendingApproval }
  | { readonly type: 'ended'; readonly boundHash: Uint8Array; readonly state: string }

/** A view over a door that says what a test says. */
class Watching implements Disposable {
  readonly clock = manualClock(ASKED_AT_MS)
  readonly decisions: Parameters<OwnerDoor['decide']>[] = []
  readonly frames: string[] = []
  readonly ended: Promise<WatchEnd>
  readonly slab = new Slab({ bytes: 32 * 1024 })
  readonly box = new SecretBox(this.slab)
  isPutBack = 0
  waiting: readonly PendingApproval[] = []
  locked = false
  confirms = false
  fails: Error | undefined
  reads = 0
  printed = ''
  readonly stop = new AbortController()
  readonly #events: Event[] = []
  #keys: KeysInit | undefined
  #wake: () => void = () => {}

  constructor(init: Partial<Pick<Watching, 'waiting' | 'confirms'>> = {}, env = {}) {
    Object.assign(this, init)
    const next = (): Event | undefined => this.#events.shift()
    const wakes = (wake: () => void): void => {
      this.#wake = wake
    }
    const failure = (): Error | undefined => this.fails
    const owner: OwnerDoor = Object.assign({} as OwnerDoor, {
      status: async () => ({
        locked: this.locked,
        confirms: this.confirms,
        pending: this.waiting.length,
      }),
      approvals: async () => {
        this.reads++
        return { approvals: this.waiting }
      },
      boxKey: async () => this.box.publicKey,
      explainApproval: async () => ['because of r2'],
      decide: async (...args: Parameters<OwnerDoor['decide']>) => {
        this.decisions.push(args)
        return [{ boundHash: args[0][0] ?? new Uint8Array(), state: 'executed' }]
      },
      async *watchApprovals({ signal }: { signal: AbortSignal }) {
        const gone = new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => {
            resolve()
          })
        })
        while (!signal.aborted) {
          const error = failure()
          if (error !== undefined) throw error
          const event = next()
          if (event === undefined) await Promise.race([new Promise<void>(wakes), gone])
          else yield event
        }
      },
    })
    const sink = {
      isTerminal: true,
      columns: 80,
      write: async (data: string | Uint8Array) => {
        this.printed += String(data)
      },
    }
    const io: Io = Object.assign({} as Io, {
      env,
      clock: this.clock,
      stdout: sink,
      stderr: sink,
      openKeys: (keys: KeysInit) => {
        this.#keys = keys
        return {
          columns: 80,
          rows: 24,
          show: (frame: string) => {
            this.frames.push(frame)
          },
          [Symbol.dispose]: () => {
            this.isPutBack++
          },
        }
      },
    })
    const terminal = new Terminal({ io, json: false })
    this.ended = watchApprovals({ owner, terminal, io, signal: this.stop.signal })
  }

  tell(...events: readonly Event[]): void {
    this.#events.push(...events)
    this.#wake()
  }

  break(error: Error): void {
    this.fails = error
    this.#wake()
  }

  type(keys: string): void {
    this.#keys?.onBytes(new TextEncoder().encode(keys))
  }

  async shows(text: string): Promise<void> {
    await expect
      .poll(() => {
        this.clock.advance(MIN_SHOWN_MS)
        return this.frames.at(-1)
      })
      .toContain(text)
  }

  [Symbol.dispose](): void {
    this.slab[Symbol.dispose]()
  }
}

describe('watchApprovals()', () => {
  test('seals the passphrase that is typed, and hands it to the door with the decision', async () => {
    using view = new Watching({ waiting: [asked(1)], confirms: true })
    await view.shows('sign text for file')
    view.type('o')
    await view.shows('passphrase (enter')
    view.type('wrong\u0015correct ')
    view.type('horse\r')
    await view.shows('approved here once')
    const proof: UnlockBy | undefined = view.decisions[0]?.[2]?.proof
    if (proof?.by !== 'passphrase') throw new Error('no passphrase')
    using secret = view.box.open(proof.passphrase.sealed)
    expect(new TextDecoder().decode(secret.bytes)).toBe('correct horse')
    expect(view.frames.join('')).not.toContain('horse')
    // Erasing behind a line that fills the screen would take its last character along.
    expect(view.frames.join('')).not.toMatch(/[^\nH]\u001b\[K/)
    view.type('q')
    expect(await view.ended).toBe('left')
    expect(view.printed).toContain('approved here once')
  })

  test('^C while the passphrase is typed decides nothing, and goes back', async () => {
    using view = new Watching({ waiting: [asked(1)], confirms: true })
    await view.shows('sign text for file')
    view.type('o')
    await view.shows('passphrase (enter')
    view.type('corr\u0003')
    await view.shows('nothing was decided')
    expect(view.decisions).toEqual([])
    view.type('\u0003')
    expect(await view.ended).toBe('left')
  })

  test('WATCH_FRAME_MS: a flood of events makes a screen now and then', async () => {
    using view = new Watching()
    await view.shows('nothing waits')
    const before = view.frames.length
    for (let n = 0; n < 200; n++) {
      view.tell(
        { type: 'asked', approval: asked(n) },
        { type: 'ended', boundHash: asked(n).boundHash, state: 'canceled' },
      )
    }
    view.tell({ type: 'asked', approval: asked(201) })
    await new Promise((resolve) => setImmediate(resolve))
    expect(view.frames.length - before).toBeLessThanOrEqual(1)
    view.clock.advance(WATCH_FRAME_MS)
    expect(view.frames.length - before).toBeLessThanOrEqual(2)
    expect(view.frames.at(-1)).toContain('1 waits for a person')
    view.stop.abort()
    expect(await view.ended).toBe('signal')
  })

  test('WATCH_REFRESH_MS: what nothing told of is seen so late', async () => {
    using view = new Watching({ waiting: [asked(1)] })
    await view.shows('1 waits')
    view.waiting = [asked(1), asked(2)]
    view.clock.advance(WATCH_REFRESH_MS)
    await view.shows('2 wait')
    // What the view has is not read again.
    view.clock.advance(WATCH_REFRESH_MS)
    await view.shows('2 wait')
    expect(view.reads).toBe(2)
    view.locked = true
    view.clock.advance(WATCH_REFRESH_MS)
    await view.shows('locked: nothing can be decided')
    view.type('o')
    await view.shows('locked')
    expect(view.decisions).toEqual([])
    view.stop.abort()
    await view.ended
  })

  test('puts the terminal back when the door breaks, when it ends, and when it is told to', async () => {
    using broken = new Watching()
    await broken.shows('nothing waits')
    broken.break(new Error('Cannot reach keeper: the connection broke'))
    await expect(broken.ended).rejects.toThrow('cannot reach keeper')
    using told = new Watching()
    told.stop.abort()
    expect(await told.ended).toBe('signal')
    expect([broken.isPutBack, told.isPutBack]).toEqual([1, 1])
  })

  test('draws nothing on a terminal that cannot move its cursor', async () => {
    using view = new Watching({ waiting: [asked(1)] }, { TERM: 'dumb' })
    await expect.poll(() => view.printed).toContain(`asked  ${asked(1).id}`)
    view.stop.abort()
    expect(await view.ended).toBe('signal')
    expect(view.printed).not.toContain('\u001b')
  })
})
