/** OpenSSH's private keys laid out by hand (PROTOCOL.key), right ones and wrong ones. */
import { concat, encodeUtf8 } from '@stronghold/core'

import { writePem } from '../../src/formats/pem.ts'
import { sshString, sshUint32 } from '../../src/formats/ssh-wire.ts'

/** Every field of a file. */
export interface SshKeyLayout {
  magic: string
  cipher: string
  kdf: string
  options: Uint8Array
  count: number
  publicKey: Uint8Array
  checks: readonly [number, number]
  /** The public key again, then the secret half. */
  inside: Uint8Array
  comment: string
  /** Default: 1, 2, 3 … to a whole block of 16. */
  padding?: Uint8Array
  /** Behind the part that may be encrypted. */
  tag: Uint8Array
}

/** A plain ed25519 key with the seed 05 05 05 …; whether the public half is that of the seed is nobody's business here. */
export function sshKeyLayout(publicKey: Uint8Array): SshKeyLayout {
  const blob = concat([sshString('ssh-ed25519'), sshString(publicKey)])
  return {
    magic: 'openssh-key-v1\0',
    cipher: 'none',
    kdf: 'none',
    options: new Uint8Array(0),
    count: 1,
    publicKey: blob,
    checks: [77, 77],
    inside: concat([blob, sshString(concat([new Uint8Array(32).fill(5), publicKey]))]),
    comment: 'me',
    tag: new Uint8Array(0),
  }
}

/** What stands below the armour. */
export function sshKeyBytes(layout: SshKeyLayout): Uint8Array {
  const inside = concat([
    sshUint32(layout.checks[0]),
    sshUint32(layout.checks[1]),
    layout.inside,
    sshString(layout.comment),
  ])
  const missing = (16 - (inside.byteLength % 16)) % 16
  const padding = layout.padding ?? Uint8Array.from({ length: missing }, (_, i) => i + 1)
  return concat([
    encodeUtf8(layout.magic),
    sshString(layout.cipher),
    sshString(layout.kdf),
    sshString(layout.options),
    sshUint32(layout.count),
    sshString(layout.publicKey),
    sshString(concat([inside, padding])),
    layout.tag,
  ])
}

/** The whole file. */
export function armouredSshKey(bytes: Uint8Array): Uint8Array {
  return encodeUtf8(writePem('OPENSSH PRIVATE KEY', bytes, 70))
}
