/** The field schemas that procedures share. Each takes what travels (text, numbers, bytes) and gives what code uses. */
import type { Path } from '@stronghold/core'
import { parsePath } from '@stronghold/core'
import { z } from 'zod'

import { EGRESS, RECORD_TYPES, USAGES } from './labels.ts'

/** A record, of one version where one is named: `path` or `path@version` as text. */
export interface Reference {
  readonly path: Path
  /** 1 or more; the newest where none is named. */
  readonly version?: number
}

const VERSION = /^[1-9][0-9]{0,8}$/

/**
 * Reads `path` or `path@version`.
 *
 * @throws `SyntaxError` for text that is neither
 */
export function parseReference(text: string): Reference {
  const at = text.indexOf('@')
  if (at === -1) return { path: parsePath(text) }
  const version = text.slice(at + 1)
  if (!VERSION.test(version)) {
    throw new SyntaxError(
      `Cannot read version: ${JSON.stringify(version.slice(0, 64))} is no number from 1`,
    )
  }
  return { path: parsePath(text.slice(0, at)), version: Number(version) }
}

function parsed<T>(parse: (text: string) => T, id: string, description: string) {
  return z
    .string()
    .max(1100)
    .transform((text, context) => {
      try {
        return parse(text)
      } catch (error) {
        context.addIssue({ code: 'custom', message: (error as Error).message, input: text })
        return z.NEVER
      }
    })
    .meta({ id, description })
}

/** A record that stands: text `path` or `path@version`; code gets a `Reference`. */
export const reference = parsed(parseReference, 'reference', 'path or path@version')

/** A place where nothing stands yet: text; code gets a `Path`. */
export const place = parsed(parsePath, 'path', 'path of 1 to 16 segments')

/** Bytes of at most `max` and at least `min`, in bytes. */
export function bytes(max: number, min = 0) {
  return z
    .custom<Uint8Array>((value) => value instanceof Uint8Array, {
      error: 'Expected bytes',
      abort: true,
    })
    .refine((value) => value.byteLength <= max, `Expected at most ${max} bytes`)
    .refine((value) => value.byteLength >= min, `Expected at least ${min} bytes`)
    .meta({ description: min === max ? `${max} bytes` : `bytes, ${min} to ${max}` })
}

/** Bytes that are a secret: never taken from a command line, never logged. */
export function secretBytes(max: number, min = 0) {
  return bytes(max, min).meta({ secret: true, description: `secret bytes, ${min} to ${max}` })
}

/** Type of a record. */
export const recordType = z.enum(RECORD_TYPES).meta({ id: 'type' })

/** What a new record is allowed; what is left out is the default of its type, met with what it is made from. */
export const labels = z
  .strictObject({
    usage: z.array(z.enum(USAGES)).max(USAGES.length).optional(),
    egress: z.enum(EGRESS).optional(),
    sync: z.boolean().optional(),
  })
  .meta({ id: 'labels', description: 'usage set, egress ceiling, may sync' })

/** What a procedure says of a record that it made or changed. */
export const record = z
  .strictObject({
    id: bytes(16, 16),
    /** Absent for a record that lives no longer than its chain. */
    path: z.string().optional(),
    type: recordType,
    version: z.int().min(1),
    publicKey: bytes(97).optional(),
  })
  .meta({ id: 'record', description: 'id, path, type, version, public key' })
