/**
 * ECDSA on secp256k1 over digests, by libsecp256k1 compiled to WebAssembly, which we load ourselves: its memory is
 * brought back to its first state after every call, so that nothing of a secret stays. It hashes nothing.
 */
import { createHash, randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'

import { assertBytes, equalBytes, fromHex } from '@stronghold/core'

import { VaultError } from '../errors.ts'
import { isScalar, randomScalar } from './scalar.ts'

/** Length of a secret scalar, big endian, of a tweak and of a digest. */
export const SCALAR_BYTES = 32
/** Length of a point written 0x04 ‖ x ‖ y. */
export const POINT_BYTES = 65
/** Length of a point written 0x02 or 0x03 ‖ x. */
export const COMPRESSED_BYTES = 33
/** Length of a compact signature, r ‖ s. */
export const SIGNATURE_BYTES = 64

/** The group's order (SEC 2 §2.4.1). */
const ORDER = fromHex('fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141')

/**
 * The library's file as we looked at it, and where a call of it writes: the stack, which nothing uses between calls,
 * and what lies between it and the tables, and behind them. The tables are constants. A test compares all of it.
 */
const WASM_SHA256 = fromHex('5cbbcb8adc7acc3b78a3fd31c76d573302705ff5fd714d03f5a2602591197cb5')
const MEMORY_BYTES = 1_835_008
const STACK_END = 655_360
const TABLES_BEGIN = 655_716
const TABLES_END = 1_770_865

/** A signature and which of the four points it could come from is the signer's. */
export interface RecoverableSignature {
  /** r ‖ s, s in the lower half. */
  readonly signature: Uint8Array
  /** 0 to 3; above 1 practically never. */
  readonly recoveryId: number
}

/** What of the library's exports is used. Numbers are lengths and flags; bytes go through its memory. */
interface Exports {
  readonly memory: WebAssembly.Memory
  readonly PRIVATE_INPUT: WebAssembly.Global
  readonly PUBLIC_KEY_INPUT: WebAssembly.Global
  readonly TWEAK_INPUT: WebAssembly.Global
  readonly HASH_INPUT: WebAssembly.Global
  readonly SIGNATURE_INPUT: WebAssembly.Global
  initializeContext(): void
  isPoint(length: number): number
  pointFromScalar(outLength: number): number
  pointCompress(length: number, outLength: number): void
  privateAdd(): number
  signRecoverable(extraData: 0 | 1): number
  verify(length: number, requireLowS: 0 | 1): number
  recover(outLength: number, recoveryId: number): number
}

type Input = 'PRIVATE_INPUT' | 'PUBLIC_KEY_INPUT' | 'TWEAK_INPUT' | 'HASH_INPUT' | 'SIGNATURE_INPUT'

/** Whether bytes are a secret scalar: 32, at least 1 and below the order. */
export function isValidScalar(scalar: Uint8Array): boolean {
  assertBytes(scalar, 'scalar')
  return isScalar(ORDER, scalar)
}

/**
 * Fills secret memory with a new secret scalar.
 *
 * @throws `RangeError` unless 32 bytes are given
 */
export function generate(out: Uint8Array): void {
  assertBytes(out, 'room for a scalar', SCALAR_BYTES)
  randomScalar(ORDER, out)
}

/** The library, loaded: 1.8 MB of memory of its own, in which nothing stays. One for each vault. */
export class Secp256k1 {
  readonly #module: WebAssembly.Module
  #loaded: Loaded

  /**
   * Loads the library: about 10 ms.
   *
   * @throws `VaultError` `internal` where its file is not the one that was reviewed
   */
  constructor() {
    const path = new URL('secp256k1.wasm', import.meta.resolve('tiny-secp256k1'))
    const file = readFileSync(path)
    if (!equalBytes(createHash('sha256').update(file).digest(), WASM_SHA256)) {
      throw new VaultError(
        'internal',
        'Cannot load libsecp256k1: its file is not the one this version was made for',
      )
    }
    this.#module = new WebAssembly.Module(file)
    this.#loaded = load(this.#module)
  }

  /** The library's whole memory, for the test that shows that nothing stays in it. */
  get memory(): Uint8Array {
    return new Uint8Array(this.#loaded.exports.memory.buffer)
  }

  /**
   * The public point of a secret scalar.
   *
   * @returns 0x04 ‖ x ‖ y
   * @throws `RangeError` for a scalar of another length or out of range
   */
  publicKey(scalar: Uint8Array): Uint8Array {
    assertScalar(scalar)
    return this.#call(({ exports, put, take }) => {
      put('PRIVATE_INPUT', scalar)
      exports.pointFromScalar(POINT_BYTES)
      return take('PUBLIC_KEY_INPUT', POINT_BYTES)
    })
  }

  /**
   * A public point from either of its two forms (SEC 1 §2.3.3), checked to lie on the curve.
   *
   * @returns 0x04 ‖ x ‖ y, or 0x02 or 0x03 ‖ x where `compressed` is asked for
   * @throws `VaultError` `invalid_argument` for whatever is no point of this curve, the one at infinity included
   */
  parsePoint(point: Uint8Array, options: { compressed?: boolean } = {}): Uint8Array {
    assertBytes(point, 'point')
    const length = options.compressed === true ? COMPRESSED_BYTES : POINT_BYTES
    const parsed = hasPointForm(point)
      ? this.#call(({ exports, put, take }) => {
          put('PUBLIC_KEY_INPUT', point)
          if (exports.isPoint(point.byteLength) !== 1) return undefined
          exports.pointCompress(point.byteLength, length)
          return take('PUBLIC_KEY_INPUT', length)
        })
      : undefined
    if (parsed === undefined) {
      throw new VaultError('invalid_argument', 'Cannot read public key: no point of secp256k1')
    }
    return parsed
  }

  /**
   * Signs a digest. The nonce follows from key and digest (RFC 6979), so the same two give the same signature.
   *
   * @param digest - 32 bytes
   * @throws `RangeError` for another length or a scalar out of range
   */
  sign(scalar: Uint8Array, digest: Uint8Array): RecoverableSignature {
    assertScalar(scalar)
    assertBytes(digest, 'digest', SCALAR_BYTES)
    return this.#call(({ exports, put, take }) => {
      put('PRIVATE_INPUT', scalar)
      put('HASH_INPUT', digest)
      const recoveryId = exports.signRecoverable(0)
      return { signature: take('SIGNATURE_INPUT', SIGNATURE_BYTES), recoveryId }
    })
  }

  /**
   * Whether a signature over a digest is right. A signature of another length, and a point off the curve, never is.
   *
   * @param point - either form
   * @param signature - r ‖ s
   * @param options - `requireLowS`: the twin (r, n−s) of a right signature is wrong (BIP-62, EIP-2). Default true
   * @throws `RangeError` for a digest of another length
   */
  verify(
    point: Uint8Array,
    digest: Uint8Array,
    signature: Uint8Array,
    options: { requireLowS?: boolean } = {},
  ): boolean {
    assertBytes(point, 'public key')
    assertBytes(digest, 'digest', SCALAR_BYTES)
    assertBytes(signature, 'signature')
    if (!hasPointForm(point) || !isSignature(signature)) return false
    return this.#call(({ exports, put }) => {
      put('PUBLIC_KEY_INPUT', point)
      if (exports.isPoint(point.byteLength) !== 1) return false
      put('HASH_INPUT', digest)
      put('SIGNATURE_INPUT', signature)
      return exports.verify(point.byteLength, options.requireLowS === false ? 0 : 1) === 1
    })
  }

  /**
   * The public point whose owner signed a digest, or undefined where no point fits.
   *
   * @returns 0x04 ‖ x ‖ y
   * @throws `RangeError` for a digest of another length or a recovery id other than 0 to 3
   */
  recover(digest: Uint8Array, signature: Uint8Array, recoveryId: number): Uint8Array | undefined {
    assertBytes(digest, 'digest', SCALAR_BYTES)
    assertBytes(signature, 'signature')
    if (!Number.isInteger(recoveryId) || recoveryId < 0 || recoveryId > 3) {
      throw new RangeError(`Cannot recover public key: ${recoveryId} is no recovery id`)
    }
    if (!isSignature(signature)) return undefined
    return this.#call(({ exports, put, take }) => {
      put('HASH_INPUT', digest)
      put('SIGNATURE_INPUT', signature)
      const found = exports.recover(POINT_BYTES, recoveryId) === 1
      return found ? take('PUBLIC_KEY_INPUT', POINT_BYTES) : undefined
    })
  }

  /**
   * Writes (scalar + tweak) mod n into secret memory, as BIP-32 and SLIP-10 derive. False, with `out` all zeros, where
   * the tweak is not below n or the sum is zero: the derivation then goes on as its standard says.
   *
   * @throws `RangeError` for a length other than 32 bytes, or a scalar out of range
   */
  addModN(scalar: Uint8Array, tweak: Uint8Array, out: Uint8Array): boolean {
    assertScalar(scalar)
    assertBytes(tweak, 'tweak', SCALAR_BYTES)
    assertBytes(out, 'room for a scalar', SCALAR_BYTES)
    return this.#call(({ exports, put, view }) => {
      put('PRIVATE_INPUT', scalar)
      put('TWEAK_INPUT', tweak)
      const added = exports.privateAdd() === 1
      if (added) out.set(view('PRIVATE_INPUT', SCALAR_BYTES))
      else out.fill(0)
      return added
    })
  }

  #call<T>(use: (loaded: Loaded) => T): T {
    let done = false
    try {
      const result = use(this.#loaded)
      done = this.#loaded.restore()
      return result
    } finally {
      if (!done) {
        // Something was thrown through the library, which then keeps its stack, or its memory grew: begin anew.
        new Uint8Array(this.#loaded.exports.memory.buffer).fill(0)
        this.#loaded = load(this.#module)
      }
    }
  }
}

/** One instance of the library, and its memory as bytes. */
interface Loaded {
  readonly exports: Exports
  /** Writes where a call reads. */
  readonly put: (input: Input, bytes: Uint8Array) => void
  /** What a call wrote, to be copied before the call is over. */
  readonly view: (input: Input, length: number) => Uint8Array
  /** A copy of what a call wrote, to be made public. */
  readonly take: (input: Input, length: number) => Uint8Array
  /** Brings the memory back to its first state; false where it is not the memory it was. */
  readonly restore: () => boolean
}

function load(module: WebAssembly.Module): Loaded {
  const instance = new WebAssembly.Instance(module, {
    // Blinds the context against side channels, once; signatures do not depend on it.
    './rand.js': { generateInt32: () => randomInt(0x1_0000_0000) | 0 },
    './validate_error.js': {
      throwError(code: number): never {
        throw new VaultError('internal', `Cannot use libsecp256k1: it refused its input (${code})`)
      },
    },
  })
  const exports = instance.exports as WebAssembly.Exports & Exports
  exports.initializeContext()
  const memory = new Uint8Array(exports.memory.buffer)
  memory.fill(0, 0, STACK_END)
  const beforeTables = memory.slice(STACK_END, TABLES_BEGIN)
  const behindTables = memory.slice(TABLES_END)
  const view = (input: Input, length: number): Uint8Array => {
    const from = exports[input].value as number
    return memory.subarray(from, from + length)
  }
  return {
    exports,
    view,
    put: (input, bytes) => view(input, bytes.byteLength).set(bytes),
    take: (input, length) => new Uint8Array(view(input, length)),
    restore: () => {
      // Memory that grew would have left this view without length.
      if (memory.byteLength !== MEMORY_BYTES) return false
      memory.fill(0, 0, STACK_END)
      memory.set(beforeTables, STACK_END)
      memory.set(behindTables, TABLES_END)
      return true
    },
  }
}

function assertScalar(scalar: Uint8Array): void {
  assertBytes(scalar, 'scalar', SCALAR_BYTES)
  if (!isScalar(ORDER, scalar)) {
    throw new RangeError('Cannot take scalar: out of the range of secp256k1')
  }
}

/** The two forms we take; libsecp256k1 would also take the hybrid one, which nobody should send. */
function hasPointForm(point: Uint8Array): boolean {
  const [first] = point
  return (
    (point.byteLength === COMPRESSED_BYTES && (first === 2 || first === 3)) ||
    (point.byteLength === POINT_BYTES && first === 4)
  )
}

/** r and s in range: for anything else the library throws, and would have to be loaded again. */
function isSignature(signature: Uint8Array): boolean {
  return (
    signature.byteLength === SIGNATURE_BYTES &&
    isScalar(ORDER, signature.subarray(0, SCALAR_BYTES)) &&
    isScalar(ORDER, signature.subarray(SCALAR_BYTES))
  )
}
