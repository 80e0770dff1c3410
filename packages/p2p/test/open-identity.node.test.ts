import { chmod, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'

import { createLibp2p } from 'libp2p'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { decodePublicKey, verifySignature } from '../src/keys.ts'
import { openIdentity } from '../src/open-identity.ts'
import { isP2pError } from '../src/errors.ts'
import type { KeyType } from '../src/keys.ts'

const KEY_TYPES: KeyType[] = ['ed25519', 'secp256k1', 'ecdsa', 'rsa']

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'identity-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

async function refusal(source: string | Uint8Array): Promise<string> {
  try {
    await openIdentity(source)
  } catch (error) {
    if (isP2pError(error)) return `${error.code}: ${error.message}`
    throw error
  }
  throw new Error('the identity was opened')
}

describe('openIdentity() on a file', () => {
  it('makes an Ed25519 key of mode 0600, and opens the same one again', async () => {
    const path = join(folder, 'identity.key')
    const first = await openIdentity(path)
    expect(first.keyType).toBe('ed25519')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await openIdentity(path)).peer).toBe(first.peer)
    expect(await readdir(folder)).toEqual(['identity.key'])
  })

  it('gives all who ask at once the same key', async () => {
    const path = join(folder, 'identity.key')
    const all = await Promise.all(Array.from({ length: 8 }, () => openIdentity(path)))
    expect(new Set(all.map(({ peer }) => peer)).size).toBe(1)
    expect(await readdir(folder)).toEqual(['identity.key'])
  })

  it('refuses a file that others have access to', async () => {
    const path = join(folder, 'identity.key')
    await openIdentity(path)
    for (const mode of [0o640, 0o604, 0o620, 0o610, 0o601]) {
      await chmod(path, mode)
      expect(await refusal(path)).toMatch(/^failed_precondition: .*others have access/)
    }
    await chmod(path, 0o400)
    expect((await openIdentity(path)).keyType).toBe('ed25519')
  })

  it('refuses a symbolic link, a folder, and a file that is no key', async () => {
    const path = join(folder, 'identity.key')
    await openIdentity(path)
    const linked = join(folder, 'link')
    await symlink(path, linked)
    expect(await refusal(linked)).toMatch(/^failed_precondition: .*symbolic link/)
    await symlink(join(folder, 'nowhere'), join(folder, 'dangling'))
    expect(await refusal(join(folder, 'dangling'))).toMatch(/symbolic link/)
    expect(await refusal(folder)).toMatch(/^failed_precondition: .*no regular file/)
    const junk = join(folder, 'junk')
    await writeFile(junk, 'junk', { mode: 0o600 })
    expect(await refusal(junk)).toBe(
      'invalid_argument: Cannot open the identity: no libp2p private key',
    )
    await writeFile(junk, new Uint8Array(8193))
    expect(await refusal(junk)).toMatch(/^failed_precondition: .*longer than 8192 bytes/)
  })

  it.skipIf(process.geteuid?.() !== 0)('refuses a file of somebody else', async () => {
    const { chown } = await import('node:fs/promises')
    const path = join(folder, 'identity.key')
    await openIdentity(path)
    await chown(path, 65534, 65534)
    expect(await refusal(path)).toMatch(/^failed_precondition: .*belongs to somebody else/)
  })

  it('leaves nothing behind where it cannot write', async () => {
    expect(await refusal(join(folder, 'no', 'folder', 'identity.key'))).toMatch(
      /^failed_precondition/,
    )
    expect(await readdir(folder)).toEqual([])
  })
})

describe.each(KEY_TYPES)('an identity of type %s', (type) => {
  it('signs what its public key verifies, and nothing shows its secret', async () => {
    const identity = await openIdentity({ generate: type })
    const data = new TextEncoder().encode('data')
    const key = decodePublicKey(identity.publicKey)
    expect(key.type).toBe(type)
    const signature = await identity.sign(data)
    expect(await verifySignature(key, data, signature)).toBe(true)
    expect(await verifySignature(key, data.subarray(1), signature)).toBe(false)
    expect(() => identity.libp2p.privateKey.raw).toThrow('Cannot read the private key')
    expect(inspect(identity, { depth: 10, showHidden: true })).not.toMatch(
      /PrivateKeyObject|secret/i,
    )
  })

  it('starts a stock libp2p node, which keeps and finds itself and signs', async () => {
    const identity = await openIdentity({ generate: type })
    const node = await createLibp2p({ privateKey: identity.libp2p.privateKey })
    try {
      expect(node.status).toBe('started')
      expect(node.peerId.toString()).toBe(identity.peer)
      expect(node.peerId.equals(identity.libp2p.peerId)).toBe(true)
      await node.peerStore.patch(node.peerId, { protocols: ['/x/1'] })
      expect((await node.peerStore.get(node.peerId)).protocols).toEqual(['/x/1'])
      await node.peerStore.all()
      const { privateKey } = identity.libp2p
      // Several: every second ECDSA signature is of the form that others refuse, unless it is mended.
      for (let i = 0; i < 16; i++) {
        const data = Uint8Array.of(i)
        expect(await privateKey.publicKey.verify(data, await privateKey.sign(data))).toBe(true)
      }
    } finally {
      await node.stop()
    }
  })
})

describe('openIdentity() on bytes', () => {
  it('refuses an Ed25519 key whose public half is another', async () => {
    const path = join(folder, 'identity.key')
    await openIdentity(path)
    const bytes = await readFile(path)
    await openIdentity(bytes)
    bytes[bytes.byteLength - 1] = (bytes[bytes.byteLength - 1] as number) ^ 1
    expect(await refusal(bytes)).toMatch(/^invalid_argument/)
  })

  it('refuses bytes of every other kind without quoting them', async () => {
    for (const hex of ['', '08', '0801', '08011200', '0802122000', '0803120130', '080012023000']) {
      const error = await openIdentity(Buffer.from(hex, 'hex')).catch((caught: unknown) => caught)
      expect(isP2pError(error, 'invalid_argument')).toBe(true)
      expect(inspect(error)).not.toContain('cause')
    }
  })
})
