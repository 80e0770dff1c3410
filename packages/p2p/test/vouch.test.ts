/** An identity that signs without a node. */
import { fromHex } from '@stronghold/core'
import { expect, test } from 'vitest'

import { createNode, openEnvelope } from '../src/index.ts'
import { encodeKey } from '../src/keys.ts'
import { peerOfIdentity, sealAsIdentity } from '../src/vouch.ts'

const KIND = { domain: 'test', payloadType: new TextEncoder().encode('/test/1') }

test('an identity is the same peer with a node and without', async () => {
  // RFC 8032 §7.1, test 1: seed and public key.
  const privateKey = encodeKey(
    'ed25519',
    fromHex(
      '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60' +
        'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    ),
  )
  const envelope = await sealAsIdentity(privateKey, KIND, Uint8Array.of(1, 2))
  const peer = await peerOfIdentity(privateKey)
  await using node = await createNode({ identity: privateKey })
  expect(node.peer).toBe(peer)
  expect(await openEnvelope(envelope, [KIND])).toEqual({ peer, payload: Uint8Array.of(1, 2) })
  await expect(openEnvelope(envelope, [{ ...KIND, domain: 'other' }])).rejects.toMatchObject({
    code: 'unauthenticated',
  })
})
