/**
 * An audit as JSON lines, for people and other programs, and verified from them (`docs/audit.md §2`). Each line shows what
 * its entry says and holds the entry itself; a line that shows something else is found.
 */
import { toHex } from '@stronghold/core'

import { decodeHead, encodeHead } from '../heads.ts'
import type { SignedHead } from '../heads.ts'
import { MAX_AUDIT_FAULTS } from '../limits.ts'
import { decodeEntry } from './entry.ts'
import type { ReadEntry } from './entry.ts'
import { verifyAudit } from './verify.ts'
import type { AuditReport, FoundEntry, VerifyInit } from './verify.ts'

/** An entry as a line, without its end. What cannot be opened shows its position alone, what cannot be read its bytes. */
export function exportLine({ position, value }: FoundEntry): string {
  if (value === undefined) return JSON.stringify({ v: 1, position })
  const entry = base64(value)
  let read: ReadEntry
  try {
    read = decodeEntry(value)
  } catch {
    return JSON.stringify({ v: 1, position, entry })
  }
  const { at, event, facts } = read
  return JSON.stringify({ v: 1, position, at, event, facts: shown(facts), entry })
}

/** The last line: the signed head, shown and as it is. */
export function exportHead(head: SignedHead): string {
  return JSON.stringify({ v: 1, head: shown(head), signed: base64(encodeHead(head)) })
}

/** An audit as lines without their ends: one for each entry, and the signed head. */
export function* exportAudit(
  entries: Iterable<FoundEntry>,
  head: SignedHead,
): Generator<string, void> {
  for (const entry of entries) yield exportLine(entry)
  yield exportHead(head)
}

/**
 * Verifies an export. Throws only what going through the lines throws.
 *
 * @param lines - gone through several times
 */
export function verifyExport(
  lines: Iterable<string>,
  against: Pick<VerifyInit, 'witnesses' | 'keys'> = {},
): AuditReport {
  const faults: string[] = []
  const fault = (sentence: string): void => {
    if (faults.length < MAX_AUDIT_FAULTS) faults.push(sentence)
  }
  let expected: SignedHead | undefined
  let number = 0
  for (const line of lines) {
    number += 1
    if (expected !== undefined) {
      fault(`Line ${number} stands behind the line of the head`)
      continue
    }
    expected = headIn(line)
    if (expected === undefined && entryIn(line) === undefined) {
      fault(`Line ${number} is not one that an entry has: something in it was changed`)
    }
  }
  if (expected === undefined) {
    fault('The last line is not that of a signed head')
    return { entries: 0, from: 0, signed: false, faults }
  }
  const entries = {
    *[Symbol.iterator](): Generator<FoundEntry> {
      for (const line of lines) {
        const entry = entryIn(line)
        if (entry !== undefined) yield entry
        else if (headIn(line) !== undefined) return
      }
    },
  }
  const report = verifyAudit({ entries, expected, ...against })
  return { ...report, faults: [...faults, ...report.faults].slice(0, MAX_AUDIT_FAULTS) }
}

/** The entry of a line, if that entry has this line and no other. */
function entryIn(line: string): FoundEntry | undefined {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null || !('position' in value)) return undefined
    const { position } = value
    if (!Number.isSafeInteger(position) || (position as number) < 0) return undefined
    const found =
      'entry' in value && typeof value.entry === 'string'
        ? { position: position as number, value: bytesOf(value.entry) }
        : { position: position as number }
    return exportLine(found) === line ? found : undefined
  } catch {
    return undefined
  }
}

function headIn(line: string): SignedHead | undefined {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null || !('signed' in value)) return undefined
    if (typeof value.signed !== 'string') return undefined
    const head = decodeHead(bytesOf(value.signed))
    return exportHead(head) === line ? head : undefined
  } catch {
    return undefined
  }
}

/** What JSON can say of a value: bytes as hex, integers past 2⁵³ as text. */
function shown(value: unknown): unknown {
  if (value instanceof Uint8Array) return toHex(value)
  if (typeof value === 'bigint') return value.toString()
  if (Array.isArray(value)) return value.map(shown)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, shown(one)]))
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

function bytesOf(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'))
}
