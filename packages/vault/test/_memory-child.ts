/**
 * A vault in a process of its own, whose memory `memory.node.test.ts` reads from outside. Secrets come through
 * descriptor 3, straight into locked memory that is given back after use; commands come through standard input.
 */
import { readSync, writeSync } from 'node:fs'

import { Slab } from '../src/secret.ts'
import type { Secret } from '../src/secret.ts'
import { sodium } from '../src/sodium.ts'
import { MemoryStore } from '../src/stores/memory.ts'
import { createVault } from '../src/vault.ts'
import type { OpenVault } from '../src/vault.ts'
import {
  copy,
  decrypt,
  encrypt,
  generate,
  hkdf,
  importSecret,
  mac,
  sign,
  slip10Derive,
  wrap,
} from '../src/catalog/index.ts'

const MESSAGE = new TextEncoder().encode('a message that is no secret')
let vault: OpenVault | undefined

/** The next secret from descriptor 3: u16 length, then as many bytes. */
function receive(slab: Slab): Secret {
  const head = new Uint8Array(2)
  fill(head)
  const secret = slab.take(new DataView(head.buffer).getUint16(0))
  fill(secret.bytes)
  return secret
}

function fill(out: Uint8Array): void {
  for (let at = 0; at < out.byteLength;) at += readSync(3, out, at, out.byteLength - at, null)
}

/** Runs something with secrets that come in, in memory that is gone afterwards. */
async function receiving<T>(body: (next: () => Uint8Array) => Promise<T>): Promise<T> {
  using slab = new Slab({ bytes: 16_384 })
  return await body(() => receive(slab).bytes)
}

function opened(): OpenVault {
  if (vault === undefined) throw new Error('no vault')
  return vault
}

const commands: Record<string, () => Promise<void>> = {
  async create() {
    await receiving(async (next) => {
      const dataKey = next()
      const passphrase = next()
      let planted = false
      vault = await createVault(
        {
          at: new MemoryStore(),
          credential: { passphrase },
          kdf: { memoryKiB: 19 * 1024, passes: 2 },
          memory: { requireLocked: true },
        },
        {
          random(out) {
            // The first 32 bytes that a new vault asks for are its data key.
            if (out.byteLength === 32 && !planted) {
              planted = true
              out.set(dataKey)
            } else sodium.randombytes_buf(out)
          },
        },
      )
    })
  },
  async import() {
    const v = opened()
    const material = { egress: 'material' } as const
    await receiving(async (next) => {
      await v.run(importSecret, {
        to: 'keys/ed25519',
        as: { format: 'raw', type: 'ed25519' },
        secret: next(),
        labels: material,
      })
      await v.run(importSecret, {
        to: 'keys/aes',
        as: { format: 'raw', type: 'aes-256-gcm' },
        secret: next(),
        labels: material,
      })
      await v.run(importSecret, {
        to: 'opaque',
        as: { format: 'raw', type: 'opaque' },
        secret: next(),
        labels: material,
      })
      await v.run(importSecret, { to: 'seed', as: { format: 'bip39' }, secret: next() })
      await v.run(importSecret, {
        to: 'keys/secp256k1',
        as: { format: 'raw', type: 'secp256k1' },
        secret: next(),
      })
      await v.run(importSecret, {
        to: 'keys/p256',
        as: { format: 'raw', type: 'p256' },
        secret: next(),
      })
      await v.run(importSecret, {
        to: 'keys/hmac',
        as: { format: 'raw', type: 'hmac-sha2' },
        secret: next(),
      })
    })
  },
  async unlock() {
    const v = opened()
    await receiving(async (next) => {
      await v.unlock({ passphrase: next() })
    })
  },
  async use() {
    const v = opened()
    for (let i = 0; i < 20; i++) {
      for (const key of ['keys/ed25519', 'keys/p256']) await v.run(sign, { key, message: MESSAGE })
      await v.run(sign, { key: 'keys/secp256k1', message: MESSAGE, as: { format: 'raw' } })
      const { envelope } = await v.run(encrypt, { key: 'keys/aes', message: MESSAGE })
      await v.run(decrypt, { key: 'keys/aes', envelope })
      await v.run(mac, { key: 'keys/hmac', message: MESSAGE })
      await v.run(copy, { from: 'opaque', to: `copies/n${i}` })
      await v.chain([
        { procedure: slip10Derive, input: { from: 'seed', type: 'ed25519', keyPath: "m/44'/0'" } },
        { procedure: sign, input: { key: { step: 0, output: 'record' }, message: MESSAGE } },
      ])
      await v
        .chain([
          { procedure: hkdf, input: { from: 'opaque', type: 'aes-256-kw', to: `kw/n${i}` } },
          {
            procedure: wrap,
            input: { key: { step: 0, output: 'record' }, source: 'keys/ed25519' },
          },
        ])
        .catch(() => {})
      // What fails wipes, too.
      await v
        .chain([
          { procedure: copy, input: { from: 'keys/ed25519' } },
          { procedure: sign, input: { key: 'none', message: MESSAGE } },
        ])
        .catch(() => {})
    }
    await Promise.all(
      Array.from({ length: 64 }, () => v.run(sign, { key: 'keys/ed25519', message: MESSAGE })),
    )
    await v.run(generate, { type: 'aes-256-kw', to: 'wrapping' })
    await v.run(wrap, { key: 'wrapping', source: 'opaque' })
  },
  /** For the test of the test: a secret that is left where it should not be. */
  async leak() {
    using slab = new Slab({ bytes: 16_384 })
    const copy = Uint8Array.from(receive(slab).bytes)
    Reflect.set(globalThis, 'leaked', Buffer.from(copy).toString('hex'))
  },
  async lock() {
    await opened().lock()
  },
}

process.stdin.setEncoding('latin1')
let line = ''
for await (const chunk of process.stdin) {
  line += String(chunk)
  for (let end = line.indexOf('\n'); end !== -1; end = line.indexOf('\n')) {
    const command = line.slice(0, end)
    line = line.slice(end + 1)
    try {
      await commands[command]?.()
      writeSync(1, 'done\n')
    } catch (error) {
      writeSync(1, `${String(error)}\n`)
    }
  }
}
