/**
 * Reads inputs of procedures by their schemas, and says in one sentence what is wrong: which step, which field, never
 * what a secret field holds.
 */
import type { z } from 'zod'

import type { Procedure } from './catalog/index.ts'
import { VaultError } from './errors.ts'

/** Where an input stands, for the sentence. */
export interface InputPlace {
  readonly procedure: string
  /** From 0; left out where there is one step only. */
  readonly step: number | undefined
}

/**
 * A whole input as code uses it.
 *
 * @throws `VaultError` `invalid_argument`
 */
export function checkInput(
  procedure: Procedure,
  input: Readonly<Record<string, unknown>>,
  where: InputPlace,
): Record<string, unknown> {
  const read = procedure.input.safeParse(input)
  if (!read.success) throw refuse(procedure, read.error.issues, where)
  return read.data
}

/**
 * An input of which some fields are not known yet; those that are known are read.
 *
 * @throws `VaultError` `invalid_argument`
 */
export function checkPart(
  procedure: Procedure,
  input: Readonly<Record<string, unknown>>,
  unknown: readonly string[],
  where: InputPlace,
): Record<string, unknown> {
  const { shape } = procedure.input
  const part: Record<string, unknown> = {}
  for (const field of [...unknown, ...Object.keys(input)]) {
    if (!Object.hasOwn(shape, field)) {
      throw sentence(where, field, 'no field is called so')
    }
  }
  for (const [field, schema] of Object.entries(shape)) {
    if (unknown.includes(field)) continue
    const read = schema.safeParse(input[field])
    if (!read.success) {
      const issues = read.error.issues.map((issue) => ({ ...issue, path: [field, ...issue.path] }))
      throw refuse(procedure, issues, where)
    }
    if (read.data !== undefined) part[field] = read.data
  }
  return part
}

/** Bytes of an input, names of fields not counted; it stops looking past `most`. */
export function measure(value: unknown, most: number, depth = 8): number {
  if (typeof value === 'string') return value.length
  if (value instanceof Uint8Array) return value.byteLength
  if (typeof value !== 'object' || value === null) return 8
  if (depth === 0) return most + 1
  let sum = 0
  for (const one of Object.values(value)) {
    sum += measure(one, most, depth - 1)
    if (sum > most) break
  }
  return sum
}

type Issue = Pick<z.core.$ZodIssue, 'code' | 'path' | 'message'> & { readonly keys?: unknown }

function refuse(procedure: Procedure, issues: readonly Issue[], where: InputPlace): VaultError {
  const issue = issues[0]
  if (issue === undefined) return sentence(where, '', 'not as it has to be')
  if (issue.code === 'unrecognized_keys' && Array.isArray(issue.keys)) {
    const path = [...issue.path, String(issue.keys[0])].map(String)
    return sentence(where, path.join('.'), 'no field is called so')
  }
  const field = issue.path.map(String).join('.')
  const top = String(issue.path[0] ?? '')
  // What a schema of ours says about a secret may have been made from it.
  const hidden = issue.code === 'custom' && isSecret(procedure.input.shape[top])
  return sentence(where, field, hidden ? 'not as it has to be' : lower(issue.message))
}

/** What is wrong with a field, as one sentence. */
export function sentence(
  { procedure, step }: InputPlace,
  field: string,
  state: string,
): VaultError {
  const at = [
    ...(step === undefined ? [] : [`step ${step}`]),
    ...(field === '' ? [] : [`field ${JSON.stringify(field.slice(0, 64))}`]),
  ]
  const where = at.length === 0 ? '' : `${at.join(', ')}: `
  return new VaultError('invalid_argument', `Cannot ${procedure}: ${where}${state.slice(0, 200)}`)
}

/** Does a schema say that its bytes are a secret, itself or what it wraps. */
function isSecret(schema: z.core.$ZodType | undefined): boolean {
  for (let at: unknown = schema; typeof at === 'object' && at !== null;) {
    const one = at as z.ZodType & { readonly def?: { readonly innerType?: unknown } }
    if (one.meta()?.['secret'] === true) return true
    at = one.def?.innerType
  }
  return false
}

function lower(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
