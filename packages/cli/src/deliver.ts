/**
 * What came of procedures, as a command hands it over: to stdout, into a file, as JSON, with the receipt beside it. How that
 * is to be done is a plain value, so that somebody who comes back later gets the same. It asks nobody.
 */
import { encodeUtf8, toHex } from '@stronghold/core'
import { decrypt, encrypt, pub, random, sign, verify } from '@stronghold/vault/catalog'
import type { OutputOf, Procedure } from '@stronghold/vault/catalog'
import { z } from 'zod'

import type { Call } from './command.ts'
import { writeOutput } from './data.ts'
import { Failure, quoted } from './failure.ts'
import { toJson } from './json-bytes.ts'
import { toBase64 } from './lists.ts'
import { askedShape, printReceiptFile } from './receipt-file.ts'
import type { AskedSignature } from './receipt-file.ts'
import { remote } from './terminal.ts'

/** What is made of the outputs. */
const KINDS = [
  'signature',
  'public-key',
  'envelope',
  'plaintext',
  'verdict',
  'random',
  'outputs',
] as const
type Kind = (typeof KINDS)[number]

/** How outputs are handed over. */
export interface Delivery {
  readonly kind: Kind
  /** A file; `null` for stdout. */
  readonly out: string | null
  /** Where the receipt goes, if one is wanted. */
  readonly receipt: string | null
  /** How it is written, or what it is about, where the kind leaves that open. */
  readonly as: string | null
  /** What was asked, where that goes beside the receipt. */
  readonly asked?: AskedSignature
}

/** The same as it is kept. */
export const deliveryShape: z.ZodType<Delivery> = z.strictObject({
  kind: z.enum(KINDS),
  out: z.string().max(4096).nullable(),
  receipt: z.string().max(4096).nullable(),
  as: z.string().max(4096).nullable(),
  asked: askedShape.exactOptional(),
})

/** What came of a request. */
export interface Outcome {
  readonly outputs: readonly Readonly<Record<string, unknown>>[]
  readonly receipt?: Uint8Array
}

/** Of what request, and of whom. */
export interface Origin {
  /** Who answered; `null` for the own vault. */
  readonly peer: string | null
  /** 32 hex digits; `null` for the own vault. */
  readonly request: string | null
  /** What is told beside what was written: who approved it. */
  readonly says?: string
}

/** Of every result of a procedure: the file of its receipt, and the request to another Stronghold that it came of. */
const ORIGIN = { receipt: z.string().nullable(), request: z.string().nullable() }

/** What `--json` prints, by kind. */
export const PRINTS: Readonly<Record<Kind, z.ZodType>> = {
  signature: z.strictObject({
    version: z.int(),
    bytes: z.int(),
    out: z.string().nullable(),
    signature: z.string().nullable(),
    ...ORIGIN,
  }),
  'public-key': z.strictObject({
    type: z.string(),
    version: z.int(),
    format: z.string(),
    key: z.string(),
    thumbprint: z.string().nullable(),
    ...ORIGIN,
  }),
  envelope: z.strictObject({
    envelope: z.string().nullable(),
    bytes: z.int(),
    out: z.string().nullable(),
    ...ORIGIN,
  }),
  plaintext: z.strictObject({
    message: z.string().nullable(),
    bytes: z.int(),
    out: z.string().nullable(),
    ...ORIGIN,
  }),
  verdict: z.strictObject({ valid: z.boolean(), ...ORIGIN }),
  random: z.strictObject({ bytes: z.string(), ...ORIGIN }),
  outputs: z.strictObject({ outputs: z.array(z.record(z.string(), z.unknown())), ...ORIGIN }),
}

/** A result before it is written. */
interface Rendered {
  /** Made only where it is wanted: text cannot be wiped. */
  readonly json: () => Readonly<Record<string, unknown>>
  /** Goes to the file, or to stdout. */
  readonly bytes: Uint8Array
  /** Of the file. */
  readonly mode?: number
}

/**
 * Hands over what came of a request, whole or not at all, then its receipt.
 *
 * @throws `Failure` `verification_failed` for a verdict that is no, for outputs that are none, and without the receipt that
 *   was wanted
 */
export async function deliver(
  call: Pick<Call, 'io' | 'terminal' | 'json'>,
  { kind, out, receipt: file, as, asked }: Delivery,
  { outputs, receipt }: Outcome,
  { peer, request, says }: Origin,
): Promise<void> {
  const { terminal, json } = call
  const { json: shown, bytes, mode } = RENDER[kind](outputs, { out, as: as ?? '' })
  const result = json ? { ...shown(), receipt: file, request } : undefined
  try {
    if (out !== null || !json) await writeOutput(call, out ?? undefined, bytes, mode)
  } finally {
    if (kind === 'plaintext') bytes.fill(0)
  }
  if (file !== null) {
    if (receipt === undefined) {
      throw new Failure('verification_failed', `cannot write ${quoted(file)}`, {
        reason: 'the answer came without a receipt',
      })
    }
    const text = printReceiptFile({ receipt, asked, outputs }, { peer, request })
    await writeOutput(call, file, encodeUtf8(text))
  }
  if (result !== undefined) await terminal.result(result, '')
  else {
    const files = [out, file].flatMap((name) =>
      name === null || name === '-' ? [] : remote(name, 4096),
    )
    const wrote = files.length === 0 ? [] : [`wrote ${files.join(', ')}`]
    const told = [...(says === undefined ? [] : [says]), ...wrote]
    if (told.length > 0) await terminal.note(told.join(' · '))
  }
}

type Render = (
  outputs: Outcome['outputs'],
  given: { readonly out: string | null; readonly as: string },
) => Rendered

const RENDER: Readonly<Record<Kind, Render>> = {
  signature: (outputs, { out }) => {
    const { signature, version } = last(outputs, sign)
    return {
      json: () => ({
        version,
        bytes: signature.byteLength,
        out,
        signature: out === null ? toBase64(signature) : null,
      }),
      bytes: signature,
    }
  },
  'public-key': (outputs, { as }) => {
    const { type, version, publicKey, text, thumbprint } = last(outputs, pub)
    const key = text ?? (publicKey === undefined ? '' : toBase64(publicKey))
    return {
      json: () => ({ type, version, format: as, key, thumbprint: thumbprint ?? null }),
      bytes: publicKey ?? line(text ?? ''),
    }
  },
  envelope: (outputs, { out }) => {
    const { envelope } = last(outputs, encrypt)
    return {
      json: () => ({
        envelope: out === null ? toBase64(envelope) : null,
        bytes: envelope.byteLength,
        out,
      }),
      bytes: envelope,
    }
  },
  plaintext: (outputs, { out }) => {
    const { message } = last(outputs, decrypt)
    return {
      json: () => ({
        message: out === null ? toBase64(message) : null,
        bytes: message.byteLength,
        out,
      }),
      bytes: message,
      mode: 0o600,
    }
  },
  // Several ways to read one signature may have been tried.
  verdict: (outputs, { as }) => {
    const isValid = outputs.some((output) => last([output], verify).valid)
    if (isValid) return { json: () => ({ valid: true }), bytes: line('valid') }
    throw new Failure('verification_failed', `cannot verify ${as}`, {
      reason: 'it is no signature of this key over the input in this format',
    })
  },
  random: (outputs, { as }) => {
    const { bytes } = last(outputs, random)
    const text = as === 'base64' ? toBase64(bytes) : toHex(bytes)
    return {
      json: () => ({ bytes: toBase64(bytes) }),
      bytes: as === 'raw' ? bytes : line(text),
      mode: 0o600,
    }
  },
  outputs: (outputs) => {
    const shown = outputs.map(toJson)
    return { json: () => ({ outputs: shown }), bytes: line(JSON.stringify(shown, undefined, 2)) }
  },
}

/** The output of the last step, as its procedure gives it. */
function last<P extends Procedure>(outputs: Outcome['outputs'], { name, output }: P): OutputOf<P> {
  const read = output.safeParse(outputs.at(-1))
  if (read.success) return read.data as OutputOf<P>
  throw new Failure('verification_failed', 'cannot read the answer', {
    reason: `it is not what ${name} gives`,
  })
}

function line(text: string): Uint8Array {
  return encodeUtf8(text.endsWith('\n') ? text : `${text}\n`)
}
