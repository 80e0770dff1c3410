/**
 * The side that holds the key: a vault in a directory behind its keeper, served by a node, with one rule; a channel beside it
 * that echoes; and the key alone.
 */
import { randomFillSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { openKeeper } from '@stronghold/guard/keeper'
import type { PeerStep } from '@stronghold/guard/keeper'
import { createToken } from '@stronghold/guard/owner'
import { createNode } from '@stronghold/p2p'
import type { NodeInit } from '@stronghold/p2p'
import { serveVault } from '@stronghold/remote'
import { createVault } from '@stronghold/vault'
import { sodium } from '../../packages/vault/src/sodium.ts'

import type { Asked } from './asked.ts'
import { echo, KEY_PATH, MESSAGE } from './protocol.ts'

/** What stands. */
export interface Serving {
  readonly address: Readonly<Record<string, string>>
  readonly asked: Asked
  /** Runs Argon2id in the keeper for about a second: with `SLOW_KDF`, and as a new unlocker does that says nothing else. */
  stretch(): Promise<void>
  /** Lets a peer sign. */
  admit(peer: string): Promise<void>
  close(): Promise<void>
}

/** More than are in flight: what acknowledges comes beside them. */
const MANY = 2048
/** About 900 ms on one core of 2026, where the default takes 170. */
const SLOW_KDF = { memoryKiB: 128 * 1024, passes: 8 }
/** Somebody who asks here, without a network. */
const NEIGHBOUR = {
  peer: '12D3KooWGRUwgTSvEEjYCHEpXRMSGYXVr9WaLV5hEMQHF5Q5yJvr',
  connection: '/memory/1',
}

/** Makes all of it. @param init - what of its node is another than where nobody is looked for */
export async function serve(folder: string, init: NodeInit = {}): Promise<Serving> {
  const at = join(folder, 'vault')
  const passphrase = join(folder, 'passphrase')
  writeFileSync(passphrase, 'correct horse\n', { mode: 0o600 })
  const credential = { passphrase: new TextEncoder().encode('correct horse') }
  const made = await createVault({ at, credential, kdf: SLOW_KDF })
  await made.close()
  const node = await createNode({
    listen: ['/ip4/127.0.0.1/tcp/0'],
    limits: { maxInboundPerPeer: MANY },
    firewall: { inbound: { fallback: 'allow' } },
    ...init,
  })
  const tokens = { admin: join(folder, 'admin.token'), approver: join(folder, 'approver.token') }
  for (const token of Object.values(tokens)) createToken(token)
  const socket = join(folder, 'owner.sock')
  const keeper = await openKeeper({
    vault: { at },
    socket: { path: socket, tokens },
    peer: node.peer,
    limits: { maxKeptPerPeer: 4 * MANY },
    unlock: { by: 'passphrase-file', path: passphrase },
  })
  const { owner, network } = keeper
  await owner.run([step('generate', { to: KEY_PATH, type: 'ed25519' })])
  await owner.addRule({
    peers: ['known'],
    procedures: ['sign'],
    paths: ['release/**'],
    formats: ['raw'],
    effect: 'allow',
  })
  await owner.addPeer(NEIGHBOUR.peer, 'neighbour')
  node.serve(echo, { echo: (body) => body })
  const serving = serveVault(node, { network })
  let acknowledge: Uint8Array[] = []
  return {
    address: { node: String(node.addresses[0]), socket, token: tokens.admin },
    stretch: async () => {
      const by = { by: 'passphrase-file', path: passphrase } as const
      await owner.removeUnlocker(await owner.addUnlocker(by, by, 'another'))
    },
    asked: {
      sodium: alone(),
      keeper: async () => {
        const id = randomFillSync(new Uint8Array(16))
        const ids = acknowledge
        acknowledge = []
        if (ids.length > 0) void network.acknowledge(NEIGHBOUR, ids)
        const steps = [step('sign', { key: KEY_PATH, message: MESSAGE, as: { format: 'raw' } })]
        const request = { id, steps, reason: '', timeoutMs: 60_000, receipt: false }
        const { state } = await network.submit(NEIGHBOUR, request)
        if (state !== 'done') throw new Error(`answered with ${state}`)
        acknowledge.push(id)
      },
    },
    admit: (peer) => owner.addPeer(peer, 'asker'),
    close: async () => {
      await node.stop()
      await serving[Symbol.asyncDispose]()
      await keeper.close()
    },
  }
}

/** The bare primitive, with a key in locked memory. */
function alone(): () => void {
  const secretKey = sodium.sodium_malloc(64)
  sodium.crypto_sign_seed_keypair(new Uint8Array(32), secretKey, new Uint8Array(32).fill(1))
  const signature = new Uint8Array(64)
  return () => {
    sodium.crypto_sign_detached(signature, MESSAGE, secretKey)
  }
}

function step(procedure: string, input: PeerStep['input']): PeerStep {
  return { procedure, version: 1, input }
}
