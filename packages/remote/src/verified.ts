/**
 * Signatures that were verified a moment ago: the receipts of one transaction share one, and every receipt of a vault the
 * certificate of its key. Only what was right is remembered, and only for the same bytes. It knows nothing of receipts.
 */
import { equalBytes, toHex } from '@stronghold/core'
import type { ReceiptCrypto } from '@stronghold/guard/proofs'

import { MAX_VERIFIED } from './limits.ts'

/** What is verified, or was and is right. */
interface Verified {
  readonly message: Uint8Array
  readonly publicKey: Uint8Array
  readonly verdict: Promise<boolean>
}

type Opening = Parameters<ReceiptCrypto['openEnvelope']>
type Opened = ReturnType<ReceiptCrypto['openEnvelope']>

/** The same answers, most of them without computing. */
export function remembering(crypto: ReceiptCrypto): ReceiptCrypto {
  const all = new Map<string, Verified>()
  let last: { readonly asked: Opening; readonly opened: Opened } | undefined
  return {
    sha256: (bytes) => crypto.sha256(bytes),
    verifyEd25519: async (signature, message, publicKey) => {
      const name = toHex(signature)
      const known = all.get(name)
      if (
        known !== undefined &&
        equalBytes(known.message, message) &&
        equalBytes(known.publicKey, publicKey)
      ) {
        return await known.verdict
      }
      const verdict = Promise.resolve(crypto.verifyEd25519(signature, message, publicKey))
      const mine = { message: message.slice(), publicKey: publicKey.slice(), verdict }
      for (const oldest of all.keys()) {
        if (all.size < MAX_VERIFIED) break
        all.delete(oldest)
      }
      all.set(name, mine)
      let isRight = false
      try {
        isRight = await verdict
      } finally {
        if (!isRight && all.get(name) === mine) all.delete(name)
      }
      return isRight
    },
    openEnvelope: (envelope, kind) => {
      if (last !== undefined && isSame(last.asked, [envelope, kind])) return last.opened
      const opened = crypto.openEnvelope(envelope, kind)
      const mine = (last = { asked: [envelope.slice(), kind], opened })
      const forget = (): void => {
        if (last === mine) last = undefined
      }
      opened.then((found) => {
        if (found === undefined) forget()
      }, forget)
      return opened
    },
  }
}

function isSame([a, of]: Opening, [b, as]: Opening): boolean {
  return of.domain === as.domain && of.payloadType === as.payloadType && equalBytes(a, b)
}
