/** Secrets that come through the owner door: sealed ones are opened, files are read, all straight into locked memory. */
import { readKeyFile, readPassphraseFile, SecretBox, Slab } from '@stronghold/vault'
import type { Secret } from '@stronghold/vault'

import type { SealedSecret, UnlockBy } from './doors.ts'

/** Room for what is on its way, in bytes: the largest secret that a procedure takes, some times over. */
const SLAB_BYTES = 512 * 1024

/** Where secrets from outside arrive. */
export class Secrets implements Disposable {
  /** Room in locked memory. */
  readonly slab: Slab = new Slab({ bytes: SLAB_BYTES })
  readonly #box = new SecretBox(this.slab)

  /** What secrets are sealed to, 32 bytes; another at each start. */
  get publicKey(): Uint8Array {
    return this.#box.publicKey
  }

  /** What unlocks a vault; the caller's to wipe. @throws `VaultError`, `RangeError`, `SyntaxError` as the files say */
  credential(by: UnlockBy): Secret {
    switch (by.by) {
      case 'passphrase':
        return this.#box.open(by.passphrase.sealed)
      case 'passphrase-file':
        return readPassphraseFile(by.path, this.slab)
      case 'key-file':
        return readKeyFile(by.path, this.slab)
    }
  }

  /** Inputs with every sealed field opened; disposing wipes what was opened. */
  openAll(inputs: readonly Readonly<Record<string, unknown>>[]): OpenedInputs {
    const opened: Secret[] = []
    try {
      return new OpenedInputs(
        inputs.map((input) =>
          Object.fromEntries(
            Object.entries(input).map(([name, value]) => {
              if (!isSealedSecret(value)) return [name, value]
              const secret = this.#box.open(value.sealed)
              opened.push(secret)
              return [name, secret.bytes]
            }),
          ),
        ),
        opened,
      )
    } catch (error) {
      for (const secret of opened) secret.wipe()
      throw error
    }
  }

  [Symbol.dispose](): void {
    this.slab[Symbol.dispose]()
  }
}

/** Inputs for as long as they are used. */
export class OpenedInputs implements Disposable {
  readonly inputs: readonly Readonly<Record<string, unknown>>[]
  readonly #opened: readonly Secret[]

  constructor(inputs: readonly Readonly<Record<string, unknown>>[], opened: readonly Secret[]) {
    this.inputs = inputs
    this.#opened = opened
  }

  [Symbol.dispose](): void {
    for (const secret of this.#opened) secret.wipe()
  }
}

function isSealedSecret(value: unknown): value is SealedSecret {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.keys(value).length === 1 &&
    'sealed' in value &&
    value.sealed instanceof Uint8Array
  )
}
