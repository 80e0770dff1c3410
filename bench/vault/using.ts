/** Keys in use: each procedure of an open vault, alone and 64 in a turn, beside the primitive that it calls. */
import { createCipheriv, generateKeyPairSync, randomBytes, sign as opensslSign } from 'node:crypto'

import type { OpenVault } from '@stronghold/vault'
import { decrypt, encrypt, generate, sign, verify } from '@stronghold/vault/catalog'

import { sodium } from '../../packages/vault/src/sodium.ts'

import type { Measure, Side } from './side.ts'

const GROUP = 64
const message = new Uint8Array(32).fill(0x6d)
const RAW = { format: 'raw' } as const

/** Makes the keys it needs and gives the measures. */
export async function using(vault: OpenVault): Promise<Measure[]> {
  const keys = {
    sign: 'ed25519',
    p256: 'p256',
    x: 'xchacha20-poly1305',
    gcm: 'aes-256-gcm',
  } as const
  for (const [to, type] of Object.entries(keys)) await vault.run(generate, { to, type })
  const { signature } = await vault.run(sign, { key: 'sign', message, as: RAW })
  const { envelope } = await vault.run(encrypt, { key: 'x', message })
  const ours: Record<string, () => Promise<unknown>> = {
    sign: () => vault.run(sign, { key: 'sign', message, as: RAW }),
    verify: () => vault.run(verify, { key: 'sign', message, signature, as: RAW }),
    p256: () => vault.run(sign, { key: 'p256', message, as: RAW }),
    seal: () => vault.run(encrypt, { key: 'x', message }),
    open: () => vault.run(decrypt, { key: 'x', envelope }),
    gcm: () => vault.run(encrypt, { key: 'gcm', message }),
  }
  const raw = primitives()
  return TITLES.flatMap(([name, title, beside]) => {
    const run = ours[name]
    const other = raw[name]
    if (run === undefined || other === undefined) return []
    const against = { once: other }
    return [
      { name, title: `${title}, alone`, beside, ours: alone(run), raw: against },
      {
        name: `${name}64`,
        title: `${title}, ${GROUP} in a turn`,
        beside,
        ours: grouped(run),
        raw: against,
      },
    ]
  })
}

const TITLES = [
  ['sign', 'Ed25519 signatures', 'libsodium'],
  ['verify', 'Ed25519 verifications', 'libsodium'],
  ['p256', 'P-256 signatures', 'OpenSSL'],
  ['seal', 'XChaCha20-Poly1305 sealed', 'libsodium'],
  ['open', 'XChaCha20-Poly1305 opened', 'libsodium'],
  ['gcm', 'AES-256-GCM sealed', 'OpenSSL'],
] as const

function alone(run: () => Promise<unknown>): Side {
  return {
    once: async () => {
      await run()
      return 1
    },
  }
}

function grouped(run: () => Promise<unknown>): Side {
  return {
    once: async () => {
      await Promise.all(Array.from({ length: GROUP }, run))
      return GROUP
    },
  }
}

/** The libraries by themselves, with the key at hand: nothing can be faster. */
function primitives(): Record<string, () => number> {
  const publicKey = new Uint8Array(32)
  const secretKey = new Uint8Array(64)
  sodium.crypto_sign_seed_keypair(publicKey, secretKey, randomBytes(32))
  const signature = new Uint8Array(64)
  sodium.crypto_sign_detached(signature, message, secretKey)
  const key = randomBytes(32)
  const nonce = randomBytes(24)
  const sealed = new Uint8Array(message.byteLength + 16)
  const fixed = Uint8Array.from(nonce)
  sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, message, null, null, fixed, key)
  const opened = new Uint8Array(message.byteLength)
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const many = (work: () => unknown) => (): number => {
    for (let i = 0; i < GROUP; i++) work()
    return GROUP
  }
  return {
    sign: many(() => {
      sodium.crypto_sign_detached(signature, message, secretKey)
    }),
    verify: many(() => sodium.crypto_sign_verify_detached(signature, message, publicKey)),
    p256: many(() =>
      opensslSign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
    ),
    seal: many(() => {
      sodium.randombytes_buf(nonce)
      const out = new Uint8Array(message.byteLength + 16)
      sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(out, message, null, null, nonce, key)
    }),
    open: many(() => {
      sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(opened, null, sealed, null, fixed, key)
    }),
    gcm: many(() => {
      const cipher = createCipheriv('aes-256-gcm', key, randomBytes(12))
      const body = cipher.update(message)
      cipher.final()
      return [body, cipher.getAuthTag()]
    }),
  }
}
