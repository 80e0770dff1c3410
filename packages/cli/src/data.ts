/**
 * Bytes in and out of a command: `--in` and `--out`, stdin and stdout. What is too large is refused before it is held, a
 * file is written whole or not at all.
 */
import { createHash } from 'node:crypto'
import {
  constants,
  createReadStream,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

import { concat } from '@stronghold/core'

import type { Call } from './command.ts'
import { Failure, quoted } from './failure.ts'
import { MAX_INPUT_BYTES } from './limits.ts'

/** How often the progress of a long input is told, in bytes. */
const PROGRESS_BYTES = 4 * 1024 * 1024

/** What a command that reads and writes needs of its call. */
type Streams = Pick<Call, 'io' | 'terminal'>

/** An input that was read: as a whole, or, where it is longer, as its digest. */
export type Input =
  | { readonly kind: 'whole'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'digest'
      readonly digests: Readonly<Record<HashName, Uint8Array>>
      readonly length: number
    }

/** Hashes that SSHSIG knows, the usual one first. */
export const HASHES = ['sha512', 'sha256'] as const
type HashName = (typeof HASHES)[number]

/** The bytes of a file, or of stdin for none and for `-`; of what is longer, its digests. */
export async function readInput(call: Streams, file: string | undefined): Promise<Input> {
  const { terminal } = call
  const pieces: Uint8Array[] = []
  const hashes = { sha512: createHash('sha512'), sha256: createHash('sha256') }
  let length = 0
  let toldAt = PROGRESS_BYTES
  for await (const piece of bytesOf(call, file)) {
    length += piece.byteLength
    for (const name of HASHES) hashes[name].update(piece)
    if (length <= MAX_INPUT_BYTES) pieces.push(piece)
    else pieces.length = 0
    if (length >= toldAt) {
      toldAt = length + PROGRESS_BYTES
      await terminal.progress(`hashing ${Math.floor(length / 1024 ** 2)} MiB`)
    }
  }
  terminal.endProgress()
  return length <= MAX_INPUT_BYTES
    ? { kind: 'whole', bytes: concat(pieces) }
    : {
        kind: 'digest',
        digests: { sha512: hashes.sha512.digest(), sha256: hashes.sha256.digest() },
        length,
      }
}

/**
 * The bytes of a file, or of stdin for none and for `-`.
 *
 * @param most - in bytes
 * @param refused - what is thrown for a longer one, in the place of `tooLong`
 * @throws `Failure` `limit` for a longer one, after no more than that was read
 */
export async function readWhole(
  call: Streams,
  file: string | undefined,
  most: number = MAX_INPUT_BYTES,
  refused: () => Failure = () => tooLong(file, most),
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of bytesOf(call, file)) {
    length += piece.byteLength
    if (length > most) throw refused()
    pieces.push(piece)
  }
  return concat(pieces)
}

/** An input longer than what may be handed over. */
export function tooLong(file: string | undefined, most: number = MAX_INPUT_BYTES): Failure {
  return new Failure('limit', `cannot read ${file === undefined ? 'stdin' : quoted(file)}`, {
    reason: `it is longer than ${most} bytes`,
  })
}

/** Writes a result into a file, whole or not at all; into a device or a pipe as it is; to stdout for none and for `-`. */
export async function writeOutput(
  { io, terminal }: Streams,
  file: string | undefined,
  bytes: Uint8Array,
  mode = 0o666,
): Promise<void> {
  if (file === undefined || file === '-') {
    await terminal.bytes(bytes)
    return
  }
  const named = resolve(io.cwd, file)
  const found = statSync(named, { throwIfNoEntry: false })
  if (found !== undefined && !found.isFile() && !found.isDirectory()) {
    // A device or a pipe is written to. A file in its place would end it for everybody.
    await writeFile(named, bytes, { flag: constants.O_WRONLY })
    return
  }
  // A link stays, and leads to what is new.
  const path = found === undefined ? named : realpathSync(named)
  const temporary = `${path}.${process.pid}.tmp`
  try {
    writeFileSync(temporary, bytes, { mode, flag: 'wx' })
    renameSync(temporary, path)
  } catch (error) {
    // Whoever named a file knows nothing of another beside it.
    const { code } = error as NodeJS.ErrnoException
    throw Object.assign(error as Error, { path: code === 'ENOENT' ? dirname(path) : path })
  } finally {
    rmSync(temporary, { force: true })
  }
}

async function* bytesOf({ io }: Streams, file: string | undefined): AsyncGenerator<Uint8Array> {
  if (file !== undefined && file !== '-') {
    yield* createReadStream(resolve(io.cwd, file)) as AsyncIterable<Uint8Array>
    return
  }
  if (file === undefined && io.stdin.isTerminal) {
    throw new Failure('usage', 'cannot read stdin', {
      reason: 'it is a terminal',
      hint: 'name a file by --in FILE, send it through a pipe, or type --in - to type it',
    })
  }
  yield* io.stdin
}
