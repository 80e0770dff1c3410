/** `@stronghold/guard/proofs`: what somebody without a vault can check and prove. Pure; everything here runs in a browser, too. */
export { boundBytes, requestBytes } from './hashed.ts'
export type { HashedBinding, HashedRequest } from './hashed.ts'
export { decodeHead, signedBytes } from './heads.ts'
export type { SignedHead } from './heads.ts'
export { approvalId, named, requestName, shortest } from './ids.ts'
export type { Sha256 } from './merkle.ts'
export { pairProofBytes, TICKET_BYTES, ticketIdBytes } from './pairing.ts'
export type { PairSide } from './pairing.ts'
export {
  CERTIFICATE_ENVELOPE,
  decodeCertificate,
  decodeReceipt,
  encodeCertificate,
  verifyReceipt,
} from './receipts.ts'
export type {
  KeyCertificate,
  Leaf,
  Receipt,
  ReceiptCrypto,
  ReceiptExpected,
  ReceiptVerdict,
  Use,
} from './receipts.ts'
