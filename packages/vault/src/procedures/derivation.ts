/** Secrets from secrets: where type and usage set enter what is hashed (`vault-format.md §6`). It writes no records itself. */
import { concat as join, encode, encodeUtf8, equalBytes } from '@stronghold/core'

import { SECRET_LENGTHS } from '../catalog/index.ts'
import type { agree, concat, concatKdf, hkdf, pbkdf2, RecordType } from '../catalog/index.ts'
import { VaultError } from '../errors.ts'
import { concatKdf as singleStep } from '../primitives/concat-kdf.ts'
import { hkdf as extractAndExpand, hkdfExpand } from '../primitives/hkdf.ts'
import { HASH_BYTES } from '../primitives/hmac.ts'
import { pbkdf2 as stretch } from '../primitives/pbkdf2.ts'
import * as x25519 from '../primitives/x25519.ts'
import { isSecret, makeRecord } from './pairs.ts'
import type { Tools } from './pairs.ts'
import type { AskedLabels, CreateHandle, Implementation, RecordOutput, Scope } from './registry.ts'

const DOMAIN = encodeUtf8('stronghold/derive/1')
/** What no info of a caller's begins with, also not of a later version of ours. */
const RESERVED = encodeUtf8('stronghold/derive/')
const OPAQUE_BYTES = 32
const NOTHING = new Uint8Array(0)

/** The fields that say what becomes of a derivation. */
interface Target {
  readonly type?: Exclude<RecordType, 'opaque'> | undefined
  readonly context?: Uint8Array | undefined
  readonly labels?: AskedLabels | undefined
  readonly info?: Uint8Array | undefined
  readonly length?: number | undefined
}

/** Fills `out` with what is derived under an info. */
type Derive = (info: Uint8Array, out: Uint8Array) => void

/** `hkdf` */
export function derivingHkdf(tools: Tools): Implementation<typeof hkdf> {
  return (input, { from, to }, scope) => {
    const { hash = 'sha256', salt = NOTHING } = input
    const secret = from.secret()
    const derive: Derive = (info, out) => {
      extractAndExpand(hash, secret, { salt, info }, out)
    }
    return { record: derived(to, input, { typed: derive, opaque: derive }, tools, scope) }
  }
}

/** `concat-kdf` */
export function derivingConcatKdf(tools: Tools): Implementation<typeof concatKdf> {
  return (input, { from, to }, scope) => {
    const { hash = 'sha256' } = input
    const secret = from.secret()
    const derive: Derive = (info, out) => {
      singleStep(tools.slab, hash, secret, info, out)
    }
    return { record: derived(to, input, { typed: derive, opaque: derive }, tools, scope) }
  }
}

/** `pbkdf2` */
export function derivingPbkdf2(tools: Tools): Implementation<typeof pbkdf2> {
  return (input, { from, to }, scope) => {
    const { hash = 'sha256', salt, rounds } = input
    if (rounds > scope.limits.maxPbkdf2Rounds) {
      throw new VaultError(
        'invalid_argument',
        `Cannot derive with PBKDF2: ${rounds} rounds, at most ${scope.limits.maxPbkdf2Rounds} are computed`,
      )
    }
    const secret = from.secret()
    const opaque: Derive = (_info, out) => {
      stretch(hash, secret, salt, rounds, out)
    }
    let stretched: Uint8Array | undefined
    const typed: Derive = (info, out) => {
      if (stretched === undefined) {
        stretched = scope.scratch(HASH_BYTES[hash])
        opaque(NOTHING, stretched)
      }
      hkdfExpand(hash, stretched, info, out)
    }
    return { record: derived(to, input, { typed, opaque }, tools, scope) }
  }
}

/** `agree` */
export function agreeing(tools: Tools): Implementation<typeof agree> {
  return (input, { key, to }, scope) => {
    const shared = scope.scratch(x25519.KEY_BYTES)
    x25519.agree(key.secret(), input.publicKey, shared)
    const { salt = NOTHING } = input
    const typed: Derive = (info, out) => {
      extractAndExpand('sha256', shared, { salt, info }, out)
    }
    const opaque: Derive = (_info, out) => {
      out.set(shared)
    }
    return { record: derived(to, input, { typed, opaque }, tools, scope) }
  }
}

/** `concat` */
export function concatenating(tools: Tools): Implementation<typeof concat> {
  return ({ labels }, { from, to }, scope) => {
    const parts = from.map((part) => part.secret())
    const secret = scope.scratch(parts.reduce((sum, part) => sum + part.byteLength, 0))
    let at = 0
    for (const part of parts) {
      secret.set(part, at)
      at += part.byteLength
    }
    return {
      record: makeRecord(to, { type: 'opaque', secret, labels, origin: 'derived' }, tools, scope),
    }
  }
}

function derived(
  to: CreateHandle,
  target: Target,
  by: { typed: Derive; opaque: Derive },
  tools: Tools,
  scope: Scope,
): RecordOutput {
  const { type, labels, context = NOTHING } = target
  const make = (made: RecordType, secret: Uint8Array): RecordOutput =>
    makeRecord(to, { type: made, secret, labels, origin: 'derived' }, tools, scope)
  if (type === undefined) {
    const { info = NOTHING, length = OPAQUE_BYTES } = target
    // Otherwise a caller could have the bytes of a typed key as opaque ones.
    if (equalBytes(info.subarray(0, RESERVED.byteLength), RESERVED)) {
      throw new VaultError(
        'invalid_argument',
        'Cannot derive with info: "stronghold/derive/" begins those of typed keys',
      )
    }
    const secret = scope.scratch(length)
    by.opaque(info, secret)
    return make('opaque', secret)
  }
  const usage = [...to.labelsFor(type, labels).usage].sort()
  const secret = scope.scratch(SECRET_LENGTHS[type].usual)
  let attempt = 0
  do {
    by.typed(join([DOMAIN, encode({ type, usage, context, attempt })]), secret)
    attempt += 1
  } while (!isSecret(type, secret))
  return make(type, secret)
}
