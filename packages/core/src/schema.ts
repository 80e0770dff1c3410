/**
 * Checks values with any Standard Schema (https://standardschema.dev, v1), and the one schema for raw bytes.
 * It knows no schema library.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'

/** Any Standard Schema: what goes in, what comes out. */
export type Schema<Input = unknown, Output = Input> = StandardSchemaV1<Input, Output>

/** What a schema takes. */
export type InferInput<S extends Schema> = StandardSchemaV1.InferInput<S>

/** What a schema gives. */
export type InferOutput<S extends Schema> = StandardSchemaV1.InferOutput<S>

/** A value that passed, as the schema gives it, or one sentence that says why it did not. */
export type Checked<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: string }

/** The schema of raw bytes. */
export interface BytesSchema extends Schema<Uint8Array> {
  /** Tells a carrier to send the bytes as they are, not as CBOR. */
  readonly '~bytes': true
}

/** Raw bytes: takes and gives a `Uint8Array`, and is carried as it is. */
export const bytes: BytesSchema = Object.freeze({
  '~bytes': true,
  '~standard': Object.freeze({
    version: 1,
    vendor: 'stronghold',
    validate: (value: unknown) =>
      value instanceof Uint8Array ? { value } : { issues: [{ message: 'Expected a Uint8Array' }] },
  }),
} as const)

/** Whether a schema is the one for raw bytes, also that of another bundled copy of this package. */
export function isBytesSchema(schema: Schema): schema is BytesSchema {
  return '~bytes' in schema && schema['~bytes'] === true
}

/** Whether a value is a Standard Schema of version 1. */
export function isSchema(value: unknown): value is Schema {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  const standard: unknown = '~standard' in value ? value['~standard'] : undefined
  return (
    typeof standard === 'object' &&
    standard !== null &&
    'version' in standard &&
    standard.version === 1 &&
    'validate' in standard &&
    typeof standard.validate === 'function'
  )
}

/**
 * Checks one value. Answers at once where the schema does, and with a promise where it does. What the schema's
 * own code throws passes through: it is the application's mistake, not the value's.
 */
export function validate<S extends Schema>(
  schema: S,
  value: unknown,
): Checked<InferOutput<S>> | Promise<Checked<InferOutput<S>>> {
  const result = schema['~standard'].validate(value)
  return result instanceof Promise ? result.then(toChecked<S>) : toChecked<S>(result)
}

function toChecked<S extends Schema>(
  result: StandardSchemaV1.Result<unknown>,
): Checked<InferOutput<S>> {
  if (result.issues) return { ok: false, problem: sentence(result.issues) }
  return { ok: true, value: result.value as InferOutput<S> }
}

const MAX_VALUE = 64
const MAX_MESSAGE = 128

/** The first issue, where it is, and how many more there are. */
function sentence(issues: readonly StandardSchemaV1.Issue[]): string {
  const first = issues[0]
  if (first === undefined) return 'the value is not valid'
  const path = pathText(first.path ?? [])
  const where = path === '' ? '' : `"${cut(path, MAX_VALUE)}": `
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : ''
  return `${where}${cut(first.message, MAX_MESSAGE)}${more}`
}

function pathText(path: NonNullable<StandardSchemaV1.Issue['path']>): string {
  let text = ''
  for (const segment of path) {
    const key = typeof segment === 'object' ? segment.key : segment
    if (typeof key === 'number') text += `[${key}]`
    else text += (text === '' ? '' : '.') + String(key)
    if (text.length > MAX_VALUE) break
  }
  return text
}

/** One line, at most so long, never half a character; a key or message may come from a peer and end in a terminal. */
function cut(text: string, length: number): string {
  const line = text.slice(0, length + 1).replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, ' ')
  return line.length <= length
    ? line.toWellFormed()
    : `${line.slice(0, length - 1).toWellFormed()}…`
}
