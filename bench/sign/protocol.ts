/** What both sides know. */
import { bytes, defineProtocol, unary } from '@stronghold/p2p'

/** The channel without a vault. */
export const echo = defineProtocol('/bench/echo/1.0.0', {
  echo: unary({ request: bytes, response: bytes, readOnly: true }),
})

/** Where the key lies. */
export const KEY_PATH = 'release/app'

/** What is signed. */
export const MESSAGE: Uint8Array = new Uint8Array(32).fill(7)
