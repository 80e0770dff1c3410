/** `status`: how this home stands. It unlocks nothing. */
import { existsSync } from 'node:fs'

import { toHex } from '@stronghold/core'
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Command } from '../command.ts'
import { readBook } from '../book.ts'
import { printMoment } from '../duration.ts'
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
    lastBackup: z.string().nullable(),
    lastProven: z.string().nullable(),
  }),
  async run(call) {
    const { home, terminal } = call
    const there = await call.runningNode()
    const node = await there?.status()
    const peer = node?.peer ?? (existsSync(home.identity) ? await peerOf(home) : null)
    const vault = hasVault(home)
      ? there === undefined
        ? await look(call)
        : await ask(call)
      : { vault: null, held: null }
    const peers = readBook(home).length
    const { locked = true, pending = null, head = null, intake = 0 } = vault
    const addrs = node?.addrs ?? []
    const { lastBackup = null, lastProven = null } = vault
    const proof =
      lastProven === null ? 'never proven: stronghold backup drill FILE' : `proven ${lastProven}`
    const line = (name: string, text: string): string =>
      `${terminal.strong(name.padEnd(6))} ${text}`
    const runs =
      node === undefined
        ? `no: stronghold up`
        : `${node.kind === 'relay' ? 'as a relay' : 'yes'}, process ${node.pid}, since ${printMoment(node.startedAtMs)}, ${node.connections} connected`
    const waiting = [
      ...(pending === null || pending === 0
        ? []
        : [`${pending} wait for a person: stronghold approval list`]),
      ...(intake === 0 ? [] : [`${intake} wait for the vault: stronghold unlock`]),
    ]
    await terminal.result(
      {
        peer,
        addrs,
        running: node !== undefined,
        vault: vault.vault,
        locked,
        pending,
        head,
        home: home.path,
        peers,
        held: vault.held,
        lastBackup,
        lastProven,
      },
      [
        line('peer', peer ?? 'none yet: stronghold init'),
        line('home', home.path),
        line('runs', runs),
        ...addrs.map((address, index) => line(index === 0 ? 'at' : '', address)),
        line(
          'vault',
          vault.held ??
            (vault.vault === null
              ? hasVault(home)
                ? locked
                  ? 'locked'
                  : 'unlocked'
                : 'none: stronghold init'
              : `${vault.vault}, ${locked ? 'locked' : 'unlocked'}`),
        ),
        ...waiting.map((text, index) => line(index === 0 ? 'asked' : '', text)),
        ...(lastBackup === null ? [] : [line('backup', `${lastBackup}, a restore ${proof}`)]),
        line('peers', `${peers} in the book`),
      ].join('\n'),
    )
  },
})

interface Looked {
  readonly vault: string | null
  readonly held: string | null
  readonly locked?: boolean
  readonly pending?: number | null
  readonly head?: string | null
  readonly intake?: number
  readonly lastBackup?: string | null
  readonly lastProven?: string | null
}

function moment(ms: number | undefined): string | null {
  return ms === undefined ? null : printMoment(ms)
}

/** How the vault of the Stronghold that runs stands. */
async function ask(call: Pick<Parameters<Command['run']>[0], 'home' | 'io'>): Promise<Looked> {
  const { runningOwner } = await import('../door.ts')
  const found = await (await runningOwner(call))?.status()
  return {
    vault: found?.vault === undefined ? null : toHex(found.vault),
    held: null,
    locked: found?.locked ?? true,
    pending: found?.pending ?? null,
    head: found?.head === undefined ? null : toHex(found.head),
    intake: found?.intake ?? 0,
    lastBackup: moment(found?.lastBackupAtMs),
    lastProven: moment(found?.lastProvenRestoreAtMs),
  }
}

/** The vault's id, or who holds it. */
async function look({
  home,
  io,
}: Pick<Parameters<Command['run']>[0], 'home' | 'io'>): Promise<Looked> {
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
