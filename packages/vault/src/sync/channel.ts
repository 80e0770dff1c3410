/**
 * What two vaults say to each other, sealed from one's sync key to the other's (`docs/sync.md §5`): HPKE in auth mode, a context
 * each way. All keys lie in the slab. It knows nothing of what is said.
 */
import { concat, encodeUtf8 } from '@stronghold/core'

import { VaultError } from '../errors.ts'
import { createHpkeRecipient, createHpkeSender, HPKE_ENC_BYTES } from '../formats/hpke.ts'
import type { HpkeRecipient, HpkeSender } from '../formats/hpke.ts'
import { idBytes } from '../record.ts'
import { openedLength, seal, unseal } from '../seal.ts'
import type { Random } from '../seal.ts'
import type { Secret, Slab } from '../secret.ts'

const SECRET_DOMAIN = encodeUtf8('stronghold/sync/secret/1')

/** Between whom. */
export interface SyncChannelInit {
  /** The partner's pinned sync key, X25519, 32 bytes. */
  readonly partner: Uint8Array
  /** What both bind what they say to: of what is said here, and there. */
  readonly sendInfo: Uint8Array
  readonly receiveInfo: Uint8Array
}

/** What a channel works with. */
interface Parts {
  readonly slab: Slab
  readonly random: Random
  /** This vault's sync key, in the slab; belongs to the channel. */
  readonly own: Secret
  /** Told once, when it is disposed of. */
  gone(channel: SyncChannel): void
}

/** One run of two vaults, at one end. A message that does not open leaves the channel as it was. */
export class SyncChannel implements Disposable {
  readonly #parts: Parts
  readonly #init: SyncChannelInit
  readonly #sender: HpkeSender
  readonly #sendKey: Secret
  #recipient: HpkeRecipient | undefined
  #receiveKey: Secret | undefined
  #begun = false
  #gone = false

  /** @throws `VaultError` `invalid_argument` for a partner's key that agrees with nobody. @internal */
  constructor(parts: Parts, init: SyncChannelInit) {
    const { slab, own } = parts
    this.#parts = parts
    this.#init = init
    this.#sender = createHpkeSender(slab, {
      recipientPublicKey: init.partner,
      senderSecretKey: own.bytes,
      info: init.sendInfo,
    })
    this.#sendKey = this.#sender.export(slab, SECRET_DOMAIN, 32)
  }

  /** The next message, sealed; the first one with the encapsulated key before it. */
  seal(message: Uint8Array): Uint8Array {
    this.#open()
    const sealed = this.#sender.seal(message)
    if (this.#begun) return sealed
    this.#begun = true
    return concat([this.#sender.enc, sealed])
  }

  /**
   * Opens the partner's next message.
   *
   * @throws `VaultError` `unauthenticated` for anything but it, `invalid_argument` for what is too short
   */
  open(sealed: Uint8Array): Uint8Array {
    this.#open()
    const { slab } = this.#parts
    if (this.#recipient !== undefined) {
      using opened = this.#recipient.open(slab, sealed)
      return Uint8Array.from(opened.bytes)
    }
    if (sealed.byteLength < HPKE_ENC_BYTES) throw unsealed()
    const recipient = createHpkeRecipient(slab, {
      enc: sealed.subarray(0, HPKE_ENC_BYTES),
      recipientSecretKey: this.#parts.own.bytes,
      senderPublicKey: this.#init.partner,
      info: this.#init.receiveInfo,
    })
    try {
      using opened = recipient.open(slab, sealed.subarray(HPKE_ENC_BYTES))
      this.#receiveKey = recipient.export(slab, SECRET_DOMAIN, 32)
      this.#recipient = recipient
      return Uint8Array.from(opened.bytes)
    } catch (error) {
      recipient[Symbol.dispose]()
      throw error
    }
  }

  /** The secret of a version, sealed apart from the message that it travels in. */
  sealSecret(id: string, number: number, secret: Uint8Array): Uint8Array {
    this.#open()
    return seal(this.#sendKey, associated(id, number), secret, this.#parts.random)
  }

  /** The same back, into the slab; the caller's to wipe. @throws `VaultError` `unauthenticated` */
  openSecret(id: string, number: number, sealed: Uint8Array): Secret {
    this.#open()
    if (this.#receiveKey === undefined) throw unsealed()
    const secret = this.#parts.slab.take(openedLength(sealed))
    if (unseal(this.#receiveKey, associated(id, number), sealed, secret.bytes)) return secret
    secret.wipe()
    throw unsealed()
  }

  /** Wipes all keys. Again does nothing. */
  [Symbol.dispose](): void {
    if (this.#gone) return
    this.#gone = true
    this.#sender[Symbol.dispose]()
    this.#sendKey.wipe()
    this.#recipient?.[Symbol.dispose]()
    this.#receiveKey?.wipe()
    this.#parts.own.wipe()
    this.#parts.gone(this)
  }

  #open(): void {
    if (this.#gone) throw new TypeError('Cannot use sync channel: it is closed')
  }
}

function associated(id: string, number: number): Uint8Array {
  const counted = new Uint8Array(4)
  new DataView(counted.buffer).setUint32(0, number)
  return concat([SECRET_DOMAIN, idBytes(id), counted])
}

function unsealed(): VaultError {
  return new VaultError(
    'unauthenticated',
    'Cannot open message: it was not sealed by this partner for this run',
  )
}
