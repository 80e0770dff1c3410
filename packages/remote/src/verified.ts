/**
 * Signatures that were verified a moment ago: the receipts of one transaction share one, and every receipt of a vault the
 * certificate of its key. Only what was right is remembered, and only for the same bytes. It knows nothing of receipts.
 */
import { equalBytes, toHex } from '@stronghold/core'
import type { ReceiptCrypto } from '@stronghold/guard/proofs'

import { MAX_VERIFIED } from './limits.ts'

/** What was right. */
interface Right {
  readonly message: Uint8Array
  readonly publicKey: Uint8Array
}

type Opening = Parameters<ReceiptCrypto['openEnvelope']>
type Opened = ReturnType<ReceiptCrypto['openEnvelope']>

/** The same answers, most of them without computing. */
export function remembering(crypto: ReceiptCrypto): ReceiptCrypto {
  const right = new Map<string, Right>()
  let last: { readonly asked: Opening; readonly opened: Opened } | undefined
  return {
    sha256: (bytes) => crypto.sha256(bytes),
    verifyEd25519: (signature, message, publicKey) => {
      const name = toHex(signature)
      const known = right.get(name)
      if (
        known !== undefined &&
        equalBytes(known.message, message) &&
        equalBytes(known.publicKey, publicKey)
      ) {
        return true
      }
      if (!crypto.verifyEd25519(signature, message, publicKey)) return false
      for (const oldest of right.keys()) {
        if (right.size < MAX_VERIFIED) break
        right.delete(oldest)
      }
      right.set(name, { message: message.slice(), publicKey: publicKey.slice() })
      return true
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
