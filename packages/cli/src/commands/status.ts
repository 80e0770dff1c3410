/** `status`: how this home stands. It unlocks nothing. */
import { existsSync } from 'node:fs'

import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Command } from '../command.ts'
import { readBook } from '../book.ts'
import { hasVault, peerOf } from '../home.ts'

/** `status` */
export const status: Command = defineCommand({
  name: 'status',
  says: 'Show how this home stands, without unlocking it',
  examples: [
    ['stronghold status', 'peer id, vault, known peers'],
    ['stronghold status --json', 'the same for a program'],
  ],
  prints: z.object({
    peer: z.string().nullable(),
    addrs: z.array(z.string()),
    running: z.boolean(),
    vault: z.string().nullable(),
    locked: z.boolean(),
    pending: z.int().nullable(),
    head: z.string().nullable(),
    home: z.string(),
    peers: z.int(),
    held: z.string().nullable(),
  }),
  async run(call) {
    const { home, terminal } = call
    const peer = existsSync(home.identity) ? await peerOf(home) : null
    const { vault, held } = hasVault(home) ? await look(call) : { vault: null, held: null }
    const peers = readBook(home).length
    const line = (name: string, text: string): string =>
      `${terminal.strong(name.padEnd(6))} ${text}`
    await terminal.result(
      {
        peer,
        addrs: [],
        running: false,
        vault,
        locked: true,
        pending: null,
        head: null,
        home: home.path,
        peers,
        held,
      },
      [
        line('peer', peer ?? 'none yet: stronghold init'),
        line('home', home.path),
        line('vault', held ?? (vault === null ? 'none: stronghold init' : `${vault}, locked`)),
        line('peers', `${peers} in the book`),
      ].join('\n'),
    )
  },
})

/** The vault's id, or who holds it. */
async function look({ home, io }: Pick<Parameters<Command['run']>[0], 'home' | 'io'>): Promise<{
  vault: string | null
  held: string | null
}> {
  const { isVaultError, openVault } = await import('@stronghold/vault')
  try {
    await using vault = await openVault(
      { at: home.vault, command: 'stronghold status' },
      { clock: io.clock },
    )
    return { vault: vault.status().vault, held: null }
  } catch (error) {
    if (!isVaultError(error, { reason: 'held' })) throw error
    return { vault: null, held: /: (.+)$/.exec(error.message)?.[1] ?? 'held by another process' }
  }
}
