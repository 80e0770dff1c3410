/**
 * Runs every primitive on planted secrets, wipes the slab and searches the whole process for what they left: prints
 * the traces found as JSON. A process of its own, so that no test runner stands in the way.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

import { AES_256_GCM, CHACHA20_POLY1305, XCHACHA20_POLY1305 } from '../../src/primitives/aead.ts'
import { concatKdf } from '../../src/primitives/concat-kdf.ts'
import * as ecdsa from '../../src/primitives/ecdsa.ts'
import * as ed25519 from '../../src/primitives/ed25519.ts'
import { hkdf } from '../../src/primitives/hkdf.ts'
import { hmac, hmacInto } from '../../src/primitives/hmac.ts'
import * as keywrap from '../../src/primitives/keywrap.ts'
import { pbkdf2 } from '../../src/primitives/pbkdf2.ts'
import { Secp256k1 } from '../../src/primitives/secp256k1.ts'
import * as x25519 from '../../src/primitives/x25519.ts'
import { Slab } from '../../src/secret.ts'
import type { Secret } from '../../src/secret.ts'
import { sodium } from '../../src/sodium.ts'

/** Bytes of a secret that are searched for: one limb, in both orders. */
const TRACE = 8
const CHUNK = 1024 * 1024
/** What glibc writes over at the beginning of memory that was given back. */
const ALLOCATORS = 16

/** Run nothing but a control that leaves a copy, to show that the search finds what is there. */
const leave = process.argv[2] === 'leave'

const slab = new Slab()
const secp256k1 = new Secp256k1()
const message = randomBytes(100)
const nonce = randomBytes(24)

/**
 * What to look for, each behind a mark by which its own place is told from a trace. All secrets that go in share a
 * tag, and the byte behind it says whose it is, so that one search finds them all.
 */
const tools = sodium.sodium_malloc(64 * 1024)
const mark = randomBytes(TRACE)
const traces: Uint8Array[] = []
const names: string[] = []
const whose = new Map<Uint8Array, string>()

function lookFor(bytes: Uint8Array): Uint8Array {
  const at = 2 * TRACE * traces.length
  tools.set(mark, at)
  const trace = tools.subarray(at + TRACE, at + 2 * TRACE)
  trace.set(bytes)
  traces.push(trace)
  return trace
}

const tag = lookFor(new Uint8Array(TRACE))
sodium.randombytes_buf(tag)
const reversedTag = lookFor(tag)
reversedTag.reverse()

/** One primitive: what goes in and what is derived from it are secrets, and neither may stay. */
function run(
  name: string,
  out: number,
  use: (secret: Uint8Array, out: Uint8Array) => void,
  derived = true,
): void {
  if (leave !== (name === 'control')) return
  using secret = slab.random(32)
  // In the range of every curve.
  secret.bytes[0] = 1
  // Behind what an allocator itself writes into memory that was given back.
  secret.bytes.set(tag, ALLOCATORS)
  secret.bytes[ALLOCATORS + TRACE] = names.push(name) - 1
  for (let again = 0; again < 3; again++) {
    using room = slab.take(out)
    use(secret.bytes, room.bytes)
    if (derived && out > 0 && again === 2) whose.set(lookFor(room.bytes.subarray(-TRACE)), name)
  }
}

run(
  'ed25519',
  64,
  (secret, out) => {
    ed25519.expand(secret, out)
    ed25519.sign(out, message)
  },
  false,
)
run('x25519', 32, (secret, out) =>
  x25519.agree(secret, x25519.publicKey(message.subarray(0, 32)), out),
)
for (const curve of [ecdsa.P256, ecdsa.P384]) {
  run(
    curve.name,
    curve.expandedBytes,
    (secret, out) => {
      using scalar = slab.take(curve.scalarBytes)
      scalar.bytes.set(secret, curve.scalarBytes - 32)
      ecdsa.expand(curve, scalar.bytes, out)
      ecdsa.sign(curve, out, message)
    },
    false,
  )
}
run('secp256k1', 32, (secret, out) => {
  secp256k1.publicKey(secret)
  secp256k1.sign(secret, message.subarray(0, 32))
  secp256k1.addModN(secret, new Uint8Array(32).fill(9), out)
})
for (const [name, cipher] of Object.entries({
  AES_256_GCM,
  CHACHA20_POLY1305,
  XCHACHA20_POLY1305,
})) {
  run(`${name} key`, 0, (secret) => {
    cipher.seal(secret, nonce.subarray(0, cipher.nonceBytes), message, message)
  })
  run(`${name} plaintext`, 32, (secret, out) => {
    using key = slab.random(32)
    const sealed = cipher.seal(key.bytes, nonce.subarray(0, cipher.nonceBytes), message, secret)
    cipher.open(key.bytes, nonce.subarray(0, cipher.nonceBytes), message, sealed, out)
  })
}
/**
 * Long ones take other ways through an allocator: the secret stands in the middle and at the end. Each length is used
 * once, so that what one leaves is not written over by the next.
 */
function long(secret: Uint8Array, length: number): Secret {
  const made = slab.take(length)
  made.bytes.set(secret, Math.floor(length / 2))
  made.bytes.set(secret, length - secret.byteLength)
  return made
}
for (const length of [200, 808, 24_000, 64_000]) {
  const open = (secret: Uint8Array, out: Uint8Array, change: number): void => {
    using key = slab.random(32)
    using plaintext = long(secret, length)
    const sealed = AES_256_GCM.seal(key.bytes, nonce.subarray(0, 12), message, plaintext.bytes)
    sealed[length] = (sealed[length] ?? 0) ^ change
    AES_256_GCM.open(key.bytes, nonce.subarray(0, 12), message, sealed, out)
  }
  run(
    `AES_256_GCM plaintext of ${length}`,
    length,
    (secret, out) => {
      open(secret, out, 0)
    },
    false,
  )
  // What does not authenticate was decrypted all the same.
  run(
    `AES_256_GCM refused plaintext of ${length}`,
    length,
    (secret, out) => {
      open(secret, out, 1)
    },
    false,
  )
}
for (const [length, unwrap] of [
  [304, keywrap.unwrap],
  [1008, keywrap.unwrap],
  [30_000, keywrap.unwrap],
  [408, keywrap.unwrapPadded],
  [912, keywrap.unwrapPadded],
  [50_000, keywrap.unwrapPadded],
] as const) {
  run(
    `wrapped, of ${length}`,
    length,
    (secret, out) => {
      using key = slab.random(32)
      using plaintext = long(secret, length)
      const wrap = unwrap === keywrap.unwrap ? keywrap.wrap : keywrap.wrapPadded
      unwrap(key.bytes, wrap(key.bytes, plaintext.bytes), out)
    },
    false,
  )
}

run('wrapping key', 0, (secret) => keywrap.wrap(secret, message.subarray(0, 64)))
run('wrapped', 32, (secret, out) => {
  using key = slab.random(32)
  keywrap.unwrap(key.bytes, keywrap.wrap(key.bytes, secret), out)
  keywrap.unwrapPadded(key.bytes, keywrap.wrapPadded(key.bytes, secret), out)
})
for (const hash of ['sha256', 'sha384', 'sha512'] as const) {
  run(`hmac ${hash} key`, 0, (secret) => hmac(hash, secret, message))
  const bytes = { sha256: 32, sha384: 48, sha512: 64 }[hash]
  run(`hmac ${hash}`, bytes, (secret, out) => hmacInto(hash, secret, [secret, message], out))
  run(`hkdf ${hash}`, 160, (secret, out) => hkdf(hash, secret, { info: message }, out))
  run(`pbkdf2 ${hash}`, 160, (secret, out) => pbkdf2(hash, secret, message, 5, out))
  run(`concat kdf ${hash}`, 160, (secret, out) => concatKdf(slab, hash, secret, message, out))
}

// A wrong key has to let go, too.
run('unwrapping key', 0, (secret) => {
  using room = slab.take(64)
  keywrap.unwrap(secret, message.subarray(0, 72), room.bytes)
  keywrap.unwrapPadded(secret, message.subarray(0, 72), room.bytes)
})

const control = Buffer.alloc(100)
run('control', 0, (secret) => control.set(secret))

process.stdout.write(JSON.stringify({ ran: names.length, found: search() }))

/** Names of what is found anywhere in memory that can be written. */
function search(): string[] {
  const chunk = sodium.sodium_malloc(CHUNK)
  const found = new Set<string>()
  const memory = openSync('/proc/self/mem', 'r')
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const [, from, to] = /^(\w+)-(\w+) rw/.exec(line) ?? []
    if (from === undefined || to === undefined) continue
    const end = Number(`0x${to}`)
    // Chunks overlap by a mark and a trace, so that none is missed at a border.
    for (let at = Number(`0x${from}`); at < end; at += CHUNK - 4 * TRACE) {
      let length: number
      try {
        length = readSync(memory, chunk, 0, Math.min(CHUNK, end - at), at)
      } catch {
        // Guard pages and devices cannot be read.
        continue
      }
      for (const trace of traces) {
        for (let hit = -1; (hit = chunk.indexOf(trace, hit + 1)) >= 0 && hit < length;) {
          if (hit >= TRACE && mark.equals(chunk.subarray(hit - TRACE, hit))) continue
          const owner = chunk[trace === reversedTag ? hit - 1 : hit + TRACE]
          const result = whose.get(trace)
          found.add(result === undefined ? `in ${names[owner ?? -1] ?? 'part'}` : `out ${result}`)
        }
      }
    }
  }
  closeSync(memory)
  return [...found]
}
