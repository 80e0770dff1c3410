/** What leaves after one commit: the signed head, and receipts that share its one signature. Made only where somebody asks. */
import { encode, toHex } from '@stronghold/core'
import type { OpenVault, SignedHead } from '@stronghold/vault'

import { receiptsOf } from './receipts.ts'
import { sha256 } from './sha256.ts'

/** The answers of one commit. */
export class Release {
  readonly #vault: OpenVault
  readonly #leaves: readonly Uint8Array[]
  readonly #certificate: Uint8Array | null
  #head: SignedHead | undefined
  #encoded: Uint8Array | undefined
  #receipts: ReadonlyMap<string, Uint8Array> | undefined

  /** @param leaves - of all receipts of this commit (`audit.md §4`) */
  constructor(
    vault: OpenVault,
    leaves: readonly Uint8Array[] = [],
    certificate: Uint8Array | null = null,
  ) {
    this.#vault = vault
    this.#leaves = leaves
    this.#certificate = certificate
  }

  /** The signed head, CBOR. */
  get head(): Uint8Array {
    return (this.#encoded ??= encode(this.#signed()))
  }

  /** The receipt around a leaf. @throws `RangeError` for a leaf of another commit */
  receipt(leaf: Uint8Array): Uint8Array {
    this.#signed()
    const receipt = this.#receipts?.get(toHex(leaf))
    if (receipt === undefined) throw new RangeError('Cannot make receipt: of another commit')
    return receipt
  }

  #signed(): SignedHead {
    if (this.#head !== undefined) return this.#head
    if (this.#leaves.length === 0) return (this.#head = this.#vault.head())
    const { root, seal } = receiptsOf(this.#leaves, sha256)
    const head = this.#vault.head(root)
    const receipts = seal(head, this.#certificate)
    this.#receipts = new Map(
      this.#leaves.map((leaf, index) => [toHex(leaf), receipts[index] ?? new Uint8Array()]),
    )
    return (this.#head = head)
  }
}
