/**
 * What a step would do, for a person who is asked: read from the very bytes that would be signed, not from what somebody says
 * of them. Pure. Everything that came from outside is escaped and cut; nothing here opens a secret or decides.
 */
import { createHash } from 'node:crypto'

import { decodeUtf8, escapeRemote, toHex } from '@stronghold/core'

import { formatOf, formatTags, procedureOf } from './catalog/index.ts'
import type { Role, SignFormat } from './catalog/index.ts'
import { readTransaction } from './formats/ethereum.ts'
import { readTypedData } from './formats/ethereum-typed.ts'
import { readGitObject } from './formats/git.ts'
import { previewClaims } from './formats/jws.ts'
import { sshFingerprint } from './formats/ssh-public.ts'
import { readSshLogin } from './formats/ssh-login.ts'
import { readSshsigBlob } from './formats/sshsig.ts'
import { MAX_PREVIEW_DETAILS, MAX_PREVIEW_LINE, MAX_PREVIEW_TEXT } from './limits.ts'

/** A name and a value, both for people. */
export interface PreviewDetail {
  readonly name: string
  readonly value: string
}

/** What a step would do. */
export interface StepPreview {
  /** Nobody can tell from the bytes what this is. */
  readonly blind: boolean
  /** One line. */
  readonly title: string
  /** In order, at most 32. */
  readonly details: readonly PreviewDetail[]
}

type Details = [name: string, value: string | undefined][]

/**
 * What a step would do.
 *
 * @param input - fits the procedure's input; fields may be outputs of earlier steps. Whatever else it is, this does not throw
 */
export function previewOf(
  procedure: string,
  input: Readonly<Record<string, unknown>>,
): StepPreview {
  const { message } = input
  if (procedure !== 'sign' && procedure !== 'mac') return plain(procedure, input)
  let tags: readonly string[]
  try {
    tags = formatTags(procedure, input)
  } catch {
    tags = []
  }
  const what = procedure === 'sign' ? 'sign' : 'authenticate'
  if (!(message instanceof Uint8Array)) {
    return shown(true, `${what} what an earlier step gives`, [['format', tags.join(', ')]])
  }
  const format = formatIn(input)
  const [title, details, blind = false] = read(format, tags, message) ?? [
    'bytes that nobody can read',
    [],
    true,
  ]
  return shown(blind, `${what} ${title}`, details, [
    ['bytes', grouped(message.byteLength)],
    ['SHA-256', toHex(sha256(message))],
  ])
}

type Read = [title: string, details: Details, blind?: boolean]

/** The message as its format reads it. What a format says and does not hold is shown as bytes. */
function read(
  format: SignFormat | undefined,
  tags: readonly string[],
  message: Uint8Array,
): Read | undefined {
  try {
    switch (format?.format) {
      case 'sshsig':
        return sshsig(format, message)
      case 'git':
        return git(message)
      case 'jws':
        return jws(message)
      case 'ethereum':
        return ethereum(format.kind, message)
      case 'digest':
        return [
          'a digest of something that nobody here has seen',
          [['digest', toHex(message)]],
          true,
        ]
      default:
        return raw(tags, message)
    }
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError || error instanceof TypeError) {
      return undefined
    }
    throw error
  }
}

function sshsig(format: SignFormat & { format: 'sshsig' }, message: Uint8Array): Read {
  const about: Details = [
    ['namespace', format.namespace],
    ['hash', format.hash ?? 'sha512'],
  ]
  if (format.digested === true) {
    return [
      `a file that only its digest was sent of, for ${format.namespace}`,
      [...about, ['digest', toHex(message)], ...claims(format.claimed)],
    ]
  }
  if (format.namespace === 'git') {
    const [title, details] = git(message)
    return [title, [...about, ...details]]
  }
  return [
    `${text(message)?.title ?? 'a file'} for ${format.namespace}`,
    [...about, ...textOf(message)],
  ]
}

/** What the sender says of a file that nobody here has seen. */
function claims(claimed: (SignFormat & { format: 'sshsig' })['claimed'] = {}): Details {
  const { name, bytes, sha256 } = claimed
  return [
    ['claimed name', name],
    ['claimed size', bytes === undefined ? undefined : `${grouped(bytes)} bytes`],
    ['claimed hash', sha256 === undefined ? undefined : `SHA-256 ${sha256}`],
  ]
}

function git(message: Uint8Array): Read {
  const object = readGitObject(message)
  const [subject = ''] = object.message.split('\n', 1)
  if (object.kind === 'tag') {
    const { name, type, tagger } = object
    return [
      `git tag ${name}`,
      [
        ['tag', name],
        [type, object.object],
        ['tagger', tagger === undefined ? undefined : person(tagger)],
        ['message', object.message],
      ],
    ]
  }
  const { tree, parents, author, committer } = object
  return [
    `git commit "${subject}"`,
    [
      ['tree', tree],
      ['parents', parents.join(' ')],
      ['author', person(author)],
      ['committer', person(committer)],
      ['message', object.message],
    ],
  ]
}

function person({
  name,
  email,
  timeSeconds,
}: {
  name: string
  email: string
  timeSeconds: number
}): string {
  return `${name} <${email}> ${time(timeSeconds)}`
}

function jws(message: Uint8Array): Read {
  const claims = previewClaims(message)
  if (claims === undefined)
    return [`a JWS over ${text(message)?.title ?? 'bytes'}`, textOf(message)]
  const { iss, sub, aud, exp, nbf, iat, jti, others } = claims
  return [
    `a JWT${sub === undefined ? '' : ` for ${sub}`}`,
    [
      ['issuer', iss],
      ['subject', sub],
      ['audience', aud?.join(', ')],
      ['expires', exp === undefined ? undefined : time(exp)],
      ['not before', nbf === undefined ? undefined : time(nbf)],
      ['issued', iat === undefined ? undefined : time(iat)],
      ['id', jti],
      ['other claims', others.join(', ')],
    ],
  ]
}

function ethereum(kind: 'eip191' | 'eip712' | 'transaction', message: Uint8Array): Read {
  if (kind === 'eip191') return ['a message for Ethereum (EIP-191)', textOf(message)]
  if (kind === 'eip712') {
    const { primaryType, domain, message: content } = readTypedData(message)
    return [
      `typed data ${primaryType} for Ethereum (EIP-712)`,
      [...members('domain', domain), ...members(primaryType, content)],
    ]
  }
  return transaction(message)
}

function transaction(message: Uint8Array): Read {
  const { type, chainId, nonce, to, value, gasLimit, maxFeePerGas, dataBytes, selector } =
    readTransaction(message)
  return [
    `an Ethereum transaction of ${wei(value)} to ${to ?? 'a new contract'}`,
    [
      ['type', type],
      ['chain', chainId.toString()],
      ['to', to ?? 'a new contract'],
      ['value', wei(value)],
      ['nonce', nonce.toString()],
      ['gas limit', gasLimit.toString()],
      ['fee at most', wei(gasLimit * maxFeePerGas)],
      [
        'call data',
        dataBytes === 0 ? 'none' : `${dataBytes} bytes, selector ${selector ?? 'none'}`,
      ],
    ],
  ]
}

/** Bytes that bind to nothing: what they begin like is shown, since somebody may take them for it. */
function raw(tags: readonly string[], message: Uint8Array): Read {
  const like = tags.find((tag) => tag !== 'raw' && tag !== 'hmac')
  if (like === undefined) {
    const readable = text(message)
    return [
      readable === undefined ? 'bytes that nobody can read' : `${readable.title}, bound to nothing`,
      textOf(message),
      readable === undefined,
    ]
  }
  try {
    const [title, details] = likeFormat(like, message)
    return [`raw bytes that are ${title}`, [['like', like], ...details], true]
  } catch (error) {
    // It begins so, and somebody may read it more leniently than we do.
    if (!(error instanceof SyntaxError) && !(error instanceof RangeError)) throw error
    return [`raw bytes that begin like ${like}`, [['like', like]], true]
  }
}

function likeFormat(like: string, message: Uint8Array): Read {
  if (like === 'ssh-login') {
    const { user, service, algorithm, publicKey, hostKey } = readSshLogin(message)
    return [
      `a login by SSH as ${user}`,
      [
        ['user', user],
        ['service', service],
        ['key', `${algorithm} ${sshFingerprint(publicKey)}`],
        ['host key', hostKey === undefined ? 'not bound' : sshFingerprint(hostKey)],
      ],
    ]
  }
  if (like.startsWith('sshsig')) {
    const { namespace, hash, digest } = readSshsigBlob(message)
    return [
      `an SSH signature for ${namespace}`,
      [
        ['namespace', namespace],
        ['hash', hash],
        ['digest', toHex(digest)],
      ],
    ]
  }
  if (like === 'git') return git(message)
  if (like === 'ethereum:transaction') return transaction(message)
  return [`of the form ${like}`, textOf(message)]
}

/** A step that signs nothing, in one line: what it does to which record. */
function plain(name: string, input: Readonly<Record<string, unknown>>): StepPreview {
  const procedure = procedureOf(name)
  if (procedure === undefined) return shown(true, `run ${name}, which is unknown here`, [])
  const records = Object.keys(procedure.roles).flatMap((role): Details => {
    const place = input[role]
    return typeof place === 'string' ? [[role, place]] : []
  })
  const others = Object.entries(input).flatMap(([field, value]): Details => {
    if (Object.hasOwn(procedure.roles, field)) return []
    if (value instanceof Uint8Array) return [[field, `${value.byteLength} bytes`]]
    return [[field, printed(value)]]
  })
  const leaves = Object.values<Role>(procedure.roles).some(({ egress }) => egress === 'material')
  const warning: Details = leaves ? [['leaves', 'the secret itself, wrapped']] : []
  const [first] = records
  const title = first === undefined ? name : `${name} ${first[1]}`
  return shown(false, title, [['does', procedure.summary], ...records, ...others, ...warning])
}

/** Nothing is left out in silence: where there are more details than are shown, one says how many more. */
function shown(blind: boolean, title: string, details: Details, last: Details = []): StepPreview {
  const given = filled(details)
  const room = MAX_PREVIEW_DETAILS - last.length
  const fitting = given.length <= room ? given : given.slice(0, room - 1)
  const more = given.length - fitting.length
  const rest: Details =
    more === 0 ? [] : [['not shown', `${more} more, for which there is no room`]]
  return {
    blind,
    title: escapeRemote(title, MAX_PREVIEW_LINE),
    details: [...fitting, ...filled(rest), ...filled(last)].map(([name, value]) => ({
      name: escapeRemote(name, MAX_PREVIEW_LINE),
      value: escapeRemote(value, MAX_PREVIEW_TEXT),
    })),
  }
}

function filled(details: Details): [name: string, value: string][] {
  return details.flatMap(([name, value]) =>
    value === undefined || value === '' ? [] : [[name, value]],
  )
}

function text(message: Uint8Array): { readonly title: string; readonly text: string } | undefined {
  let decoded: string
  try {
    decoded = decodeUtf8(message)
  } catch {
    return undefined
  }
  if (/[\p{Cc}\p{Cs}]/u.test(decoded.slice(0, MAX_PREVIEW_TEXT).replace(/[\t\n\r]/g, '')))
    return undefined
  const isJson = /^\s*[[{]/.test(decoded)
  return { title: decoded === '' ? 'nothing' : isJson ? 'JSON' : 'text', text: decoded }
}

function textOf(message: Uint8Array): Details {
  const readable = text(message)
  return readable === undefined || readable.text === ''
    ? []
    : [[readable.title === 'JSON' ? 'JSON' : 'text', readable.text]]
}

function members(name: string, object: Readonly<Record<string, unknown>>): Details {
  return Object.entries(object).map(([member, value]) => [`${name}.${member}`, printed(value)])
}

/** A value as a line; bytes in it by their number. */
function printed(value: unknown): string | undefined {
  if (value === undefined || typeof value === 'string') return value
  return JSON.stringify(value, (_name, one: unknown) =>
    typeof one === 'bigint'
      ? one.toString()
      : one instanceof Uint8Array
        ? `${one.byteLength} bytes`
        : one,
  )
}

function formatIn(input: Readonly<Record<string, unknown>>): SignFormat | undefined {
  const { as } = input
  if (as === undefined) return formatOf({})
  return typeof as === 'object' && as !== null && 'format' in as ? (as as SignFormat) : undefined
}

/** A count with a comma between thousands. */
function grouped(count: number): string {
  return String(count).replace(/\B(?=(?:[0-9]{3})+$)/g, ',')
}

/** An amount in ether where it is a round one, else in wei. */
function wei(amount: bigint): string {
  const ether = 10n ** 18n
  const rest = (amount % ether).toString().padStart(18, '0').replace(/0+$/, '')
  return `${amount / ether}${rest === '' ? '' : `.${rest}`} ether`
}

function time(seconds: number): string {
  const at = new Date(seconds * 1000)
  return Number.isNaN(at.getTime()) ? String(seconds) : at.toISOString().replace('.000Z', 'Z')
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest())
}
