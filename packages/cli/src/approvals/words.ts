/**
 * A pending request in words: who, what, why, which rule, how long. What comes from the peer stands behind a bar, so that no
 * text of its can look like a line of ours. Pure.
 */
import type { PendingApproval, Preview } from '@stronghold/guard'

import { remote } from '../terminal.ts'
import { columnsOf, fold } from './fold.ts'

/** How it is shown. */
export interface Style {
  readonly columns: number
  strong(text: string): string
  faint(text: string): string
  alarm(text: string): string
}

/** No colour, nothing strong. */
export function plainStyle(columns: number): Style {
  const same = (text: string): string => text
  return { columns, strong: same, faint: same, alarm: same }
}

/** Widest label: `who   `. */
const LABEL = 6
const INDENT = ' '.repeat(LABEL)
/** Widest name of a detail that has its value beside it. */
const MAX_NAME = 12
/** Longest text of a peer's that is shown whole. The guard cuts it sooner. */
const MAX_TEXT = 512

/** Time left as a clock shows it: `9:41`, `1:02:03`. */
export function clockTime(ms: number): string {
  const seconds = Math.max(Math.ceil(ms / 1000), 0)
  const [hours, minutes, rest] = [
    Math.floor(seconds / 3600),
    Math.floor(seconds / 60) % 60,
    seconds % 60,
  ]
  const two = (value: number): string => String(value).padStart(2, '0')
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`
}

/** What is asked for, in one line: `sign release/app as sshsig:file`. */
export function askOf({ steps }: PendingApproval): string {
  const [first] = steps
  if (first === undefined) return 'nothing'
  const more = steps.length === 1 ? '' : ` and ${steps.length - 1} more`
  return `${stepOf(first)}${more}${steps.some(({ blind }) => blind) ? ' (blind)' : ''}`
}

function stepOf({ procedure, records, format }: Preview): string {
  const paths = [...new Set(records.map(({ path }) => path))].join(', ')
  return `${procedure}${paths === '' ? '' : ` ${paths}`}${format === undefined ? '' : ` as ${format}`}`
}

/** What a person needs to see before deciding, in lines of at most so many columns. */
export function approvalLines(approval: PendingApproval, style: Style, nowMs: number): string[] {
  const { peerName, peer, connection, reason, rule, steps } = approval
  const width = Math.max(style.columns - LABEL, 8)
  const part = (label: string, lines: readonly string[]): string[] =>
    lines.map((line, index) =>
      index === 0
        ? `${style.strong(label)}${' '.repeat(LABEL - label.length)}${line}`
        : INDENT + line,
    )
  const theirs = (text: string, room = width): string[] =>
    fold(text, room - 2).map((line) => `${style.faint('│')} ${line}`)
  const who = [
    ...fold(peerName, width).map((line) => style.strong(line)),
    ...fold(peer, width),
    ...fold(`connected: ${remote(connection, MAX_TEXT)}`, width).map((line) => style.faint(line)),
  ]
  const what = steps.flatMap((step, index) => [
    ...(steps.length > 1 ? [style.faint(`step ${index + 1} of ${steps.length}`)] : []),
    ...stepLines(step, style, width, theirs),
  ])
  const why =
    reason === ''
      ? [style.faint(`${peerName} gave no reason`)]
      : [...theirs(remote(reason, MAX_TEXT)), ...claimed(peerName, style, width)]
  const says = rule.sentence === '' ? '' : `: ${rule.sentence}`
  return [
    ...part('who', who),
    ...part('what', what),
    ...part('why', why),
    ...part('rule', [
      ...fold(`${rule.id}${says}`, width),
      ...(rule.note === '' ? [] : fold(`note: ${rule.note}`, width)),
    ]),
    ...part('left', fold(leftOf(approval, nowMs), width)),
  ]
}

function claimed(peerName: string, style: Style, width: number): string[] {
  const text = `so says ${peerName}; nothing proves it`
  return fold(text, width).map((line) => style.faint(line))
}

function leftOf({ askedAtMs, expiresAtMs, grantable }: PendingApproval, nowMs: number): string {
  const whole = clockTime(expiresAtMs - askedAtMs)
  const left = nowMs >= expiresAtMs ? 'none' : clockTime(expiresAtMs - nowMs)
  return `${left} of ${whole}${grantable ? '' : ' · cannot be remembered for a time'}`
}

function stepLines(
  step: Preview,
  style: Style,
  width: number,
  theirs: (text: string, room?: number) => string[],
): string[] {
  const { records, format, blind, title, details } = step
  const roles = new Set(records.map(({ role }) => role))
  const uses = records.map(
    ({ role, path, version }) =>
      `${roles.size > 1 ? `${role}: ` : 'with '}${path}, version ${version}`,
  )
  const names = details.map(({ name }) => columnsOf(name))
  const beside = Math.min(Math.max(0, ...names), MAX_NAME)
  const lines = details.flatMap(({ name, value }) => {
    const text = remote(value, MAX_TEXT)
    const label = remote(name, MAX_NAME * 4)
    const room = width - beside - 2
    if (columnsOf(label) > beside || room < 20) {
      return [...fold(label, width).map((line) => style.faint(line)), ...theirs(text)]
    }
    return theirs(text, room).map(
      (line, index) => `${style.faint((index === 0 ? label : '').padEnd(beside))}  ${line}`,
    )
  })
  return [
    ...fold(remote(title, MAX_TEXT), width).map((line) => style.strong(line)),
    ...(blind
      ? fold('BLIND: nobody can tell from these bytes what would be signed', width).map((line) =>
          style.alarm(line),
        )
      : []),
    ...uses.flatMap((use) => fold(use, width)),
    ...(format === undefined ? [] : fold(`as ${format}`, width)),
    ...lines,
  ]
}
