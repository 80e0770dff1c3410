/** Whom backups in tests are for. Loads no test runner, so that processes that are started load quickly. */
import { formatAgeIdentity, formatAgeRecipient } from '../../src/formats/age-bech32.ts'
import { publicKey } from '../../src/primitives/x25519.ts'
import { Slab } from '../../src/secret.ts'

/** The secret half. */
export const SECRET_KEY: Uint8Array = new Uint8Array(32).fill(0x21)

/** Whom backups are for. */
export const RECIPIENT: string = formatAgeRecipient(publicKey(SECRET_KEY))

/** What opens them. */
export const IDENTITY: { identities: Uint8Array } = (() => {
  using slab = new Slab({ bytes: 4096 })
  using text = formatAgeIdentity(slab, SECRET_KEY)
  return { identities: Uint8Array.from(text.bytes) }
})()
