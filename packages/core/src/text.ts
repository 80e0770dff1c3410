/**
 * Text from somebody else, made safe to show: nothing in it moves a cursor, turns the direction of writing, hides or runs
 * on. Pure; it knows nothing of terminals or pages.
 */

/** Most marks that one letter keeps above and below it. */
const MAX_MARKS = 2
/** Controls, formats (direction, joiners, tags), surrogates, private and unassigned ones; separators of lines. */
const UNSAFE = /^[\p{C}\p{Zl}\p{Zp}]$/u
const SPACE = /^\p{Zs}$/u
const MARK = /^\p{M}$/u
const PLAIN = /^[\x20-\x7e]*$/
/** All that is neither mark, nor space of another kind, nor unsafe: each shows as it is. */
const WRITTEN = /^[ \p{L}\p{N}\p{P}\p{S}]*$/u

/**
 * Text from somebody else as one line of at most `max` characters (code points): line ends show as `⏎`, other control and
 * format characters as `\u{…}`, spaces of all kinds as a space, and what is too long ends in `…`. Reads at most so much of
 * it as it shows.
 *
 * @param max - 1 or more
 */
export function escapeRemote(text: string, max: number): string {
  // Nearly all text is plain, and classes of Unicode cost a hundred times as much.
  if (PLAIN.test(text.slice(0, max + 1))) {
    return text.length <= max ? text : `${text.slice(0, max - 1)}…`
  }
  // As many code units as one character more than fits may take.
  const beginning = text.slice(0, 2 * max + 2)
  if (WRITTEN.test(beginning)) {
    if (text.length <= max) return text
    const characters = Array.from(beginning)
    return characters.length <= max ? text : `${characters.slice(0, max - 1).join('')}…`
  }
  const shown: string[] = []
  let marks = 0
  for (const character of text) {
    marks = character > '~' && MARK.test(character) ? marks + 1 : 0
    for (const one of marks > MAX_MARKS ? [] : escaped(character)) shown.push(one)
    if (shown.length <= max) continue
    shown.length = max - 1
    return `${shown.join('')}…`
  }
  return shown.join('')
}

function escaped(character: string): string {
  if (character >= ' ' && character <= '~') return character
  if (character === '\n' || character === '\r') return '⏎'
  if (SPACE.test(character) || character === '\t') return ' '
  if (!UNSAFE.test(character)) return character
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
}
