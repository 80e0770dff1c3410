/** `init`: the identity, the vault and the tokens of a home. */
import { randomFillSync } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, openSync, writeSync } from 'node:fs'

import { encodeUtf8, toHex } from '@stronghold/core'
import type { Guard } from '@stronghold/guard'
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Command } from '../command.ts'
import { Failure } from '../failure.ts'
import { hasVault, makeHome, peerOf } from '../home.ts'
import type { Home } from '../home.ts'
import { sourceOf } from '../unlock-source.ts'

/** Length of a role token, in bytes. */
const TOKEN_BYTES = 32

/** `init` */
export const init: Command = defineCommand({
  name: 'init',
  says: 'Make the identity and the vault of this home',
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold init', 'asks for a passphrase, twice, and makes everything'],
    ['stronghold init --key-file ~/usb/home.key', 'makes a key file that unlocks it instead'],
  ],
  prints: z.object({ peer: z.string(), home: z.string(), vault: z.string() }),
  async run({ io, home, config, options, terminal, dryRun }) {
    if (hasVault(home)) {
      throw new Failure('conflict', 'cannot make the vault', {
        reason: `there is one already in ${home.path}`,
        hint: 'stronghold status, or another --home',
      })
    }
    const source = sourceOf(options, config)
    if (dryRun) {
      await terminal.result(
        { peer: '', home: home.path, vault: '', dryRun: true },
        `would make a vault in ${home.path}`,
      )
      return
    }
    makeHome(home)
    const { createVault } = await import('@stronghold/vault')
    const { withNewCredential } = await import('../passphrase.ts')
    const { openGuard } = await import('@stronghold/guard')
    // The credential first, so that nothing is left behind where nobody says one; the vault last, so that whatever fails
    // before it is made can be typed again.
    const { vault, peer } = await withNewCredential(source, io, async (credential) => {
      const peer = await peerOf(home)
      makeTokens(home)
      const vault = await createVault(
        {
          at: home.vault,
          credential,
          command: 'stronghold init',
          memory: { requireLocked: config.switch('memory.require_locked') },
        },
        { clock: io.clock },
      )
      return { vault, peer }
    })
    const { vault: id } = vault.status()
    await certify(home, openGuard({ vault, peer }, { clock: io.clock }))
    await terminal.result(
      { peer, home: home.path, vault: id },
      [
        `${terminal.strong('peer')}   ${peer}`,
        `${terminal.strong('home')}   ${home.path}`,
        `${terminal.strong('next')}   stronghold key create release/app`,
      ].join('\n'),
    )
  },
})

/** The node's identity vouches for the vault's key once, so that receipts verify against the peer id. */
export async function certify(home: Home, opened: Guard): Promise<void> {
  const { CERTIFICATE_ENVELOPE } = await import('@stronghold/guard')
  const { sealAsIdentity } = await import('@stronghold/p2p')
  await using guard = opened
  const { domain, payloadType } = CERTIFICATE_ENVELOPE
  const kind = { domain, payloadType: encodeUtf8(payloadType) }
  const request = await guard.owner.certificateRequest()
  await guard.owner.setCertificate(await sealAsIdentity(home.identity, kind, request))
}

/** Tokens of both roles; those that stand there stay. */
export function makeTokens(home: Home): void {
  for (const path of [home.adminToken, home.approverToken]) writeToken(path)
}

/** A token of 256 random bits, as hex, 0600. One that stands there already stays. */
function writeToken(path: string): void {
  if (existsSync(path)) return
  const file = openSync(path, 'wx', 0o600)
  try {
    writeSync(file, `${toHex(randomFillSync(new Uint8Array(TOKEN_BYTES)))}\n`)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
