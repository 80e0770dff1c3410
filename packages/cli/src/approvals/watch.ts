/**
 * Shows what waits for a person, as it happens: a live view where somebody sits in front, else one line for each event. It
 * carries out what `view.ts` decides, and draws what that makes; it decides nothing itself.
 */
import type { Decided, OwnerDoor, PendingApproval, UnlockBy } from '@stronghold/guard'
import { allApprovals } from '@stronghold/guard/owner'
import { approvalId } from '@stronghold/guard/proofs'
import { sealTo, Slab } from '@stronghold/vault'

import { printMoment } from '../duration.ts'
import { failureOf } from '../failure.ts'
import type { Io, KeyTerminal } from '../io.ts'
import { WATCH_FRAME_MS, WATCH_REFRESH_MS } from '../limits.ts'
import type { Terminal } from '../terminal.ts'
import { approvalJson } from './json.ts'
import { KeyReader, PASTE_OFF, PASTE_ON } from './keys.ts'
import { TypedSecret } from './typed-secret.ts'
import { begun, endedText, firstView, screenOf, stateText, update } from './view.ts'
import type { Decision, Step, ViewEffect, ViewEvent, ViewState } from './view.ts'
import { approvalLines, askOf, plainStyle } from './words.ts'

/** What is watched, and where it is shown. */
export interface WatchInit {
  /** Of the Stronghold that runs. An approver's is enough. */
  readonly owner: OwnerDoor
  readonly terminal: Terminal
  readonly io: Io
  /** Ends it, and puts the terminal back. */
  readonly signal: AbortSignal
  /** Prints a JSON line for each event, and takes no keys. Default false. */
  readonly json?: boolean
  /** Stands in the first line of the live view: whose requests these are. */
  readonly title?: string
  /** What ends the live view. Default `q`, and ^C in any case; `ctrl-c` where that ends more than the view. */
  readonly leaves?: 'q' | 'ctrl-c'
}

/** How it came to an end: the person left, the signal fired, or the door ended by itself. */
export type WatchEnd = 'left' | 'signal' | 'ended'

/** Another screen, without cursor, wrapping or pasted keys; and all of it back. */
const ENTER = `\u001b[?1049h\u001b[?25l\u001b[?7l${PASTE_ON}\u001b[2J`
const LEAVE = `${PASTE_OFF}\u001b[?7h\u001b[?25h\u001b[?1049l`
const SLAB_BYTES = 64 * 1024

/**
 * Watches until somebody leaves, the signal fires, or the door ends.
 *
 * @throws as the owner door does when it breaks; the terminal is put back before
 */
export async function watchApprovals(init: WatchInit): Promise<WatchEnd> {
  const { io, json = false } = init
  const isLive = !json && io.stdout.isTerminal && (io.env['TERM'] ?? '') !== 'dumb'
  if (isLive) {
    const live = new LiveView(init)
    const end = await live.run()
    if (end !== undefined) return end
  }
  return await printEvents(init)
}

// ---------------------------------------------------------------- lines

/** What waits, then what happens: an event a line, for people a few. */
async function printEvents({
  owner,
  terminal,
  io,
  signal,
  json = false,
}: WatchInit): Promise<WatchEnd> {
  const asks = new Map<string, PendingApproval>()
  const asked = async (approval: PendingApproval): Promise<void> => {
    if (asks.has(approval.id)) return
    asks.set(approval.id, approval)
    const nowMs = io.clock.nowMs()
    const lines = json ? [] : approvalLines(approval, plainStyle(terminal.columns), nowMs)
    await terminal.result(
      { event: 'asked', approval: approvalJson(approval) },
      [`asked  ${approval.id}`, ...lines, ''].join('\n'),
    )
  }
  // Listening begins before what stands is read: nothing falls between the two.
  const events = owner.watchApprovals({ signal })
  if (!(await owner.status()).locked) {
    for (const approval of await allApprovals(owner)) await asked(approval)
  }
  for await (const event of events) {
    if (event.type === 'asked') {
      await asked(event.approval)
      continue
    }
    const id = approvalId(event.boundHash)
    const before = asks.get(id)
    asks.delete(id)
    const about = before === undefined ? '' : `  ${before.peerName}: ${askOf(before)}`
    await terminal.result(
      { event: 'ended', id, state: event.state },
      `ended  ${id}${about}  ${stateText(event.state)}`,
    )
  }
  return signal.aborted ? 'signal' : 'ended'
}

// ---------------------------------------------------------------- the live view

class LiveView {
  readonly #init: WatchInit
  readonly #keys = new KeyReader()
  readonly #stop = new AbortController()
  #state: ViewState
  #screen: KeyTerminal | undefined
  #secret: { readonly typed: TypedSecret; readonly slab: Slab } | undefined
  #end: WatchEnd | undefined
  #error: unknown
  #stopFrame: (() => void) | undefined
  #stopTick: (() => void) | undefined
  #drawnAtMs = 0

  constructor(init: WatchInit) {
    this.#init = init
    const { title = '', leaves = 'q' } = init
    this.#state = firstView({ title, leaves, columns: 80, rows: 24 })
  }

  /** @returns how it ended; `undefined` where there is no terminal to take keys from */
  async run(): Promise<WatchEnd | undefined> {
    const { io, owner, signal } = this.#init
    const screen = io.openKeys({
      enter: ENTER,
      leave: LEAVE,
      onBytes: (bytes) => {
        this.#guarded(() => {
          this.#take(bytes)
        })
      },
      onResize: () => {
        this.#guarded(() => {
          this.#resize()
        })
      },
      onEnd: () => {
        this.#leave('signal')
      },
    })
    if (screen === undefined) return undefined
    const onAbort = (): void => {
      this.#leave('signal')
    }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    try {
      this.#screen = screen
      this.#resize()
      const events = owner.watchApprovals({ signal: this.#stop.signal })
      await this.#refresh({ anew: true })
      this.#tick()
      for await (const event of events) {
        if (event.type === 'asked') this.#feed({ type: 'asked', approval: event.approval })
        else this.#feed({ type: 'ended', id: approvalId(event.boundHash), state: event.state })
      }
    } catch (error) {
      this.#error ??= error
    } finally {
      this.#stop.abort()
      signal.removeEventListener('abort', onAbort)
      this.#stopFrame?.()
      this.#stopTick?.()
      this.#dropSecret()
      this.#screen = undefined
      screen[Symbol.dispose]()
    }
    await this.#sayWhatWasDecided()
    if (this.#error !== undefined && this.#end === undefined) throw failureOf(this.#error)
    return this.#end ?? 'ended'
  }

  /** What was decided here stays to be read when the view is gone. */
  async #sayWhatWasDecided(): Promise<void> {
    const here = this.#state.ended.filter(({ isHere }) => isHere).reverse()
    if (here.length > 0) await this.#init.io.stdout.write(`${here.map(endedText).join('\n')}\n`)
  }

  #leave(end: WatchEnd): void {
    this.#end ??= end
    this.#stop.abort()
  }

  /** What goes wrong in an event of the terminal's ends the view, which puts the terminal back. */
  #guarded(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#error ??= error
      this.#stop.abort()
    }
  }

  #resize(): void {
    const { columns = 80, rows = 24 } = this.#screen ?? {}
    this.#feed({ type: 'size', columns, rows })
  }

  #take(bytes: Uint8Array): void {
    if (this.#secret === undefined) {
      for (const key of this.#keys.read(bytes)) {
        // What was typed behind the key that asks for a passphrase belongs to nothing.
        if (this.#secret === undefined) this.#feed({ type: 'key', key })
      }
      return
    }
    const { typed } = this.#secret
    const { mode } = this.#state
    const state = typed.take(bytes)
    if (state === 'typing') return
    if (state === 'typed' && mode.kind === 'secret') {
      void this.#confirm(mode.decision)
      return
    }
    this.#dropSecret()
    this.#feed({ type: 'unsaid' })
  }

  #feed(event: ViewEvent): void {
    this.#apply(update(this.#state, event, this.#nowMs()))
  }

  #apply({ state, effects }: Step): void {
    this.#state = state
    const asksSecret = state.mode.kind === 'secret'
    if (asksSecret && this.#secret === undefined) {
      const slab = new Slab({ bytes: SLAB_BYTES })
      this.#secret = { slab, typed: new TypedSecret(slab) }
    } else if (!asksSecret) this.#dropSecret()
    for (const effect of effects) this.#do(effect)
    this.#draw()
  }

  #dropSecret(): void {
    const secret = this.#secret
    this.#secret = undefined
    secret?.typed[Symbol.dispose]()
    secret?.slab[Symbol.dispose]()
  }

  #do(effect: ViewEffect): void {
    switch (effect.do) {
      case 'leave':
        this.#leave('left')
        break
      case 'explain':
        void this.#explain(effect.approval)
        break
      case 'decide':
        void this.#decide(effect.decision)
    }
  }

  async #confirm(decision: Decision): Promise<void> {
    const secret = this.#secret
    if (secret === undefined) return
    try {
      const boxKey = await this.#init.owner.boxKey()
      const sealed = sealTo(boxKey, secret.typed.bytes)
      const { state } = begun(this.#state, decision)
      this.#apply({ state, effects: [] })
      await this.#decide(decision, { by: 'passphrase', passphrase: { sealed } })
    } catch (error) {
      this.#feed({ type: 'failed', message: sentenceOf(error) })
    }
  }

  async #decide(decision: Decision, proof?: UnlockBy): Promise<void> {
    const { approval, choice, forMs } = decision
    try {
      const [result] = await this.#init.owner.decide([approval.boundHash], choice, {
        ...(forMs === undefined ? {} : { forMs }),
        ...(proof === undefined ? {} : { proof }),
      })
      if (result !== undefined) {
        this.#feed({ type: 'decided', decision, said: saidOf(decision, result) })
      }
    } catch (error) {
      this.#feed({ type: 'failed', message: sentenceOf(error) })
      await this.#refresh({ anew: true }).catch(() => {})
    }
  }

  async #explain(approval: PendingApproval): Promise<void> {
    try {
      const text = await this.#init.owner.explainApproval(approval.boundHash)
      this.#feed({ type: 'explained', id: approval.id, text })
    } catch (error) {
      this.#feed({ type: 'failed', message: sentenceOf(error) })
    }
  }

  /**
   * Now and then what stands is looked at: nothing tells when a vault is locked. Prompts are long and somebody has to make
   * them, so they are read only where there are others, or more, than the view has.
   *
   * @param anew - they are others, whatever their number
   */
  async #refresh({ anew = false }: { anew?: boolean } = {}): Promise<void> {
    const { owner } = this.#init
    const { locked, confirms, pending } = await owner.status()
    const before = this.#state
    const isSame = !anew && !before.isLocked && pending === before.approvals.length
    const approvals = locked ? [] : isSame ? before.approvals : await allApprovals(owner)
    this.#feed({ type: 'standing', approvals, isLocked: locked, confirms })
  }

  /** Draws once a second while something counts down, and reads what stands now and then. */
  #tick(): void {
    let sinceRefreshMs = 0
    const tick = (): void => {
      this.#stopTick = this.#init.io.clock.setTimer(1000, () => {
        sinceRefreshMs += 1000
        if (this.#state.approvals.length > 0) this.#draw()
        if (sinceRefreshMs >= WATCH_REFRESH_MS) {
          sinceRefreshMs = 0
          void this.#refresh().then(tick, (error: unknown) => {
            this.#error ??= error
            this.#stop.abort()
          })
        } else tick()
      })
    }
    tick()
  }

  #nowMs(): number {
    return this.#init.io.clock.nowMs()
  }

  /** At once, but no more often than a screen can follow. */
  #draw(): void {
    if (this.#stopFrame !== undefined) return
    const waitMs = Math.max(this.#drawnAtMs + WATCH_FRAME_MS - this.#nowMs(), 0)
    if (waitMs === 0) {
      this.#drawNow()
      return
    }
    this.#stopFrame = this.#init.io.clock.setTimer(waitMs, () => {
      this.#stopFrame = undefined
      this.#drawNow()
    })
  }

  #drawNow(): void {
    if (this.#screen === undefined) return
    const nowMs = this.#nowMs()
    this.#drawnAtMs = nowMs
    const { terminal } = this.#init
    const lines = screenOf(this.#state, nowMs, {
      strong: (text) => terminal.strong(text),
      faint: (text) => terminal.faint(text),
      alarm: (text) => terminal.alarm(text),
    })
    // Erased before it is written: behind a line that fills the screen, its last character would go with the rest.
    this.#screen.show(`\u001b[H${lines.map((line) => `\u001b[K${line}`).join('\r\n')}\u001b[J`)
  }
}

function sentenceOf(error: unknown): string {
  const { message, reason } = failureOf(error)
  return reason === undefined ? message : `${message}: ${reason}`
}

/** What came of a decision, in words: the rules of that moment had their say, too. */
export function saidOf(
  { choice }: Pick<Decision, 'choice'>,
  { state, rememberedUntilMs }: Pick<Decided, 'state' | 'rememberedUntilMs'>,
): string {
  if (choice === 'deny') return 'denied here'
  if (choice === 'deny-and-block') return 'denied and blocked here'
  if (state === 'denied') return 'approved, but a rule denies it now'
  if (state === 'pending') return 'asked anew: a rule or the key has changed'
  const later = state === 'approved' ? '; it runs when its peer comes for it' : ''
  if (rememberedUntilMs !== undefined) {
    return `approved here until ${printMoment(rememberedUntilMs)}${later}`
  }
  return `approved here once${choice === 'time' ? ': no room to remember it' : ''}${later}`
}
