/**
 * The live view of what waits for a person, as a state machine and the screen that it makes: pure. A decision is about what
 * stood on the screen: nothing can be decided that has only just appeared, nor approved before all of it was shown.
 */
import type { Choice, PendingApproval } from '@stronghold/guard'
import { shortest } from '@stronghold/guard/proofs'

import { parseDuration } from '../duration.ts'
import { Failure } from '../failure.ts'
import {
  MAX_APPROVED_MS,
  MAX_WATCHED,
  MAX_WATCHED_ENDED,
  MIN_SHOWN_MS,
  NARROW_COLUMNS,
} from '../limits.ts'
import { columnsOf, cutTo, fold, padTo } from './fold.ts'
import type { Key } from './keys.ts'
import { approvalLines, askOf, clockTime } from './words.ts'
import type { Style } from './words.ts'

/** Longest length of time that is typed, in characters. */
const MAX_TYPED = 16
/** Fewest rows for what is asked, under the list. */
const LEAST_BODY = 6

/** Something that is no longer asked. */
export interface EndedOne {
  readonly atMs: number
  readonly peerName: string
  readonly ask: string
  /** In words. */
  readonly state: string
  /** Decided by whoever sits in front of this view. */
  readonly isHere: boolean
}

/** What keys mean just now. */
export type Mode =
  | { readonly kind: 'choose' }
  /** The rules about the chosen one, explained. */
  | { readonly kind: 'why'; readonly text: readonly string[] }
  | { readonly kind: 'time'; readonly typed: string }
  | { readonly kind: 'block' }
  /** The passphrase is typed, unseen; the keys go elsewhere. */
  | { readonly kind: 'secret'; readonly decision: Decision }
  /** A decision is under way. */
  | { readonly kind: 'busy'; readonly what: string }

/** What somebody decides. */
export interface Decision {
  readonly approval: PendingApproval
  readonly choice: Choice
  readonly forMs?: number
}

/** All there is to show. */
export interface ViewState {
  readonly title: string
  /** What ends the view: in the one of `up` not `q`, since it would end more than the view. */
  readonly leaves: 'q' | 'ctrl-c'
  readonly columns: number
  readonly rows: number
  /** In the order in which they were asked. */
  readonly approvals: readonly PendingApproval[]
  /** Id of the chosen one; `undefined` where none waits. */
  readonly chosen: string | undefined
  /** Since when the chosen one is on the screen. */
  readonly chosenAtMs: number
  /** First line of it that is shown. */
  readonly offset: number
  /** Its last line was shown. */
  readonly isSeen: boolean
  readonly mode: Mode
  /** Newest first. */
  readonly ended: readonly EndedOne[]
  readonly message: string
  /** What stands has been read. */
  readonly isKnown: boolean
  readonly isLocked: boolean
  /** Whoever approves shows the passphrase again. */
  readonly confirms: boolean
}

/** What happens. */
export type ViewEvent =
  | { readonly type: 'key'; readonly key: Key }
  | { readonly type: 'size'; readonly columns: number; readonly rows: number }
  /** Everything that waits, as it stands. */
  | {
      readonly type: 'standing'
      readonly approvals: readonly PendingApproval[]
      readonly isLocked: boolean
      readonly confirms: boolean
    }
  | { readonly type: 'asked'; readonly approval: PendingApproval }
  | { readonly type: 'ended'; readonly id: string; readonly state: string }
  | { readonly type: 'decided'; readonly decision: Decision; readonly said: string }
  | { readonly type: 'explained'; readonly id: string; readonly text: readonly string[] }
  | { readonly type: 'failed'; readonly message: string }
  /** The passphrase was not typed to its end. */
  | { readonly type: 'unsaid' }

/** What is to be done. */
export type ViewEffect =
  | { readonly do: 'decide'; readonly decision: Decision }
  | { readonly do: 'explain'; readonly approval: PendingApproval }
  | { readonly do: 'leave' }

/** A state and what is to be done now. */
export interface Step {
  readonly state: ViewState
  readonly effects: readonly ViewEffect[]
}

/** A view of nothing yet. */
export function firstView(
  init: Pick<ViewState, 'title' | 'leaves' | 'columns' | 'rows'>,
): ViewState {
  return {
    ...init,
    approvals: [],
    chosen: undefined,
    chosenAtMs: 0,
    offset: 0,
    isSeen: false,
    mode: { kind: 'choose' },
    ended: [],
    message: '',
    isKnown: false,
    isLocked: false,
    confirms: false,
  }
}

/** The one that keys are about. */
export function chosenOf({ approvals, chosen }: ViewState): PendingApproval | undefined {
  return approvals.find(({ id }) => id === chosen)
}

/** The state after an event. */
export function update(before: ViewState, event: ViewEvent, nowMs: number): Step {
  const { state, effects } = react(before, event, nowMs)
  const isShown = state.mode.kind === 'choose' && bodyOf(state, nowMs).below === 0
  const isSeen = state.isSeen || isShown
  return { state: isSeen === state.isSeen ? state : { ...state, isSeen }, effects }
}

function react(state: ViewState, event: ViewEvent, nowMs: number): Step {
  switch (event.type) {
    case 'key':
      return onKey(state, event.key, nowMs)
    case 'size':
      return still({ ...state, columns: event.columns, rows: event.rows, offset: 0 })
    case 'standing': {
      const { approvals, isLocked, confirms } = event
      const kept = approvals.slice(0, MAX_WATCHED)
      const known = { ...state, approvals: kept, isKnown: true, isLocked, confirms }
      return still(settled(known, nowMs))
    }
    case 'asked': {
      const others = state.approvals.filter(({ id }) => id !== event.approval.id)
      if (others.length >= MAX_WATCHED) return still(state)
      return still(settled({ ...state, approvals: [...others, event.approval] }, nowMs))
    }
    case 'ended':
      return still(endedBy(state, event.id, event.state, nowMs))
    case 'decided': {
      const { approval } = event.decision
      const said = one(approval, event.said, nowMs, true)
      const others = state.approvals.filter(({ id }) => id !== approval.id)
      const ended = [said, ...state.ended].slice(0, MAX_WATCHED_ENDED)
      const mode = { kind: 'choose' } as const
      return still(settled({ ...state, approvals: others, ended, mode, message: '' }, nowMs))
    }
    case 'explained':
      return state.chosen === event.id && state.mode.kind === 'choose'
        ? still({ ...state, mode: { kind: 'why', text: event.text } })
        : still(state)
    case 'failed':
      return still({ ...state, mode: { kind: 'choose' }, message: event.message })
    case 'unsaid':
      return still({ ...state, mode: { kind: 'choose' }, message: 'nothing was decided' })
  }
}

function still(state: ViewState): Step {
  return { state, effects: [] }
}

/** What is chosen is there; what was chosen anew has to be looked at first. */
function settled(state: ViewState, nowMs: number): ViewState {
  if (chosenOf(state) !== undefined) return state
  const [first] = state.approvals
  const next = first?.id
  // What was being typed was about another one.
  const mode = state.mode.kind === 'busy' ? state.mode : ({ kind: 'choose' } as const)
  return { ...state, chosen: next, chosenAtMs: nowMs, offset: 0, isSeen: false, mode }
}

function endedBy(state: ViewState, id: string, phase: string, nowMs: number): ViewState {
  const gone = state.approvals.find((approval) => approval.id === id)
  if (gone === undefined) return state
  // What is decided here is told by its own event.
  const isOurs = state.mode.kind === 'busy' && state.chosen === id
  const told = isOurs ? [] : [one(gone, stateText(phase), nowMs, false)]
  const approvals = state.approvals.filter((approval) => approval.id !== id)
  const ended = [...told, ...state.ended].slice(0, MAX_WATCHED_ENDED)
  return settled({ ...state, approvals, ended }, nowMs)
}

function one(approval: PendingApproval, state: string, atMs: number, isHere: boolean): EndedOne {
  return { atMs, peerName: approval.peerName, ask: askOf(approval), state, isHere }
}

/** Where a request is, in words. */
export function stateText(phase: string): string {
  const words: Readonly<Record<string, string>> = {
    pending: 'asked anew',
    approved: 'approved; it runs when its peer comes for it',
    executed: 'approved, done',
    noted: 'allowed by a rule now',
    denied: 'denied',
    expired: 'expired, nobody decided',
    canceled: 'taken back',
  }
  return words[phase] ?? phase
}

// ---------------------------------------------------------------- keys

function onKey(state: ViewState, key: Key, nowMs: number): Step {
  if (key === 'ctrl-c') return { state, effects: [{ do: 'leave' }] }
  const cleared = { ...state, message: '' }
  switch (state.mode.kind) {
    case 'busy':
    case 'secret':
      return still(state)
    case 'why':
      return key === 'q' && state.leaves === 'q'
        ? { state, effects: [{ do: 'leave' }] }
        : still({ ...cleared, mode: { kind: 'choose' } })
    case 'block':
      return key === 'b'
        ? decided(cleared, 'deny-and-block', nowMs)
        : still({ ...cleared, mode: { kind: 'choose' }, message: 'not blocked' })
    case 'time':
      return onTimeKey(cleared, state.mode.typed, key, nowMs)
    case 'choose':
      return onChoiceKey(cleared, key, nowMs)
  }
}

function onChoiceKey(state: ViewState, key: Key, nowMs: number): Step {
  const chosen = chosenOf(state)
  switch (key) {
    case 'q':
    case 'ctrl-d':
      return state.leaves === 'q' ? { state, effects: [{ do: 'leave' }] } : still(state)
    case 'up':
    case 'k':
      return still(moved(state, -1, nowMs))
    case 'down':
    case 'j':
      return still(moved(state, 1, nowMs))
    case 'space':
    case 'page-down':
      return still(scrolled(state, 1, nowMs))
    case 'page-up':
      return still(scrolled(state, -1, nowMs))
    case 'o':
      return decided(state, 'once', nowMs)
    case 'd':
      return decided(state, 'deny', nowMs)
    case 't':
      if (chosen?.grantable === false) {
        const message = 'this cannot be remembered for a time: [o]nce or [d]eny'
        return still({ ...state, message })
      }
      return chosen === undefined
        ? still(state)
        : still({ ...state, mode: { kind: 'time', typed: '' } })
    case 'b':
      return chosen === undefined ? still(state) : still({ ...state, mode: { kind: 'block' } })
    case '?':
      return chosen === undefined
        ? still(state)
        : { state, effects: [{ do: 'explain', approval: chosen }] }
    default:
      return still(state)
  }
}

function onTimeKey(state: ViewState, typed: string, key: Key, nowMs: number): Step {
  const to = (text: string): Step =>
    still({ ...state, mode: { kind: 'time', typed: text.slice(0, MAX_TYPED) } })
  if (key === 'escape') return still({ ...state, mode: { kind: 'choose' } })
  if (key === 'backspace') return to(typed.slice(0, -1))
  if (/^[0-9smhd]$/.test(key)) return to(typed + key)
  if (key !== 'enter') return still(state)
  try {
    const forMs = parseDuration(typed === '' ? USUAL_TIME : typed)
    if (forMs <= MAX_APPROVED_MS) return decided(state, 'time', nowMs, forMs)
    return still({ ...state, message: 'a day at most: 24h' })
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return still({ ...state, message: 'a time is like 30m, 1h or 8h' })
  }
}

/** What an empty answer means. */
const USUAL_TIME = '1h'

/** Decides about what is on the screen, if it has been there long enough to be read, and as a whole. */
function decided(state: ViewState, choice: Choice, nowMs: number, forMs?: number): Step {
  const approval = chosenOf(state)
  if (approval === undefined) return still(state)
  if (state.isLocked) return still({ ...state, message: 'the vault is locked: stronghold unlock' })
  if (nowMs - state.chosenAtMs < MIN_SHOWN_MS) {
    return still({ ...state, message: 'this has only just appeared: look, then press again' })
  }
  const approves = choice === 'once' || choice === 'time'
  if (approves && !state.isSeen) {
    const message = 'there is more of it below: space shows it'
    return still({ ...state, mode: { kind: 'choose' }, message })
  }
  const decision = { approval, choice, ...(forMs === undefined ? {} : { forMs }) }
  if (approves && state.confirms) return still({ ...state, mode: { kind: 'secret', decision } })
  return begun(state, decision)
}

/** A decision is carried out: what the loop calls once a passphrase was typed. */
export function begun(state: ViewState, decision: Decision): Step {
  const what = decision.choice.startsWith('deny') ? 'denying' : 'approving'
  return {
    state: { ...state, mode: { kind: 'busy', what } },
    effects: [{ do: 'decide', decision }],
  }
}

function moved(state: ViewState, by: number, nowMs: number): ViewState {
  const index = state.approvals.findIndex(({ id }) => id === state.chosen)
  const next = state.approvals[index + by]
  if (next === undefined) return state
  return { ...state, chosen: next.id, chosenAtMs: nowMs, offset: 0, isSeen: false }
}

function scrolled(state: ViewState, pages: number, nowMs: number): ViewState {
  const { room, below } = bodyOf(state, nowMs)
  if (pages > 0 && below === 0) return { ...state, offset: 0 }
  const by = Math.max(room - 1, 1) * pages
  const offset = Math.max(0, Math.min(state.offset + by, state.offset + Math.max(below, 0)))
  return { ...state, offset }
}

// ---------------------------------------------------------------- the screen

const PLAIN: Omit<Style, 'columns'> = {
  strong: (text) => text,
  faint: (text) => text,
  alarm: (text) => text,
}

/** The screen: `rows` lines at most, none longer than `columns`. */
export function screenOf(
  state: ViewState,
  nowMs: number,
  style: Omit<Style, 'columns'> = PLAIN,
): string[] {
  const { body, list, foot, head, below } = bodyOf(state, nowMs, style)
  const more =
    below > 0 ? [style.alarm(cutTo(`── ${below} more lines: space ──`, state.columns))] : []
  const lines = [...head, ...list, ...body, ...more]
  const room = state.rows - foot.length
  const filled = [...lines.slice(0, Math.max(room, 0)), ...blank(room - lines.length)]
  return [...filled, ...foot].slice(0, state.rows)
}

function blank(count: number): string[] {
  return Array.from({ length: Math.max(count, 0) }, () => '')
}

interface Body {
  readonly head: readonly string[]
  readonly list: readonly string[]
  readonly body: readonly string[]
  readonly foot: readonly string[]
  /** Lines that the body may take. */
  readonly room: number
  /** Lines of it that are still to be shown. */
  readonly below: number
}

function bodyOf(state: ViewState, nowMs: number, paint: Omit<Style, 'columns'> = PLAIN): Body {
  const { columns, rows } = state
  const style = { columns, ...paint }
  const head = [headOf(state, style)]
  const foot = footOf(state, style)
  const middle = Math.max(rows - head.length - foot.length, 1)
  const list = listOf(state, nowMs, style, Math.max(middle - LEAST_BODY, 0))
  const chosen = chosenOf(state)
  const whole =
    chosen === undefined
      ? idle(state, style)
      : state.mode.kind === 'why'
        ? state.mode.text.flatMap((text) => fold(text, columns))
        : ['', style.faint(cutTo(chosen.id, columns)), ...approvalLines(chosen, style, nowMs)]
  const all = Math.max(middle - list.length, 1)
  const offset = Math.min(state.offset, Math.max(whole.length - 1, 0))
  const isWhole = offset === 0 && whole.length <= all
  // One row is for saying that there is more.
  const room = isWhole ? all : Math.max(whole.length - offset <= all ? all : all - 1, 1)
  const body = whole.slice(offset, offset + room)
  // Where there is not even a row for it, nothing of it was seen.
  const isRoom = rows > head.length + foot.length + list.length
  const below = isRoom ? Math.max(whole.length - offset - body.length, 0) : whole.length
  return { head, list, body, foot, room, below }
}

function headOf({ approvals, title, isKnown, isLocked, columns }: ViewState, style: Style): string {
  const waits = !isKnown
    ? 'looking …'
    : isLocked
      ? 'locked: nothing can be decided'
      : approvals.length === 0
        ? 'nothing waits for a person'
        : `${approvals.length} wait${approvals.length === 1 ? 's' : ''} for a person`
  const rest = columns - columnsOf(waits) - 2
  const right = rest < 8 ? '' : cutTo(title, rest)
  const gap = ' '.repeat(Math.max(columns - columnsOf(waits) - columnsOf(right), 0))
  return `${isLocked ? style.alarm(waits) : style.strong(waits)}${gap}${style.faint(right)}`.trimEnd()
}

function idle({ isKnown, isLocked, columns }: ViewState, style: Style): string[] {
  if (!isKnown) return []
  const text = isLocked
    ? 'What waits is kept, and shown again after: stronghold unlock'
    : 'What others ask for appears here by itself.'
  return ['', ...fold(text, columns).map((line) => style.faint(line))]
}

/** All that waits, a line each, where it is more than one; a window of them where there is no room. */
function listOf(state: ViewState, nowMs: number, style: Style, room: number): string[] {
  const { approvals, chosen, columns } = state
  if (approvals.length < 2 || room < 1) return []
  const ids = approvals.map(({ id }) => id)
  const index = Math.max(ids.indexOf(chosen ?? ''), 0)
  const shown = Math.min(approvals.length, room, MAX_LISTED)
  const from = Math.max(0, Math.min(index - Math.floor(shown / 2), approvals.length - shown))
  const names = approvals.slice(from, from + shown)
  const widest = Math.min(Math.max(...names.map(({ peerName }) => columnsOf(peerName))), 16)
  return names.map((approval) => {
    const left = clockTime(approval.expiresAtMs - nowMs)
    const mark = approval.id === chosen ? '▸' : ' '
    const id = shortest(approval.id, ids)
    const front = `${mark} ${id}  ${padTo(cutTo(approval.peerName, widest), widest)}  `
    const middle = columns - columnsOf(front) - columnsOf(left) - 2
    const ask = middle < 4 ? '' : padTo(cutTo(askOf(approval), middle), middle)
    const line = cutTo(`${front}${ask}  ${left}`, columns)
    return approval.id === chosen ? style.strong(line) : line
  })
}

/** Most lines of the list. */
const MAX_LISTED = 8

function footOf(state: ViewState, style: Style): string[] {
  const { columns, rows, ended, message } = state
  const told = rows < 16 ? 1 : 3
  const log = ended.slice(0, told).map((one) => style.faint(cutTo(endedText(one), columns)))
  const keys = keysOf(state).flatMap((text) => fold(text, columns))
  const said = message === '' ? [] : fold(message, columns).map((line) => style.alarm(line))
  return ['', ...log.reverse(), ...said, ...keys.map((line) => style.strong(line))]
}

/** What became of one, in a line. */
export function endedText({ atMs, peerName, ask, state }: EndedOne): string {
  const time = new Date(atMs).toTimeString().slice(0, 8)
  return `${time}  ${peerName}: ${state} · ${ask}`
}

function keysOf(state: ViewState): string[] {
  const { mode, approvals, leaves } = state
  const chosen = chosenOf(state)
  const leave = leaves === 'q' ? 'q leaves' : '^C ends it'
  switch (mode.kind) {
    case 'busy':
      return [`${mode.what} …`]
    case 'why':
      return ['any key goes back']
    case 'block':
      return [
        `deny, and block ${chosen?.peerName ?? 'it'} with all it asked for? [b] again blocks, any other key does not`,
      ]
    case 'time': {
      const { typed } = mode
      const what = chosen === undefined ? '' : askOf(chosen)
      return [
        `allow ${chosen?.peerName ?? ''} ${what} for how long? ${typed === '' ? USUAL_TIME : typed}_`,
        'enter approves and remembers · esc goes back',
      ]
    }
    case 'secret':
      return ['passphrase (enter approves, ^C goes back): ']
    case 'choose':
      if (chosen === undefined) return [leave]
      return [
        ['[o]nce', ...(chosen.grantable ? ['[t]ime…'] : []), '[d]eny', '[b]lock', '[?] why'].join(
          state.columns < NARROW_COLUMNS ? ' ' : '  ',
        ),
        `${approvals.length > 1 ? '↑↓ choose · ' : ''}${state.offset > 0 ? 'space goes on · ' : ''}${leave}`,
      ]
  }
}
