/**
 * What a signature may be made over, and what rules call it. A format binds a signature to its purpose; raw bytes bind
 * it to nothing, so raw input that begins like a format of somebody's is called by that format's name too.
 */
import { z } from 'zod'

import { MAX_HEADER_MEMBERS } from './bounds.ts'

/** The hashes of this vault. */
export const hashName = z.enum(['sha256', 'sha384', 'sha512']).meta({ id: 'hash' })

/** Members that a caller adds to the protected header of a JWS. What decides how it is checked is ours alone. */
const protectedHeader = z
  .record(
    z
      .string()
      .regex(/^[\x21-\x7e]{1,64}$/)
      .refine(
        (name) => !['alg', 'b64', 'crit', 'jwk', '__proto__'].includes(name),
        'Not the caller’s',
      ),
    z.union([z.string().max(1024), z.int(), z.boolean()]),
  )
  .refine((header) => Object.keys(header).length <= MAX_HEADER_MEMBERS, 'Too many members')
  .meta({ description: 'header members: text, numbers, booleans' })

const jws = z.strictObject({ format: z.literal('jws'), protected: protectedHeader.optional() })

/** Namespace of an SSHSIG: says what the signature is for. */
const namespace = z.string().regex(/^[A-Za-z0-9._@+-]{1,64}$/)

/** What somebody says of the file behind a digest, for a person who is asked: a claim, which is not signed. */
const claimed = z
  .strictObject({
    name: z.string().max(255).optional(),
    bytes: z.int().min(0).optional(),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/)
      .optional(),
  })
  .meta({ description: 'name, bytes and SHA-256 of the file, as its sender says' })

/** How `sign` and `verify` take their message. */
export const signFormat = z
  .discriminatedUnion('format', [
    /** Any bytes. Ed25519: 64 bytes. ECDSA: r ‖ s over SHA-256, on P-384 over SHA-384. */
    z.strictObject({ format: z.literal('raw') }),
    /** The same in ASN.1; ECDSA only. */
    z.strictObject({ format: z.literal('der') }),
    /** Compact serialisation; the message is the payload. */
    jws,
    /** Armored SSHSIG. `digested`: the message is its digest already, for what is too large to hand over. */
    z.strictObject({
      format: z.literal('sshsig'),
      namespace,
      hash: z.enum(['sha256', 'sha512']).optional(),
      digested: z.boolean().optional(),
      claimed: claimed.optional(),
    }),
    /** A commit or tag as git hands it to the signer: SSHSIG in namespace `git`. Nothing else is taken. */
    z.strictObject({ format: z.literal('git') }),
    /** secp256k1: r ‖ s over SHA-256. */
    z.strictObject({ format: z.literal('compact') }),
    /** secp256k1: r ‖ s ‖ recovery id over SHA-256. */
    z.strictObject({ format: z.literal('recoverable') }),
    /** secp256k1: a message of EIP-191, typed data as JSON (EIP-712), or an unsigned transaction, which comes back signed. */
    z.strictObject({
      format: z.literal('ethereum'),
      kind: z.enum(['eip191', 'eip712', 'transaction']),
    }),
    /** secp256k1: 32 bytes that somebody hashed elsewhere. Default `compact`. */
    z.strictObject({
      format: z.literal('digest'),
      encoding: z.enum(['compact', 'recoverable', 'der']).optional(),
    }),
  ])
  .meta({
    id: 'sign-format',
    description:
      'raw, der, jws, sshsig (namespace), git, compact, recoverable, ethereum (kind) or digest',
  })

/** A format to sign in. */
export type SignFormat = z.output<typeof signFormat>

/** How `mac` and `mac-verify` take their message. */
export const macFormat = z
  .discriminatedUnion('format', [
    /** The tag itself. */
    z.strictObject({ format: z.literal('hmac'), hash: hashName.optional() }),
    /** Compact serialisation with HS256; the message is the payload. */
    jws,
  ])
  .meta({ id: 'mac-format', description: 'hmac or jws' })

/** A format to authenticate in. */
export type MacFormat = z.output<typeof macFormat>

/** Every format that a rule may name, without namespaces. */
export const FORMATS: readonly string[] = Object.freeze([
  'digest',
  'ethereum',
  'git',
  'hmac',
  'jws',
  'raw',
  'ssh-certificate',
  'ssh-login',
  'sshsig',
])

/** Formats that bind a signature to nothing: an `allow` rule covers them only where it names them. */
export const BLIND_FORMATS: ReadonlySet<string> = new Set(['raw', 'digest'])

/** The format that an input of `sign` asks for. */
export function formatOf(input: { as?: SignFormat | undefined }): SignFormat {
  return input.as ?? { format: 'sshsig', namespace: 'file' }
}

/** What rules call a format: `sshsig:file`, `ethereum:eip191`, `raw` for all that sign any bytes. */
export function formatTag(format: SignFormat | MacFormat): string {
  switch (format.format) {
    case 'sshsig':
      return `sshsig:${format.namespace}`
    case 'git':
      return 'sshsig:git'
    case 'ethereum':
      return `ethereum:${format.kind}`
    // One signature, written in several ways.
    case 'raw':
    case 'der':
    case 'compact':
    case 'recoverable':
      return 'raw'
    case 'jws':
    case 'digest':
    case 'hmac':
      return format.format
  }
}

/**
 * All that an input is to be decided as, by its tags; the strictest decision counts. Empty for procedures that have no
 * formats. A message that is not there yet, an earlier step's output, is as blind as a digest.
 *
 * @param input - fits the procedure's input; fields may be outputs of earlier steps
 * @throws `TypeError` for a format that does not fit
 */
export function formatTags(procedure: string, input: unknown): readonly string[] {
  if (!hasFormats(procedure)) return []
  const { as, message } = (input ?? {}) as { as?: unknown; message?: unknown }
  const tag = formatTag(procedure === 'sign' ? readAs(as, signFormat) : readAs(as, macFormat))
  return messageTags(tag, message)
}

/** Whether everything that a procedure is asked for has a format. */
export function hasFormats(procedure: string): boolean {
  return procedure === 'sign' || procedure === 'mac'
}

/** The same as `formatTags`, where the tag of the format that the input names is known. */
export function messageTags(tag: string, message: unknown): readonly string[] {
  if (tag !== 'raw' && tag !== 'hmac') return [tag]
  const like = message instanceof Uint8Array ? looksLike(message) : 'digest'
  return like === undefined ? [tag] : [tag, like]
}

/** The format that an input names, or the default. */
function readAs(as: unknown, schema: typeof signFormat | typeof macFormat): SignFormat | MacFormat {
  if (as === undefined) return schema === signFormat ? formatOf({}) : { format: 'hmac' }
  const given = schema.safeParse(as)
  if (!given.success) throw new TypeError('Cannot tell format: it fits none')
  return given.data
}

/**
 * The structured format that bytes begin like, as rules call it: whoever signs them raw signs that. Undefined for what
 * is nothing we know, which says nothing about what others may take it for.
 */
export function looksLike(message: Uint8Array): string | undefined {
  return (
    sshsig(message) ??
    ssh(message) ??
    (isGit(message) ? 'git' : undefined) ??
    (isJws(message) ? 'jws' : undefined) ??
    ethereum(message)
  )
}

/** OpenSSH PROTOCOL.sshsig §3: `SSHSIG`, then the namespace as an SSH string. */
function sshsig(message: Uint8Array): string | undefined {
  if (!begins(message, 0, 'SSHSIG')) return undefined
  const found = sshString(message, 6)
  const name = found === undefined ? '' : latin1(found)
  return /^[\x21-\x7e]{1,64}$/.test(name) ? `sshsig:${name}` : 'sshsig'
}

/** RFC 4252 §7: session identifier, then byte 50. PROTOCOL.certkeys: a name that ends in `-cert-v01@openssh.com`. */
function ssh(message: Uint8Array): string | undefined {
  const first = sshString(message, 0)
  if (first === undefined) return undefined
  const next = message[4 + first.byteLength]
  if (first.byteLength >= 16 && first.byteLength <= 64 && next === 50) return 'ssh-login'
  return first.byteLength <= 128 && /-cert-v[0-9]{2}@openssh\.com$/.test(latin1(first))
    ? 'ssh-certificate'
    : undefined
}

const COMMIT = /^(?:commit [0-9]+\0)?tree (?:[0-9a-f]{40}|[0-9a-f]{64})\n/
const GIT_BEGINNINGS: ReadonlySet<number | undefined> = new Set([0x63, 0x6f, 0x74])
const TAG = /^(?:tag [0-9]+\0)?object (?:[0-9a-f]{40}|[0-9a-f]{64})\ntype /

function isGit(message: Uint8Array): boolean {
  // Decoding is most of the work, and nothing else begins like one: c, o or t.
  if (!GIT_BEGINNINGS.has(message[0])) return false
  const head = latin1(message.subarray(0, 128))
  return COMMIT.test(head) || TAG.test(head)
}

/** RFC 7515 §5.1, RFC 7797 too: a header in base64url, a full stop, whatever is signed. */
function isJws(message: Uint8Array): boolean {
  const stop = message.indexOf(0x2e)
  if (stop < 2) return false
  const header = latin1(message.subarray(0, stop))
  if (!/^[A-Za-z0-9_-]+$/.test(header)) return false
  try {
    return atob(header.replaceAll('-', '+').replaceAll('_', '/')).trimStart().startsWith('{')
  } catch {
    return false
  }
}

/** EIP-191: byte 0x19. EIP-2718: a type below 0x80, then an RLP list; before it, the list alone. */
function ethereum(message: Uint8Array): string | undefined {
  const first = message[0] ?? 0xff
  const second = message[1]
  if (first === 0x19 && second === 0x45) return 'ethereum:eip191'
  if (first === 0x19 && second === 0x01) return 'ethereum:eip712'
  if (first === 0x19 && second === 0x00) return 'ethereum'
  const isTransaction = isRlpList(message, 0) || (first < 0x80 && isRlpList(message, 1))
  return isTransaction ? 'ethereum:transaction' : undefined
}

/** Whether an RLP list begins at a place and fills the rest. */
function isRlpList(message: Uint8Array, from: number): boolean {
  const head = message[from]
  const rest = message.byteLength - from - 1
  if (head === undefined || head < 0xc0) return false
  if (head <= 0xf7) return rest === head - 0xc0
  const size = head - 0xf7
  let length = 0
  for (let i = 1; i <= size; i++) length = length * 256 + (message[from + i] ?? 0)
  return rest === size + length
}

function sshString(message: Uint8Array, from: number): Uint8Array | undefined {
  // Names and identifiers are short: two bytes of length are zeros.
  if (message[from] !== 0 || message[from + 1] !== 0) return undefined
  const end = from + 4 + (message[from + 2] ?? 0) * 256 + (message[from + 3] ?? 0)
  return message.byteLength < end ? undefined : message.subarray(from + 4, end)
}

function begins(message: Uint8Array, from: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (message[from + i] !== text.charCodeAt(i)) return false
  }
  return true
}

function latin1(bytes: Uint8Array): string {
  return new TextDecoder('latin1').decode(bytes)
}
