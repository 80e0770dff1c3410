/**
 * Reads a backup from its first line to its last and lets nothing pass that its writer would not have written: order,
 * counts, names that come twice, the sum over all, and what each secret can do. It keeps nothing.
 */
import { compareBytes, encodeUtf8 } from '@stronghold/core'

import { VaultError } from '../errors.ts'
import { decryptAge } from '../formats/age.ts'
import type { AgeIdentity, ByteSource } from '../formats/age.ts'
import type { StoredRecord } from '../record.ts'
import type { Slab, SlabInit } from '../secret.ts'

import { badLine, LINE_KINDS, parseLine, recordOf } from './content.ts'
import type { BackupCounts, Fields, Item, ItemOf, LineKind } from './content.ts'
import { readLines } from './lines.ts'
import type { Line } from './lines.ts'
import { SelfTest } from './self-test.ts'

/** How a backup is read. */
export interface ReadInit {
  /** The age file. */
  readonly file: ByteSource
  readonly identities: readonly AgeIdentity[]
  /** For keys, a chunk of plaintext and the self-test. */
  readonly slab: Slab
  readonly memory?: Pick<SlabInit, 'requireLocked'>
}

/**
 * What a backup holds, line by line, each checked together with all before it. That nothing is missing is known only when
 * the last line was given.
 *
 * @throws `VaultError` `unauthenticated` (`unlock_failed`), `data_loss` (`damaged`) naming the place,
 *   `failed_precondition` (`newer_format`)
 */
export async function* readBackup(init: ReadInit): AsyncGenerator<Item, void, void> {
  const { file, identities, slab, memory } = init
  const checks = new Checks(new SelfTest(slab))
  const lines = readLines(decryptAge(slab, identities, file), memory)
  try {
    for await (const line of lines) yield checks.take(line)
  } catch (error) {
    // Headers and armors of age say so where they are none.
    if (!(error instanceof SyntaxError || error instanceof RangeError)) throw error
    throw new VaultError('data_loss', error.message, { reason: 'damaged', cause: error })
  }
  checks.end()
}

/** What a backup says of itself in its first line. */
export type Manifest = Fields['stronghold']

/** Everything that is checked across lines. */
class Checks {
  readonly #selfTest: SelfTest
  readonly #found: Record<keyof BackupCounts, number> = {
    records: 0,
    versions: 0,
    removed: 0,
    entries: 0,
    rows: 0,
    plain: 0,
    audit: 0,
  }
  /** Of records and of what is left of them. */
  readonly #ids = new Set<string>()
  #manifest: Manifest | undefined
  #record: Omit<StoredRecord, 'versions'> | undefined
  #versionsLeft = 0
  #newest = 0
  /** Where the reading stands among `LINE_KINDS`. */
  #stage = -1
  /** What the last line of this kind was sorted by. */
  #last: Uint8Array | undefined
  #position = 0
  #lines = 0
  #ended = false

  constructor(selfTest: SelfTest) {
    this.#selfTest = selfTest
  }

  take(line: Line): Item {
    const { number } = line
    if (this.#ended) throw badLine(number, 'something follows the last line')
    if (number === 1 && !beginsLikeOne(line.bytes)) throw badLine(1, 'this is no backup')
    const item = parseLine(line)
    this.#enter(item)
    switch (item.kind) {
      case 'stronghold':
        this.#manifest = item.fields
        break
      case 'record':
        this.#takeRecord(item)
        break
      case 'version':
        this.#takeVersion(item)
        break
      case 'removed':
        this.#once(number, `removed "${item.fields.removed}"`, item.fields.id)
        this.#rise(number, encodeUtf8(item.fields.id))
        this.#found.removed++
        break
      case 'entry':
        this.#rise(number, encodeUtf8(item.fields.entry))
        this.#found.entries++
        break
      case 'row':
        this.#rise(number, Uint8Array.of(item.fields.row, ...item.fields.id))
        this.#found.rows++
        break
      case 'plain':
        this.#rise(number, Uint8Array.of(item.fields.plain, ...item.fields.id))
        this.#found.plain++
        break
      case 'audit':
        this.#takeAudit(item)
        break
      case 'end':
        this.#takeEnd(item)
    }
    this.#lines = number
    return item
  }

  /** @throws `VaultError` `data_loss` (`damaged`) where the last line has not come */
  end(): void {
    if (!this.#ended) throw badLine(this.#lines + 1, 'the backup ends here, before its last line')
  }

  /** Kinds follow each other in order, a version only its record, and the first line comes once. */
  #enter({ kind, line }: Item): void {
    if (this.#versionsLeft > 0 && kind !== 'version') {
      throw badLine(line, `${this.#name()} lacks versions`)
    }
    const stage = LINE_KINDS.indexOf(stageOf(kind))
    const first = line === 1
    if (first !== (kind === 'stronghold')) {
      throw badLine(line, first ? 'this is no backup' : 'a first line for the second time')
    }
    if (stage < this.#stage || (kind === 'version' && this.#versionsLeft === 0)) {
      throw badLine(line, `${kind}: it stands in another place than it was written`)
    }
    if (stage > this.#stage) this.#last = undefined
    this.#stage = stage
  }

  #takeRecord({ line, fields }: ItemOf<'record'>): void {
    this.#record = recordOf(fields)
    this.#versionsLeft = fields.versions
    this.#newest = 0
    this.#once(line, this.#name(), fields.id)
    this.#rise(line, encodeUtf8(fields.record))
    this.#found.records++
  }

  #takeVersion({ line, fields, bytes }: ItemOf<'version'>): void {
    const record = this.#record
    if (record === undefined || fields.of !== record.path) {
      throw badLine(line, 'version: it follows another record than its own')
    }
    const name = `${this.#name()}, version ${fields.version}`
    if (fields.version <= this.#newest) throw badLine(line, `${name}: it comes twice or too late`)
    const fault = this.#selfTest.fault(record, bytes, fields.public)
    if (fault !== undefined) throw badLine(line, `${name}: ${fault}`)
    this.#newest = fields.version
    this.#versionsLeft--
    this.#found.versions++
    if (this.#versionsLeft === 0 && record.minimum > this.#newest) {
      throw badLine(line, `${this.#name()}: no version may be used`)
    }
  }

  #takeAudit({ line, fields: { audit } }: ItemOf<'audit'>): void {
    const { audit: count = 0 } = this.#manifest?.counts ?? {}
    const first = (this.#manifest?.auditLength ?? 0) - count
    if (audit !== first + this.#position) {
      throw badLine(line, `audit: entry ${audit} where ${first + this.#position} is expected`)
    }
    this.#position++
    this.#found.audit++
  }

  #takeEnd({ line, fields, before }: ItemOf<'end'>): void {
    const counts = this.#manifest?.counts
    for (const [what, found] of Object.entries(this.#found)) {
      const told = counts?.[what as keyof BackupCounts]
      if (told !== found) throw badLine(line, `end: ${found} ${what} where ${told} were written`)
    }
    if (fields.lines !== line - 1) {
      throw badLine(line, `end: ${line - 1} lines where ${fields.lines} were written`)
    }
    if (fields.sha256 !== before) throw badLine(line, 'end: a line was changed')
    this.#ended = true
  }

  #once(line: number, name: string, id: string): void {
    if (this.#ids.has(id)) throw badLine(line, `${name}: its id comes twice`)
    this.#ids.add(id)
  }

  /** Lines of a kind are sorted, so that one that comes twice or elsewhere is found where it stands. */
  #rise(line: number, by: Uint8Array): void {
    if (this.#last !== undefined && compareBytes(this.#last, by) >= 0) {
      throw badLine(line, 'it comes twice, or in another place than it was written')
    }
    this.#last = by
  }

  #name(): string {
    return `record "${this.#record?.path.slice(0, 64) ?? ''}"`
  }
}

/** Versions stand where their record does. */
function stageOf(kind: LineKind): LineKind {
  return kind === 'version' ? 'record' : kind
}

const FIRST_LINE_BEGINS = encodeUtf8('{"stronghold":"backup",')

/** What is no backup at all may be anything, and is not looked at. */
function beginsLikeOne(line: Uint8Array): boolean {
  return FIRST_LINE_BEGINS.every((code, i) => line[i] === code)
}
