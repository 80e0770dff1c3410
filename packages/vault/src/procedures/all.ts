/** Every procedure with what carries it out. It opens nothing: handles and scope come with each call. */
import * as catalog from '../catalog/index.ts'
import { VaultError } from '../errors.ts'
import {
  agreeing,
  concatenating,
  derivingConcatKdf,
  derivingHkdf,
  derivingPbkdf2,
} from './derivation.ts'
import {
  decrypting,
  encrypting,
  makingDataKey,
  rewrapping,
  unwrapping,
  wrapping,
} from './encryption.ts'
import { importing, preparingImport } from './imports.ts'
import {
  collecting,
  copying,
  drawing,
  generating,
  generatingSeed,
  narrowing,
  retiring,
  revoking,
  rotating,
} from './keys.ts'
import { authenticating, checking } from './mac.ts'
import type { Tools } from './pairs.ts'
import { showing } from './public.ts'
import { Registry } from './registry.ts'
import type { Implementation, Preparation } from './registry.ts'
import { signing, verifying } from './sign.ts'
import { derivingAlongPath, generatingMnemonic, recoveringMnemonic } from './wallets.ts'

/** The procedures of a vault. */
export function createRegistry(tools: Tools): Registry {
  const registry = new Registry()
  const add = <P extends catalog.Procedure>(
    procedure: P,
    carryOut: Implementation<P>,
    prepare?: Preparation<P>,
  ): void => {
    registry.add(procedure, bounded(carryOut), prepare)
  }
  add(catalog.generate, generating(tools))
  add(catalog.slip10Generate, generatingSeed(tools))
  add(catalog.importSecret, importing(tools), preparingImport(tools))
  add(catalog.pub, showing)
  add(catalog.sign, signing(tools))
  add(catalog.verify, verifying(tools))
  add(catalog.mac, authenticating)
  add(catalog.macVerify, checking)
  add(catalog.bip39Generate, generatingMnemonic(tools))
  add(catalog.bip39Recover, recoveringMnemonic(tools))
  add(catalog.slip10Derive, derivingAlongPath(tools))
  add(catalog.copy, copying(tools))
  add(catalog.rotate, rotating(tools))
  add(catalog.retire, retiring)
  add(catalog.narrow, narrowing)
  add(catalog.revoke, revoking)
  add(catalog.gc, collecting)
  add(catalog.random, drawing)
  add(catalog.encrypt, encrypting)
  add(catalog.decrypt, decrypting)
  add(catalog.rewrap, rewrapping)
  add(catalog.dataKey, makingDataKey)
  add(catalog.wrap, wrapping)
  add(catalog.unwrap, unwrapping(tools))
  add(catalog.agree, agreeing(tools))
  add(catalog.hkdf, derivingHkdf(tools))
  add(catalog.pbkdf2, derivingPbkdf2(tools))
  add(catalog.concatKdf, derivingConcatKdf(tools))
  add(catalog.concat, concatenating(tools))
  return registry
}

/** Refuses an input that is longer in all than the owner allows; what we added to a plaintext does not count. */
function bounded<P extends catalog.Procedure>(carryOut: Implementation<P>): Implementation<P> {
  return (input, handles, scope) => {
    const overhead = 'envelope' in input ? catalog.ENVELOPE_OVERHEAD : 0
    const bound = scope.limits.maxInputBytes + overhead
    if (bytesIn(input) > bound) {
      throw new VaultError(
        'invalid_argument',
        `Cannot take input: more than ${scope.limits.maxInputBytes} bytes`,
      )
    }
    return carryOut(input, handles, scope)
  }
}

function bytesIn(value: unknown): number {
  if (value instanceof Uint8Array) return value.byteLength
  if (typeof value !== 'object' || value === null) return 0
  return Object.values(value).reduce<number>((sum, one) => sum + bytesIn(one), 0)
}
