/**
 * SLIP-0010: hierarchical keys from a seed, for secp256k1 (as BIP-32), NIST P-256, Ed25519 and X25519. Keys and chain codes
 * lie in the slab and nowhere else. It knows nothing of what a path means to a wallet.
 */
import { assertBytes, encodeUtf8 } from '@stronghold/core'

import { MAX_DERIVATION_DEPTH } from '../limits.ts'
import { addModN, expand, isValidScalar, P256, publicKey } from '../primitives/ecdsa.ts'
import { hmacInto } from '../primitives/hmac.ts'
import { isValidScalar as isSecp256k1Scalar } from '../primitives/secp256k1.ts'
import type { Secp256k1 } from '../primitives/secp256k1.ts'
import type { Secret, Slab } from '../secret.ts'

import { filled } from './filled.ts'
import { compressPoint } from './key-pairs.ts'

/** The curves of SLIP-0010, in the vault's words. */
export type Slip10Curve = 'secp256k1' | 'p256' | 'ed25519' | 'x25519'

/** What is added to the number of a step that is hardened. */
export const HARDENED = 0x8000_0000

/** Bytes of a seed: least and most. */
export const SLIP10_SEED_BYTES: Readonly<{ least: number; most: number }> = Object.freeze({
  least: 16,
  most: 64,
})

// SLIP-0010 "Master key generation".
const CURVE_KEYS: Readonly<Record<Slip10Curve, Uint8Array>> = {
  secp256k1: encodeUtf8('Bitcoin seed'),
  p256: encodeUtf8('Nist256p1 seed'),
  ed25519: encodeUtf8('ed25519 seed'),
  x25519: encodeUtf8('curve25519 seed'),
}
const KEY_BYTES = 32
const ZERO = Uint8Array.of(0)
const ONE = Uint8Array.of(1)

/** Whose memory is used. */
export interface Slip10Tools {
  readonly slab: Slab
  readonly secp256k1: Secp256k1
}

/**
 * Reads a path such as `m/44'/60'/0'/0/0`: `m`, then steps below 2³¹ without leading zeros, hardened ones with `'`, `h`
 * or `H`.
 *
 * @returns the steps, hardened ones with `HARDENED` added
 * @throws `SyntaxError` naming the step, `RangeError` past `MAX_DERIVATION_DEPTH`
 */
export function parseKeyPath(text: string): number[] {
  if (text.length > 2 + 12 * MAX_DERIVATION_DEPTH) throw tooDeep()
  const [root, ...steps] = text.split('/')
  if (root !== 'm') throw new SyntaxError('Cannot read key path: it does not begin with m')
  if (steps.length > MAX_DERIVATION_DEPTH) throw tooDeep()
  return steps.map((step, i) => {
    const [, digits = '', mark = ''] = /^(0|[1-9][0-9]{0,9})(['hH]?)$/.exec(step) ?? []
    const number = Number(digits)
    if (digits === '' || number >= HARDENED) {
      throw new SyntaxError(`Cannot read key path: step ${i + 1} is no number below 2³¹`)
    }
    return mark === '' ? number : number + HARDENED
  })
}

/**
 * The key at a path below a seed.
 *
 * @param seed - 16 to 64 bytes of the slab
 * @param path - steps as `parseKeyPath` gives them
 * @returns 32 bytes of the slab: a scalar, or the seed of an Ed25519 key. The chain codes are wiped.
 * @throws `RangeError` for a seed of another length, a path past `MAX_DERIVATION_DEPTH`, a step that is no such number,
 *   or one that is not hardened where the curve has only hardened ones
 */
export function deriveSlip10(
  tools: Slip10Tools,
  curve: Slip10Curve,
  seed: Uint8Array,
  path: readonly number[],
): Secret {
  using node = deriveSlip10Node(tools, curve, seed, path)
  return tools.slab.copy(node.bytes.subarray(0, KEY_BYTES))
}

/**
 * The same with the chain code, for who checks a derivation: 64 bytes of the slab, key then chain code.
 *
 * @throws as `deriveSlip10`
 */
export function deriveSlip10Node(
  tools: Slip10Tools,
  curve: Slip10Curve,
  seed: Uint8Array,
  path: readonly number[],
): Secret {
  assertBytes(seed, 'seed')
  const { least, most } = SLIP10_SEED_BYTES
  if (seed.byteLength < least || seed.byteLength > most) {
    throw new RangeError(`Cannot derive key: a seed of ${seed.byteLength} bytes`)
  }
  if (path.length > MAX_DERIVATION_DEPTH) throw tooDeep()
  for (const step of path) checkStep(curve, step)
  return filled(tools.slab, 2 * KEY_BYTES, (node) => {
    master(curve, seed, node)
    for (const step of path) child(tools, curve, node, step)
  })
}

function checkStep(curve: Slip10Curve, step: number): void {
  if (!(Number.isInteger(step) && step >= 0 && step < 2 * HARDENED)) {
    throw new RangeError(`Cannot derive key: ${step} is no step`)
  }
  if (step < HARDENED && (curve === 'ed25519' || curve === 'x25519')) {
    throw new RangeError(`Cannot derive key: ${curve} has hardened steps only`)
  }
}

function master(curve: Slip10Curve, seed: Uint8Array, node: Uint8Array): void {
  hmacInto('sha512', CURVE_KEYS[curve], [seed], node)
  const key = node.subarray(0, KEY_BYTES)
  while (!isKey(curve, key)) hmacInto('sha512', CURVE_KEYS[curve], [node], node)
}

/** Goes one step down, in place. */
function child(
  { slab, secp256k1 }: Slip10Tools,
  curve: Slip10Curve,
  node: Uint8Array,
  step: number,
): void {
  const key = node.subarray(0, KEY_BYTES)
  const chainCode = node.subarray(KEY_BYTES)
  const number = new Uint8Array(4)
  new DataView(number.buffer).setUint32(0, step)
  using next = slab.take(2 * KEY_BYTES)
  const left = next.bytes.subarray(0, KEY_BYTES)
  const right = next.bytes.subarray(KEY_BYTES)
  const parts = step >= HARDENED ? [ZERO, key] : [pointOf(slab, secp256k1, curve, key)]
  hmacInto('sha512', chainCode, [...parts, number], next.bytes)
  if (curve === 'ed25519' || curve === 'x25519') {
    node.set(next.bytes)
    return
  }
  using sum = slab.take(KEY_BYTES)
  const add = (): boolean =>
    curve === 'secp256k1'
      ? secp256k1.addModN(key, left, sum.bytes)
      : addModN(P256, key, left, sum.bytes)
  while (!add()) hmacInto('sha512', chainCode, [ONE, right, number], next.bytes)
  key.set(sum.bytes)
  chainCode.set(right)
}

function isKey(curve: Slip10Curve, key: Uint8Array): boolean {
  if (curve === 'secp256k1') return isSecp256k1Scalar(key)
  return curve === 'p256' ? isValidScalar(P256, key) : true
}

function pointOf(
  slab: Slab,
  secp256k1: Secp256k1,
  curve: Slip10Curve,
  key: Uint8Array,
): Uint8Array {
  if (curve === 'secp256k1') return compressPoint(secp256k1.publicKey(key))
  using expanded = slab.take(P256.expandedBytes)
  expand(P256, key, expanded.bytes)
  return compressPoint(publicKey(P256, expanded.bytes))
}

function tooDeep(): RangeError {
  return new RangeError(`Cannot derive key: more than ${MAX_DERIVATION_DEPTH} steps`)
}
