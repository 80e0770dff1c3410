/**
 * Text in lines of a terminal. Columns are counted so that a line is never longer than it says: what may take two columns
 * counts as two. Pure.
 */

/** Columns that a text takes at most. */
export function columnsOf(text: string): number {
  let columns = 0
  for (const character of text) columns += columnsOfOne(character)
  return columns
}

function columnsOfOne(character: string): number {
  const point = character.codePointAt(0) ?? 0
  if (point < 0x1100) return 1
  // Hangul, most symbols that come as pictures, all of CJK and everything beyond the basic plane.
  const isWide =
    point < 0x1200 ||
    (point >= 0x2300 && point < 0x2400 && character !== '⏎') ||
    (point >= 0x25aa && point < 0x2800 && !'▸│'.includes(character)) ||
    point >= 0x2900
  return isWide ? 2 : 1
}

/** The text, cut to so many columns, with `…` where something is left out. */
export function cutTo(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text
  let shown = ''
  let left = columns - 1
  for (const character of text) {
    left -= columnsOfOne(character)
    if (left < 0) break
    shown += character
  }
  return `${shown}…`
}

/** The text, filled with spaces to so many columns. */
export function padTo(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(columns - columnsOf(text), 0))
}

/**
 * Lines of at most so many columns, broken at spaces, behind a `⏎`, and within a word that is longer than a line.
 *
 * @param columns - 2 or more
 */
export function fold(text: string, columns: number): string[] {
  return text.split(/(?<=⏎)/u).flatMap((part) => foldOne(part, Math.max(columns, 2)))
}

function foldOne(text: string, columns: number): string[] {
  const lines: string[] = []
  let line = ''
  let width = 0
  const end = (): void => {
    lines.push(line)
    line = ''
    width = 0
  }
  for (const word of text.split(' ')) {
    const needs = columnsOf(word)
    if (line !== '' && width + 1 + needs <= columns) {
      line += ` ${word}`
      width += 1 + needs
      continue
    }
    if (line !== '') end()
    for (const character of word) {
      const one = columnsOfOne(character)
      if (width + one > columns) end()
      line += character
      width += one
    }
  }
  end()
  return lines
}
