/**
 * Secret scalars of a curve as big-endian bytes in secret memory. It knows the group's order and nothing of curves;
 * what it does takes the same steps whatever the value. Best effort: JavaScript promises no constant time.
 */
import { sodium } from '../sodium.ts'

/** Whether a value is a secret key: at least 1 and below the order. Both of one length. */
export function isScalar(order: Uint8Array, value: Uint8Array): boolean {
  return value.byteLength === order.byteLength && isBelow(order, value) && !isZero(value)
}

/** Fills secret memory with a scalar, every one equally likely: what is out of range is drawn again. */
export function randomScalar(order: Uint8Array, out: Uint8Array): void {
  do sodium.randombytes_buf(out)
  while (!isScalar(order, out))
}

/**
 * Writes (a + b) mod n. False, with `out` all zeros, where `b` is not below n or the sum is zero: then a derivation
 * has to go on as its standard says (BIP-32, SLIP-10).
 *
 * @param a - below the order
 * @param out - as long as the order, apart from `a` and `b`
 */
export function addModulo(
  order: Uint8Array,
  a: Uint8Array,
  b: Uint8Array,
  out: Uint8Array,
): boolean {
  const last = order.byteLength - 1
  let carry = 0
  for (let i = last; i >= 0; i--) {
    carry += at(a, i) + at(b, i)
    out[i] = carry & 0xff
    carry >>= 8
  }
  // Subtract n where the sum overflowed or is not below n, without a branch on either.
  const reduce = carry | (isBelow(order, out) ? 0 : 1)
  let borrow = 0
  for (let i = last; i >= 0; i--) {
    const difference = at(out, i) - reduce * at(order, i) - borrow
    out[i] = difference & 0xff
    borrow = (difference >> 8) & 1
  }
  if (isBelow(order, b) && !isZero(out)) return true
  out.fill(0)
  return false
}

function isBelow(order: Uint8Array, value: Uint8Array): boolean {
  let borrow = 0
  for (let i = order.byteLength - 1; i >= 0; i--) {
    borrow = ((at(value, i) - at(order, i) - borrow) >> 8) & 1
  }
  return borrow === 1
}

function isZero(value: Uint8Array): boolean {
  let seen = 0
  for (const byte of value) seen |= byte
  return seen === 0
}

function at(bytes: Uint8Array, i: number): number {
  return bytes[i] as number
}
