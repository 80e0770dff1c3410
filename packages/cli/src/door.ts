/**
 * The owner door of a home, for one call: the vault is opened in this process, unlocked, used and let go. Whoever talks to
 * a daemon instead gets the same door over its socket.
 */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'

import type { OwnerDoor } from '@stronghold/guard'
import { connectOwner, readToken } from '@stronghold/guard/owner'
import { DoorError } from '@stronghold/guard/socket'
import type { OpenVault } from '@stronghold/vault'
import { isVaultError } from '@stronghold/vault/errors'

import { readBook } from './book.ts'
import type { Config } from './config.ts'
import { Failure, failureOf } from './failure.ts'
import { hasVault, peerOf, socketsOf } from './home.ts'
import type { Home } from './home.ts'
import type { Io } from './io.ts'
import { unlockBy } from './passphrase.ts'
import { sourceOf } from './unlock-source.ts'
import type { UnlockSource } from './unlock-source.ts'
import type { Terminal } from './terminal.ts'
import { MAX_HELD_MS } from './limits.ts'

const RETRY_MS = 100

/** Whose door, and how it is unlocked. */
export interface DoorInit {
  readonly io: Io
  readonly terminal: Terminal
  readonly home: Home
  readonly config: Config
  /** The command's options: they may say what unlocks. */
  readonly options: Readonly<Record<string, unknown>>
  /** What a second process is told that finds the vault held. */
  readonly command: string
}

/**
 * Runs `work` on the unlocked vault of a home: that of the Stronghold that runs there, else opened here for this call.
 *
 * @throws `Failure` `not_found` without a vault, `locked` where nothing unlocks it, `conflict` where another process holds
 *   it for longer than 5 s
 */
export async function withOwner<T>(
  init: DoorInit,
  work: (owner: OwnerDoor) => Promise<T>,
): Promise<T> {
  const there = await runningOwner(init)
  if (there === undefined) return await withOwnVault(init, work)
  if ((await there.status()).locked) throw lockedThere()
  return await work(there)
}

/** The same where nobody has to be asked; else `work` gets nothing. */
export async function withOwnerAtHand<T>(
  init: DoorInit,
  work: (owner: OwnerDoor | undefined) => Promise<T>,
): Promise<T> {
  const there = await runningOwner(init)
  if (there !== undefined) {
    return await work((await there.status()).locked ? undefined : there)
  }
  const isAtHand = hasVault(init.home) && sourceOf(init.options, init.config) !== undefined
  return isAtHand ? await withOwnVault(init, work) : await work(undefined)
}

/** The owner door of the Stronghold that runs in a home, locked or not; `undefined` where none does. */
export async function runningOwner({
  home,
  io,
  options = {},
}: Pick<DoorInit, 'home' | 'io'> & Partial<Pick<DoorInit, 'options'>>): Promise<
  OwnerDoor | undefined
> {
  const { owner: path } = socketsOf(home, io.env)
  const named = options['token-file']
  if (!existsSync(path)) {
    // A token opens what runs; it unlocks nothing.
    if (typeof named === 'string') throw noneRuns()
    return undefined
  }
  // Whoever may only approve has only that token.
  const usual = existsSync(home.adminToken) ? home.adminToken : home.approverToken
  const token = readToken(typeof named === 'string' ? resolve(io.cwd, named) : usual)
  const door = connectOwner(path, token)
  try {
    await door.status()
    return door
  } catch (error) {
    if (error instanceof DoorError && error.code === 'unavailable' && error.ran === 'no') {
      if (typeof named === 'string') throw noneRuns()
      return undefined
    }
    throw error
  }
}

function noneRuns(): Failure {
  return new Failure('not_found', 'cannot use the token', {
    reason: 'no Stronghold runs in this home',
    hint: 'stronghold up',
  })
}

function lockedThere(): Failure {
  return new Failure('locked', 'cannot use the vault', {
    reason: 'it is locked',
    hint: 'stronghold unlock',
  })
}

async function withOwnVault<T>(init: DoorInit, work: (owner: OwnerDoor) => Promise<T>): Promise<T> {
  const { home, config, io } = init
  if (!hasVault(home)) throw noVault(home)
  const source = sourceOf(init.options, config)
  const { openGuard } = await import('@stronghold/guard')
  const vault = await openHeld(init)
  let peer: string
  try {
    peer = await peerOf(home)
  } catch (error) {
    await vault.close()
    throw error
  }
  await using guard = openGuard(
    {
      vault,
      peer,
      limits: { maxAuditBytes: config.number('audit.max_bytes') },
      confirmApprovals: confirmsApprovals(config) && !isTyped(init.options, source),
    },
    { clock: io.clock },
  )
  const { owner } = guard
  await owner.unlock(await unlockBy(source, io, await owner.boxKey()))
  await reconcile(init, owner)
  return await work(owner)
}

/** Whether whoever approves shows the passphrase again. */
export function confirmsApprovals(config: Config): boolean {
  return config.text('approvals.confirm') === 'passphrase'
}

/** Was the passphrase shown for this very call, so that there is nothing to ask again. */
function isTyped(options: DoorInit['options'], source: UnlockSource | undefined): boolean {
  const isNamed = options['passphrase-file'] !== undefined || options['passphrase-fd'] !== undefined
  return source === undefined || (isNamed && source.from !== 'key-file')
}

/** No vault stands in the home that was meant. */
export function noVault(home: Home): Failure {
  return new Failure('not_found', 'cannot open the vault', {
    reason: `there is none in ${home.path}`,
    hint: home.isNamed ? `stronghold init --home ${home.path}` : 'stronghold init',
  })
}

/** Opens the vault of a home, locked; waits a while for another process to let go of it. */
export async function openHeld({ io, home, config, command }: DoorInit): Promise<OpenVault> {
  // Where a Stronghold runs, its commands load neither a vault nor a guard.
  const { openVault } = await import('@stronghold/vault')
  return await retryHeld(io, () =>
    openVault(
      {
        at: home.vault,
        command: `stronghold ${command}`,
        memory: { requireLocked: config.switch('memory.require_locked') },
      },
      { clock: io.clock },
    ),
  )
}

/**
 * Opens what another process may hold, again and again for 5 s.
 *
 * @throws `Failure` `conflict` that names who holds it
 */
export async function retryHeld<T>(
  io: Pick<Io, 'clock' | 'sleep'>,
  open: () => Promise<T>,
): Promise<T> {
  const untilMs = io.clock.nowMs() + MAX_HELD_MS
  for (;;) {
    try {
      return await open()
    } catch (error) {
      if (!isVaultError(error, { reason: 'held' })) throw error
      if (io.clock.nowMs() >= untilMs) throw heldBy(error)
      await io.sleep(RETRY_MS)
    }
  }
}

function heldBy(error: Error): Failure {
  const { reason } = failureOf(error)
  return new Failure('conflict', 'cannot open the vault', {
    reason: reason ?? 'another process holds it',
    hint: 'wait until it is done, or end it',
    cause: error,
  })
}

/** What was written into the book while the vault was locked: blocks count, and who is to be known is said. */
export async function reconcile(
  { home, terminal }: Pick<DoorInit, 'home' | 'terminal'>,
  owner: OwnerDoor,
): Promise<void> {
  const book = readBook(home)
  if (book.length === 0) return
  const known = new Map((await owner.peers()).map((one) => [one.peer, one]))
  for (const { peer, name, blocked } of book) {
    const found = known.get(peer)
    if (found === undefined && !blocked) {
      await terminal.note(
        `note: ${name} waits to be known; if ${peer} is theirs: stronghold peer add ${name} ${peer}`,
      )
    } else if (blocked && found?.blocked === false) await owner.blockPeer(peer, true)
  }
}
