/** What browsers do not have. Each says so when it is used, not when it is loaded. */
import { P2pError } from '../errors.ts'

import type { MulticastRuntime } from './multicast.ts'
import type { RouterRuntime } from './routers.ts'
import type { TlsRuntime } from './tls.ts'

/** A browser reaches no multicast group. */
export const multicastRuntime: MulticastRuntime | undefined = undefined

/** A browser reaches no router. */
export const routerRuntime: RouterRuntime | undefined = undefined

/** @throws `P2pError` `unimplemented`, always */
export async function readSecretFile(
  _path: string,
  _maxBytes: number,
): Promise<Uint8Array | undefined> {
  throw missing('read a file')
}

/** @throws `P2pError` `unimplemented`, always */
export async function createSecretFile(_path: string, _secretBytes: Uint8Array): Promise<boolean> {
  throw missing('write a file')
}

/** Each part throws `P2pError` `unimplemented`, always. */
export const tlsRuntime: TlsRuntime = {
  available: false,
  generateCertificateKey: () => {
    throw missing('use TLS')
  },
  verifyCertificateSignature: () => {
    throw missing('use TLS')
  },
}

function missing(action: string): P2pError {
  return new P2pError('unimplemented', `Cannot ${action}: not in a browser`, { layer: 'security' })
}
