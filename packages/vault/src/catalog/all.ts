/** Every procedure there is, in the order in which people meet them. */
import type { Procedure } from './define.ts'
import { agree, concat, concatKdf, hkdf, pbkdf2 } from './derivation.ts'
import { dataKey, decrypt, encrypt, rewrap, unwrap, wrap } from './encryption.ts'
import {
  copy,
  gc,
  generate,
  importSecret,
  narrow,
  pub,
  random,
  retire,
  revoke,
  rotate,
} from './keys.ts'
import { mac, macVerify, sign, verify } from './signatures.ts'
import { bip39Generate, bip39Recover, slip10Derive, slip10Generate } from './wallets.ts'

/** All of them. */
export const CATALOG = Object.freeze([
  generate,
  importSecret,
  pub,
  sign,
  verify,
  mac,
  macVerify,
  encrypt,
  decrypt,
  rewrap,
  dataKey,
  agree,
  hkdf,
  pbkdf2,
  concatKdf,
  wrap,
  unwrap,
  bip39Generate,
  bip39Recover,
  slip10Generate,
  slip10Derive,
  copy,
  concat,
  rotate,
  retire,
  narrow,
  revoke,
  gc,
  random,
] as const)

/** Name of a procedure. */
export type ProcedureName = (typeof CATALOG)[number]['name']

const BY_NAME: ReadonlyMap<string, Procedure> = new Map<string, Procedure>(
  CATALOG.map((procedure) => [procedure.name, procedure]),
)

/** The procedure of that name, or `undefined`. */
export function procedureOf(name: string): Procedure | undefined {
  return BY_NAME.get(name)
}
