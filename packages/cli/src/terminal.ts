/**
 * What goes where: results to stdout, everything else to stderr. Colour only where a terminal reads it, bytes never onto
 * one, text of others escaped and cut. It knows no command.
 */
import { escapeRemote } from '@stronghold/core'

import { failureLine, Failure } from './failure.ts'
import type { Io, Sink } from './io.ts'

/** Longest text of somebody else that is shown, in characters. A longer one is cut. */
const MAX_REMOTE = 120
/** Columns where the terminal does not say. */
const USUAL_COLUMNS = 80
/** Fewest columns that are believed: some terminals say 0. */
const LEAST_COLUMNS = 20

/** How a run prints. */
export interface TerminalInit {
  readonly io: Pick<Io, 'env' | 'stdout' | 'stderr'>
  /** One JSON value per result, without colour. */
  readonly json: boolean
}

/** Where one run of the program prints. */
export class Terminal {
  readonly #io: TerminalInit['io']
  readonly #json: boolean
  #showsProgress = false

  constructor({ io, json }: TerminalInit) {
    this.#io = io
    this.#json = json
  }

  /** Columns to fill: those of the terminal, else 80. */
  get columns(): number {
    const { columns = 0 } = this.#io.stdout
    return columns < LEAST_COLUMNS ? USUAL_COLUMNS : columns
  }

  /** A result: with `--json` the one, `v` in front, else the other. Lines end by themselves. */
  async result(json: Readonly<Record<string, unknown>>, text: string): Promise<void> {
    if (this.#json) await this.#io.stdout.write(`${JSON.stringify({ v: 1, ...json })}\n`)
    else if (text !== '') await this.#io.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
  }

  /** A line of a story that is no result: nothing with `--json`. */
  async say(text: string): Promise<void> {
    if (!this.#json) await this.#io.stdout.write(`${text}\n`)
  }

  /** Text cut to what a terminal has room for behind an indent; elsewhere whole. */
  fits(text: string, indent = 0): string {
    return this.#io.stdout.isTerminal ? cut(text, this.columns - indent) : text
  }

  /** Bytes that are the result. @throws `Failure` `usage` where a terminal would show them */
  async bytes(bytes: Uint8Array): Promise<void> {
    if (this.#io.stdout.isTerminal && !isText(bytes)) {
      throw new Failure('usage', 'cannot print the result', {
        reason: 'it is binary, and stdout is a terminal',
        hint: 'name a file by --out FILE, or send it through a pipe',
      })
    }
    await this.#io.stdout.write(bytes)
  }

  /** A remark beside the result. */
  async note(text: string): Promise<void> {
    this.endProgress()
    await this.#io.stderr.write(`stronghold: ${text}\n`)
  }

  /** How far something long has come; one line that is written over, and nothing where nobody watches. */
  async progress(text: string): Promise<void> {
    if (!this.#io.stderr.isTerminal) return
    this.#showsProgress = true
    await this.#io.stderr.write(`\r\u001b[K${text.slice(0, this.columns - 1)}`)
  }

  /** Takes the line of progress away. */
  endProgress(): void {
    if (!this.#showsProgress) return
    this.#showsProgress = false
    void this.#io.stderr.write('\r\u001b[K')
  }

  /** A failure: on stderr for people, on stdout for programs. */
  async failure(failure: Failure): Promise<void> {
    this.endProgress()
    if (this.#json) {
      await this.#io.stdout.write(`${failureLine(failure)}\n`)
      return
    }
    const { message, reason, hint } = failure
    const name = this.#paint(this.#io.stderr, '31', 'error')
    const why = reason === undefined ? '' : `: ${reason}`
    await this.#io.stderr.write(`stronghold: ${name}: ${message}${why}\n`)
    if (hint !== undefined) await this.#io.stderr.write(`stronghold: hint: ${hint}\n`)
  }

  /** Text that stands out, where stdout shows it. */
  strong(text: string): string {
    return this.#paint(this.#io.stdout, '1', text)
  }

  /** Text that warns. It says so in words, too. */
  alarm(text: string): string {
    return this.#paint(this.#io.stdout, '1;31', text)
  }

  /** Text that steps back. */
  faint(text: string): string {
    return this.#paint(this.#io.stdout, '2', text)
  }

  /**
   * Rows in columns, two spaces between them. On a terminal a row is cut where the line ends, but for a last cell that is one
   * word, an address or a path, which somebody may copy: it stands below as a whole. Elsewhere nothing is cut.
   */
  table(rows: readonly (readonly string[])[], header?: readonly string[]): string {
    const all = header === undefined ? rows : [header, ...rows]
    const widths = (all[0] ?? []).map((_, column) =>
      Math.max(...all.map((row) => width(row[column] ?? ''))),
    )
    const lines = all.map((row, index) => {
      const cells = row.map((cell, column) =>
        column === row.length - 1 ? cell : pad(cell, widths[column] ?? 0),
      )
      return header !== undefined && index === 0
        ? this.faint(this.#fitted(cells))
        : this.#fitted(filled(cells), filled(cells).at(-1)?.trimEnd())
    })
    return lines.join('\n')
  }

  /** A row as it is shown where it is longer than the screen. A last cell that is one word takes a line of its own. */
  #fitted(cells: readonly string[], last = ''): string {
    const line = cells.join('  ').trimEnd()
    if (!this.#io.stdout.isTerminal || width(line) <= this.columns) return line
    if (cells.length < 2 || !/^\S+$/.test(last)) return cut(line, this.columns)
    return `${cut(cells.slice(0, -1).join('  ').trimEnd(), this.columns)}\n  ${last}`
  }

  #paint(sink: Sink, code: string, text: string): string {
    const { env } = this.#io
    const isPlain = (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb'
    return this.#json || isPlain || !sink.isTerminal ? text : `\u001b[${code}m${text}\u001b[0m`
  }
}

/** Text of somebody else: one line, nothing in it moves the cursor, cut. */
export function remote(text: string, most: number = MAX_REMOTE): string {
  return escapeRemote(text, most)
}

/** Words in lines of at most so many columns, each after the first with an indent. */
export function wrapped(text: string, columns: number, indent = ''): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const room = columns - (lines.length === 0 ? 0 : indent.length)
    if (line !== '' && width(line) + 1 + width(word) > Math.max(room, 1)) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  lines.push(line)
  return lines.map((one, index) => (index === 0 ? one : indent + one)).join('\n')
}

/** Cells up to the last that holds anything. */
function filled(cells: readonly string[]): readonly string[] {
  return cells.slice(0, cells.findLastIndex((cell) => cell.trim() !== '') + 1)
}

function width(text: string): number {
  return Array.from(text).length
}

function pad(text: string, to: number): string {
  return text + ' '.repeat(Math.max(to - width(text), 0))
}

function cut(text: string, to: number): string {
  const characters = Array.from(text)
  return characters.length <= to ? text : `${characters.slice(0, to - 1).join('')}…`
}

/** Can a terminal show it: UTF-8 without control characters but line ends and tabs. */
function isText(bytes: Uint8Array): boolean {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return false
  }
  return !Array.from(text).some(
    (character) => /\p{Cc}/u.test(character) && !'\n\r\t'.includes(character),
  )
}
