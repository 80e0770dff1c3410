/**
 * What a key signs to log in by SSH (RFC 4252 §7, and OpenSSH's form that names the host's key), read so that people see
 * what they approve. It decides nothing.
 */
import { SshReader } from './ssh-wire.ts'

/** A login that waits for its signature. */
export interface SshLogin {
  /** The exchange hash of the connection: 20 to 64 bytes. */
  readonly sessionId: Uint8Array
  /** The name on the host. */
  readonly user: string
  /** Nearly always `ssh-connection`. */
  readonly service: string
  /** SSH's name of the key's type. */
  readonly algorithm: string
  /** The blob of the key that signs. */
  readonly publicKey: Uint8Array
  /** The blob of the host's key, where the client binds the login to it. Any type; `sshFingerprint` shows it. */
  readonly hostKey?: Uint8Array
}

/** RFC 4252 §6. */
const SSH_MSG_USERAUTH_REQUEST = 50
const METHOD = 'publickey'
/** OpenSSH's PROTOCOL §3.1. */
const HOSTBOUND_METHOD = 'publickey-hostbound-v00@openssh.com'

/**
 * Reads the bytes that a key signs to log in.
 *
 * @throws `SyntaxError` for anything else, also where the algorithm is not the type of the key
 */
export function readSshLogin(bytes: Uint8Array): SshLogin {
  const reader = new SshReader(bytes, 'SSH login')
  const sessionId = Uint8Array.from(reader.string())
  if (sessionId.byteLength < 20 || sessionId.byteLength > 64) throw reader.refuse('no session id')
  if (reader.byte() !== SSH_MSG_USERAUTH_REQUEST) throw reader.refuse('no login')
  const user = reader.text()
  const service = reader.text()
  const method = reader.text()
  if (method !== METHOD && method !== HOSTBOUND_METHOD) throw reader.refuse('no login by key')
  // TRUE: this is the request with the signature, not the question whether the key would do.
  if (reader.byte() !== 1) throw reader.refuse('no request that is signed')
  const algorithm = reader.text()
  const publicKey = blob(reader)
  if (keyType(publicKey) !== algorithm) throw reader.refuse('another algorithm than the key has')
  const hostKey = method === HOSTBOUND_METHOD ? blob(reader) : undefined
  reader.end()
  if (hostKey !== undefined) keyType(hostKey)
  return {
    sessionId,
    user,
    service,
    algorithm,
    publicKey,
    ...(hostKey !== undefined && { hostKey }),
  }
}

function blob(reader: SshReader): Uint8Array {
  return Uint8Array.from(reader.string())
}

/** What a key's blob begins with, whether this package supports the type or not. */
function keyType(key: Uint8Array): string {
  const reader = new SshReader(key, 'SSH public key')
  const type = reader.text()
  if (!/^[\x21-\x7e]{1,64}$/.test(type)) throw reader.refuse('no type')
  return type
}
