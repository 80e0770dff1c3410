/** An exported audit as a file: its lines, from the disk each time, so that no audit is too large. It reads none of them. */
import { closeSync, openSync, readSync } from 'node:fs'

import { Failure, quoted } from './failure.ts'
import { MAX_AUDIT_LINE_BYTES } from './limits.ts'

const PIECE_BYTES = 64 * 1024
const LINE_END = 0x0a

/**
 * The lines of a file without their ends, which can be gone through several times.
 *
 * @throws `Failure` `limit` for a line longer than `MAX_AUDIT_LINE_BYTES`, once it is come to; what reading throws
 */
export function fileLines(path: string): Iterable<string> {
  return { [Symbol.iterator]: () => linesIn(path) }
}

function* linesIn(path: string): Generator<string, void> {
  const file = openSync(path, 'r')
  try {
    const piece = new Uint8Array(PIECE_BYTES)
    let begun: Buffer[] = []
    let length = 0
    for (let read = readSync(file, piece); read > 0; read = readSync(file, piece)) {
      for (let at = 0; at < read;) {
        const found = piece.subarray(0, read).indexOf(LINE_END, at)
        const end = found < 0 ? read : found
        length += end - at
        if (length > MAX_AUDIT_LINE_BYTES) throw tooLong(path)
        begun.push(Buffer.from(piece.subarray(at, end)))
        at = end + 1
        if (found < 0) continue
        yield Buffer.concat(begun).toString('utf8')
        begun = []
        length = 0
      }
    }
    if (begun.length > 0) yield Buffer.concat(begun).toString('utf8')
  } finally {
    closeSync(file)
  }
}

function tooLong(path: string): Failure {
  return new Failure('limit', `cannot read ${quoted(path)}`, {
    reason: `a line is longer than ${MAX_AUDIT_LINE_BYTES} bytes`,
  })
}
