/**
 * A receipt as a file: the receipt, and beside it what was asked and answered, as far as that is needed to show that it is about
 * a certain file. What was signed is not in it. Nothing beside the receipt is believed: the receipt holds hashes of it.
 */
import { createHash } from 'node:crypto'

import { procedureOf } from '@stronghold/vault/catalog'
import { z } from 'zod'

import type { Input } from './data.ts'
import { Failure } from './failure.ts'
import { fromJson, toJson } from './json-bytes.ts'
import { MAX_REASON_LENGTH, MAX_STEPS } from './limits.ts'
import { toBase64 } from './lists.ts'
import type { NamedStep } from './procedures.ts'

/** What was asked, without the message: to sign it. */
export interface AskedSignature {
  readonly version: number
  /** As JSON; bytes are `{ "base64": … }`. */
  readonly input: Readonly<Record<string, unknown>>
  readonly reason: string
  readonly timeoutMs: number
}

/** The same as it is kept. */
export const askedShape: z.ZodType<AskedSignature> = z.strictObject({
  version: z.int(),
  input: z.record(z.string(), z.unknown()),
  reason: z.string().max(MAX_REASON_LENGTH),
  timeoutMs: z.int().min(0),
})

/** What is kept of a request beside its receipt: of a signature alone, of all else nothing. */
export function askedOf(
  steps: readonly NamedStep[],
  { reason, timeoutMs }: { readonly reason: string; readonly timeoutMs: number },
): AskedSignature | undefined {
  const [step, ...more] = steps
  if (step?.procedure !== 'sign' || more.length > 0) return undefined
  const { message, ...input } = step.input
  const version = procedureOf(step.procedure)?.version
  if (!(message instanceof Uint8Array) || version === undefined) return undefined
  return { version, input: toJson(input) as AskedSignature['input'], reason, timeoutMs }
}

/** A receipt with what stands beside it. */
export interface ReceiptFile {
  readonly receipt: Uint8Array
  readonly asked?: AskedSignature | undefined
  readonly outputs?: readonly Readonly<Record<string, unknown>>[] | undefined
}

const fileShape = z.object({
  receipt: z.string(),
  asked: askedShape.optional(),
  outputs: z.array(z.record(z.string(), z.unknown())).max(MAX_STEPS).optional(),
})

/** As the text of a file. */
export function printReceiptFile(
  { receipt, asked, outputs }: ReceiptFile,
  origin: { readonly peer: string | null; readonly request: string | null },
): string {
  const { peer, request } = origin
  const beside = asked === undefined ? {} : { asked, outputs: toJson(outputs) }
  return `${JSON.stringify({ v: 1, peer, request, receipt: toBase64(receipt), ...beside })}\n`
}

/** From the text of a file, or from the bytes of a receipt alone. @throws `Failure` `usage` for JSON that holds none */
export function readReceiptFile(bytes: Uint8Array): ReceiptFile {
  // A receipt begins with a CBOR map, which no text begins with.
  if (bytes[0] !== '{'.charCodeAt(0)) return { receipt: bytes }
  try {
    const { receipt, asked, outputs } = fileShape.parse(JSON.parse(new TextDecoder().decode(bytes)))
    return {
      receipt: new Uint8Array(Buffer.from(receipt, 'base64')),
      asked,
      outputs: outputs?.map((one) => fromJson(one, null) as Readonly<Record<string, unknown>>),
    }
  } catch (cause) {
    throw new Failure('usage', 'cannot read the receipt', {
      reason: 'it is JSON without one',
      cause,
    })
  }
}

/** The step that asks to sign an input; `undefined` where it is longer than what was asked can have been about. */
export function stepOf(
  { version, input: shown }: AskedSignature,
  content: Input,
):
  | { readonly procedure: string; readonly version: number; readonly input: NamedStep['input'] }
  | undefined {
  const input = fromJson(shown, null) as Readonly<Record<string, unknown>>
  const { digested, hash = 'sha512' } = (input['as'] ?? {}) as Record<string, unknown>
  const name = hash === 'sha256' ? 'sha256' : 'sha512'
  let message: Uint8Array
  if (content.kind === 'whole') {
    message = digested === true ? createHash(name).update(content.bytes).digest() : content.bytes
  } else if (digested === true) message = content.digests[name]
  else return undefined
  return { procedure: 'sign', version, input: { ...input, message: new Uint8Array(message) } }
}
