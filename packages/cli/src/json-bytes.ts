/**
 * Inputs and outputs of procedures as JSON. Bytes are `{ "base64": … }`, `{ "hex": … }`, `{ "text": … }` or, on the way in,
 * `{ "file": … }`. Fields that are secrets are refused: JSON is a string, and a string cannot be wiped.
 */
import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'

import { encodeUtf8, fromHex } from '@stronghold/core'
import type { Procedure } from '@stronghold/vault/catalog'
import type { z } from 'zod'

import { tooLong } from './data.ts'
import { Failure, quoted } from './failure.ts'
import { toBase64 } from './lists.ts'
import { MAX_INPUT_BYTES } from './limits.ts'

/** JSON as a procedure takes it. @param cwd - what files are relative to; with `null`, none is read */
export function fromJson(value: unknown, cwd: string | null): unknown {
  if (Array.isArray(value)) return value.map((one) => fromJson(one, cwd))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
  const [only] = entries
  if (entries.length === 1 && only !== undefined && typeof only[1] === 'string') {
    const [form, text] = only as [string, string]
    switch (form) {
      case 'base64':
        return new Uint8Array(Buffer.from(text, 'base64'))
      case 'hex':
        return fromHex(text)
      case 'text':
        return encodeUtf8(text)
      case 'file': {
        if (cwd === null) break
        const path = resolve(cwd, text)
        const found = statSync(path)
        if (!found.isFile() && !found.isDirectory()) {
          const reason = 'it is no file, and may have no end'
          throw new Failure('usage', `cannot read ${quoted(text)}`, { reason })
        }
        if (found.size > MAX_INPUT_BYTES) throw tooLong(text)
        return new Uint8Array(readFileSync(path))
      }
      default:
    }
  }
  return Object.fromEntries(entries.map(([name, one]) => [name, fromJson(one, cwd)]))
}

/** What a procedure gave as JSON: bytes as `{ "base64": … }`. */
export function toJson(value: unknown): unknown {
  if (value instanceof Uint8Array) return { base64: toBase64(value) }
  if (value instanceof Set) return [...value].map(toJson)
  if (Array.isArray(value)) return value.map(toJson)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, toJson(one)]))
}

/** @throws `Failure` `usage` for an input that holds a field marked secret, naming the command that takes it */
export function assertNoSecrets(procedure: Procedure, input: object): void {
  for (const name of secretFields(procedure)) {
    if (!Object.hasOwn(input, name)) continue
    throw new Failure('usage', `cannot run ${procedure.name}`, {
      reason: `${quoted(name)} is a secret, and JSON would leave copies of it`,
      hint: 'stronghold key import PATH --in FILE reads it into locked memory',
    })
  }
}

/** Names of the input fields that are secrets. */
export function secretFields({ input }: Procedure): string[] {
  return Object.entries(input.shape).flatMap(([name, schema]) => (isSecret(schema) ? name : []))
}

function isSecret(schema: z.ZodType): boolean {
  if (schema.meta()?.['secret'] === true) return true
  const { innerType } = schema.def as { innerType?: z.ZodType }
  return innerType !== undefined && isSecret(innerType)
}
