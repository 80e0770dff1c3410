/**
 * Record paths and the patterns over them: the only parser, printer and matcher. Everyone else gets a `Path`, never
 * text. It knows nothing of what stands at a path.
 */

/** Most segments of a path or pattern. */
export const MAX_PATH_SEGMENTS = 16
/** Longest segment, in characters. */
export const MAX_SEGMENT_LENGTH = 64

const SEGMENT = /^[a-z0-9][a-z0-9._-]{0,63}$/
const MAX_PATH_LENGTH = MAX_PATH_SEGMENTS * (MAX_SEGMENT_LENGTH + 1) - 1

/**
 * The place of a record: 1 to 16 segments of `[a-z0-9][a-z0-9._-]{0,63}`, joined by `/`. Made by `parsePath` only;
 * frozen. Two paths are the same when their texts are: key maps by `text`.
 */
export class Path {
  readonly #segments: readonly string[]
  /** The one text form. */
  readonly text: string

  private constructor(text: string, segments: readonly string[]) {
    this.text = text
    this.#segments = segments
    Object.freeze(this)
  }

  /** See `parsePath`. */
  static parse(text: string): Path {
    const segments = split(text, 'path')
    for (const segment of segments) assertSegment(segment, 'path')
    return new Path(text, segments)
  }

  /** Whether a value is a path, made here and not merely of the same shape. */
  static is(value: unknown): value is Path {
    return typeof value === 'object' && value !== null && #segments in value
  }

  /** The segments, 1 to 16. */
  get segments(): readonly string[] {
    return this.#segments
  }

  toString(): string {
    return this.text
  }

  toJSON(): string {
    return this.text
  }
}

/**
 * A set of paths: a path in which `*` may stand for one whole segment, and `**`, last, for one or more. Made by
 * `parsePattern` only; frozen.
 */
export class Pattern {
  readonly #segments: readonly string[]
  readonly #open: boolean
  /** The one text form. */
  readonly text: string

  private constructor(text: string, segments: readonly string[], open: boolean) {
    this.text = text
    this.#segments = segments
    this.#open = open
    Object.freeze(this)
  }

  /** See `parsePattern`. */
  static parse(text: string): Pattern {
    const segments = split(text, 'pattern')
    const open = segments.at(-1) === '**'
    const fixed = open ? segments.slice(0, -1) : segments
    for (const segment of fixed) if (segment !== '*') assertSegment(segment, 'pattern')
    return new Pattern(text, fixed, open)
  }

  /** Whether a value is a pattern, made here and not merely of the same shape. */
  static is(value: unknown): value is Pattern {
    return typeof value === 'object' && value !== null && #segments in value
  }

  /** See `matches`. */
  matches(path: Path): boolean {
    const fixed = this.#segments
    const { segments } = path
    if (this.#open ? segments.length <= fixed.length : segments.length !== fixed.length)
      return false
    for (let i = 0; i < fixed.length; i++) {
      if (fixed[i] !== '*' && fixed[i] !== segments[i]) return false
    }
    return true
  }

  toString(): string {
    return this.text
  }

  toJSON(): string {
    return this.text
  }
}

/**
 * Reads a path. There is nothing to normalise: a text is a path as it stands, or it is none.
 *
 * @throws `SyntaxError` for text that is none
 */
export function parsePath(text: string): Path {
  return Path.parse(text)
}

/**
 * Reads a pattern. Every path is the pattern that matches itself alone.
 *
 * @throws `SyntaxError` for text that is none
 */
export function parsePattern(text: string): Pattern {
  return Pattern.parse(text)
}

/** Whether a path is in the set. Takes one look at each segment. */
export function matches(pattern: Pattern, path: Path): boolean {
  return pattern.matches(path)
}

function split(text: string, what: 'path' | 'pattern'): string[] {
  if (typeof text !== 'string') throw new TypeError(`Cannot read ${what}: not text`)
  if (text.length > MAX_PATH_LENGTH) throw bad(what, text, 'too long')
  const segments = text.split('/')
  if (segments.length > MAX_PATH_SEGMENTS)
    throw bad(what, text, `over ${MAX_PATH_SEGMENTS} segments`)
  return segments
}

function assertSegment(segment: string, what: 'path' | 'pattern'): void {
  if (SEGMENT.test(segment)) return
  if (segment === '') throw bad(what, segment, 'no segment')
  if (segment === '**' && what === 'pattern')
    throw bad(what, segment, 'allowed as the last segment only')
  throw bad(what, segment, `no segment of a to z, 0 to 9, '.', '_' and '-'`)
}

function bad(what: string, text: string, why: string): SyntaxError {
  return new SyntaxError(`Cannot read ${what}: ${JSON.stringify(text.slice(0, 64))} is ${why}`)
}
