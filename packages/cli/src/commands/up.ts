/** `up`, `down`, `lock`, `unlock`: a Stronghold that stays, from its start to its end. */
import { readFileSync, statSync } from 'node:fs'

import type { OwnerDoor } from '@stronghold/guard'
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { Failure, failureOf } from '../failure.ts'
import { hasVault } from '../home.ts'
import { within } from '../io.ts'
import { MAX_START_MS } from '../limits.ts'
import { sourceOf } from '../unlock-source.ts'
import type { NodeStatus } from '../node/life.ts'

/** The line that a program waits for. */
export const readyShape: z.ZodType = z.object({ peer: z.string(), addrs: z.array(z.string()) })

const POLL_MS = 50
const SLAB_BYTES = 64 * 1024

const UP_OPTIONS = {
  listen: { value: 'ADDRESS', says: 'where to listen, in the place of the setting', many: true },
  detach: { says: 'go on in the background' },
  locked: { says: 'start locked, and ask for nothing' },
} as const

const up = defineCommand({
  name: 'up',
  says: 'Run this Stronghold: serve its vault, ask others, be found',
  options: UP_OPTIONS,
  unlocks: true,
  examples: [
    ['stronghold up', 'in this terminal, which also shows what a person is asked'],
    ['stronghold up --detach', 'in the background; stronghold down ends it'],
  ],
  prints: readyShape,
  async run(call) {
    if (call.options.detach === true) await detach(call)
    else await stay(call)
  },
})

type UpCall = Call<typeof UP_OPTIONS>

/** In this process, until somebody ends it. */
async function stay(call: UpCall): Promise<void> {
  const { io, home, config, terminal, options } = call
  const { serve } = await import('../daemon/serve.ts')
  const { networkOf } = await import('../node/running.ts')
  const stopped = Promise.withResolvers<Error | undefined>()
  using _ending = io.onEnding(() => {
    stopped.resolve(undefined)
  })
  await using serving = await serve({
    io,
    home,
    config,
    kind: 'up',
    command: 'up',
    node: networkOf(config),
  })
  const { keeper } = serving
  const isUnlocked =
    keeper !== undefined && options.locked !== true && (await unlockAtStart(call, keeper.owner))
  await tellReady(call, await serving.door.status(), isUnlocked)
  const closing = new AbortController()
  const ends = [serving.ended, stopped.promise]
  if (keeper !== undefined && !call.json && io.stdout.isTerminal) {
    ends.push(watched(call, keeper.owner, closing.signal))
  }
  if (keeper !== undefined) {
    const { scheduleSyncs } = await import('../daemon/syncs.ts')
    const note = (text: string): void => void terminal.note(`sync: ${text}`)
    const node = serving.door
    void scheduleSyncs({
      owner: keeper.owner,
      node,
      home,
      clock: io.clock,
      note,
      signal: closing.signal,
    })
    const { scheduleBackups } = await import('../daemon/backups.ts')
    void scheduleBackups({
      owner: keeper.owner,
      config,
      clock: io.clock,
      note: (text) => void terminal.note(`backup: ${text}`),
      signal: closing.signal,
    })
  }
  const why = await Promise.race(ends)
  closing.abort()
  terminal.endProgress()
  if (why !== undefined) throw why
}

/**
 * Shows what waits for a person, also once somebody unlocks; settles when that person wants to end, never where the view alone
 * comes to an end.
 */
async function watched(
  { io, terminal }: UpCall,
  owner: OwnerDoor,
  signal: AbortSignal,
): Promise<undefined> {
  const { watchApprovals } = await import('../approvals/watch.ts')
  const title = 'stronghold up · ^C ends it'
  const forever = new Promise<never>(() => {})
  try {
    const end = await watchApprovals({ io, terminal, owner, signal, title, leaves: 'ctrl-c' })
    return end === 'left' ? undefined : await forever
  } catch (error) {
    const { message, reason } = failureOf(error)
    await terminal.note(
      `${message}${reason === undefined ? '' : `: ${reason}`}; it goes on without showing what waits`,
    )
    return await forever
  }
}

/** By what is at hand, else by whoever sits in front; nobody, or nothing typed, leaves it locked. */
async function unlockAtStart(
  { io, home, terminal, config, options }: UpCall,
  owner: OwnerDoor,
): Promise<boolean> {
  const { reconcile } = await import('../door.ts')
  const source = sourceOf(options, config)
  if (source === undefined) {
    const passphrase = await passphraseOf(io)
    if (passphrase === undefined) return false
    using secret = passphrase
    const { sealTo } = await import('@stronghold/vault')
    const sealed = sealTo(await owner.boxKey(), secret.bytes)
    await owner.unlock({ by: 'passphrase', passphrase: { sealed } })
  } else {
    const { unlockBy } = await import('../passphrase.ts')
    await owner.unlock(await unlockBy(source, io, await owner.boxKey()))
  }
  await reconcile({ home, terminal }, owner)
  return true
}

/** What the person in front types, if there is one and it is anything. Wiped when disposed of. */
async function passphraseOf(
  io: Call['io'],
): Promise<(Disposable & { readonly bytes: Uint8Array }) | undefined> {
  const there = io.openTerminal()
  if (there === undefined) return undefined
  there[Symbol.dispose]()
  const { Slab } = await import('@stronghold/vault')
  const { askOptional } = await import('../passphrase.ts')
  const slab = new Slab({ bytes: SLAB_BYTES })
  const secret = askOptional(io, slab, 'Passphrase (none starts locked): ')
  if (secret === undefined) {
    slab[Symbol.dispose]()
    return undefined
  }
  return {
    bytes: secret.bytes,
    [Symbol.dispose]: () => {
      slab[Symbol.dispose]()
    },
  }
}

async function tellReady(
  { terminal, home }: Pick<Call, 'terminal' | 'home'>,
  { peer, addrs, pid }: Pick<NodeStatus, 'peer' | 'addrs' | 'pid'>,
  isUnlocked: boolean,
  isBehind = false,
): Promise<void> {
  const vault = !hasVault(home)
    ? 'no vault here'
    : isUnlocked
      ? 'unlocked'
      : 'locked; to unlock it: stronghold unlock'
  const line = (name: string, text: string): string => `${terminal.strong(name.padEnd(5))}  ${text}`
  const where = addrs.length === 0 ? ['nowhere: name an address by --listen'] : addrs
  await terminal.result(
    { peer, addrs },
    [
      line('up', isBehind ? `in the background, process ${pid}` : vault),
      ...(isBehind ? [line('vault', vault)] : []),
      line('peer', peer),
      ...where.map((address, index) => line(index === 0 ? 'at' : '', address)),
      ...(isBehind ? [line('end', 'stronghold down')] : []),
    ].join('\n'),
  )
}

/** In a process of its own. Whoever sits in front is asked here: there, nobody does. */
async function detach(call: UpCall): Promise<void> {
  const { io, home, config, options } = call
  const { makeHome } = await import('../home.ts')
  makeHome(home)
  const source = sourceOf(options, config)
  const isAsked = options.locked !== true && hasVault(home)
  let secret: Awaited<ReturnType<typeof passphraseOf>>
  const { isPipe, passphraseAt, passphraseFrom } = await import('../passphrase.ts')
  // What only this process can read, it hands on.
  const isHere = source?.from === 'descriptor' || (source?.from === 'file' && isPipe(source.path))
  if (isAsked && isHere) {
    const { Slab } = await import('@stronghold/vault')
    const slab = new Slab({ bytes: SLAB_BYTES })
    const { bytes } =
      source.from === 'file'
        ? await passphraseAt(source.path, slab)
        : await passphraseFrom(source.descriptor, slab)
    secret = { bytes, [Symbol.dispose]: () => slab[Symbol.dispose]() }
  } else if (isAsked && source === undefined) secret = await passphraseOf(io)
  using given = secret
  const file = (name: 'passphrase-file' | 'key-file'): string[] => {
    const value: unknown = Reflect.get(options, name)
    return typeof value === 'string' ? [`--${name}`, value] : []
  }
  const listen = (options.listen ?? []).flatMap((address) => ['--listen', address])
  const unlock =
    given !== undefined
      ? ['--passphrase-fd', '3']
      : source === undefined || isHere
        ? ['--locked']
        : [...file('passphrase-file'), ...file('key-file')]
  const locked = options.locked === true ? ['--locked'] : unlock
  const homeOption = home.isNamed ? ['--home', home.path] : []
  const since = sizeOf(home.log)
  const { pid, first } = io.background({
    args: ['up', '--json', ...homeOption, ...listen, ...locked],
    log: home.log,
    ...(given === undefined ? {} : { passphrase: given.bytes }),
  })
  const line = await within(io.clock, MAX_START_MS, first)
  const ready = line === undefined ? undefined : readLine(line)
  if (ready === undefined) {
    throw new Failure('internal', 'cannot start in the background', {
      reason: lastOf(home.log, since) ?? 'it ended without a word',
      hint: 'stronghold up, which says what it does',
    })
  }
  const { runningOwner } = await import('../door.ts')
  const isUnlocked = (await (await runningOwner(call))?.status())?.locked === false
  await tellReady(call, { ...ready, pid }, isUnlocked, true)
}

/** What the other process said first: that it is ready, or why not. @throws that */
function readLine(line: string): { peer: string; addrs: readonly string[] } {
  const said = JSON.parse(line) as Readonly<Record<string, unknown>>
  const failed = failureShape.safeParse(said['error'])
  if (failed.success) {
    const { code, message, cause, hint } = failed.data
    throw new Failure(code as Failure['exit'], message, {
      ...(cause === null ? {} : { reason: cause }),
      ...(hint === null ? {} : { hint }),
    })
  }
  return z.object({ peer: z.string(), addrs: z.array(z.string()) }).parse(said)
}

const failureShape = z.object({
  code: z.string(),
  message: z.string(),
  cause: z.string().nullable(),
  hint: z.string().nullable(),
})

function sizeOf(path: string): number {
  try {
    return statSync(path).size
  } catch {
    return 0
  }
}

/** The last line that a log got since. */
function lastOf(path: string, since: number): string | undefined {
  try {
    return (
      readFileSync(path).subarray(since).toString('utf8').trim().split('\n').at(-1) || undefined
    )
  } catch {
    return undefined
  }
}

const down = defineCommand({
  name: 'down',
  says: 'End the Stronghold that runs in this home; what waits for a person stays',
  examples: [
    ['stronghold down', 'returns when it is gone'],
    ['stronghold down --home ~/nas', 'of another home'],
  ],
  prints: z.object({ stopped: z.boolean(), pid: z.int().nullable() }),
  async run({ runningNode, terminal, io }) {
    const node = await runningNode()
    if (node === undefined) {
      await terminal.result({ stopped: false, pid: null }, 'nothing runs')
      return
    }
    const { pid } = await node.status()
    await node.stop()
    const untilMs = io.clock.nowMs() + MAX_START_MS
    while (isAlive(pid)) {
      if (io.clock.nowMs() >= untilMs) {
        throw new Failure('internal', 'cannot end it', {
          reason: `process ${pid} goes on`,
          hint: `kill ${pid}`,
        })
      }
      await io.sleep(POLL_MS)
    }
    await terminal.result({ stopped: true, pid }, `ended process ${pid}`)
  },
})

function isAlive(pid: number): boolean {
  try {
    return pid !== process.pid && process.kill(pid, 0)
  } catch {
    return false
  }
}

const lock = defineCommand({
  name: 'lock',
  says: 'Lock the vault of the Stronghold that runs; keys leave its memory',
  examples: [
    ['stronghold lock', 'it stays online, and what others ask waits'],
    ['stronghold lock --json', 'for a program'],
  ],
  prints: z.object({ locked: z.boolean() }),
  async run(call) {
    const owner = await ownerHere(call)
    await owner?.lock()
    await call.terminal.result(
      { locked: true },
      owner === undefined ? 'locked: nothing runs' : 'locked',
    )
  },
})

const unlock = defineCommand({
  name: 'unlock',
  says: 'Unlock the vault of the Stronghold that runs',
  unlocks: true,
  examples: [
    ['stronghold unlock', 'asks for the passphrase'],
    ['stronghold unlock --key-file /media/usb/home.key', 'by a key file'],
  ],
  prints: z.object({ locked: z.boolean(), pending: z.int() }),
  async run(call) {
    const { io, options, config, terminal, home } = call
    const owner = await ownerHere(call)
    if (owner === undefined) {
      throw new Failure('not_found', 'cannot unlock', {
        reason: 'no Stronghold runs in this home',
        hint: 'stronghold up',
      })
    }
    if ((await owner.status()).locked) {
      const { unlockBy } = await import('../passphrase.ts')
      const by = await unlockBy(sourceOf(options, config), io, await owner.boxKey())
      await owner.unlock(by)
      const { reconcile } = await import('../door.ts')
      await reconcile({ home, terminal }, owner)
    }
    const { pending = 0 } = await owner.status()
    await terminal.result(
      { locked: false, pending },
      pending === 0
        ? 'unlocked'
        : `unlocked; ${pending} wait for a person: stronghold approval list`,
    )
  },
})

/** The owner door of what runs; `undefined` where nothing does. @throws `Failure` `not_found` without a vault */
async function ownerHere(call: Pick<Call, 'home' | 'io'>): Promise<OwnerDoor | undefined> {
  const { noVault, runningOwner } = await import('../door.ts')
  if (!hasVault(call.home)) throw noVault(call.home)
  return await runningOwner(call)
}

/** What starts and ends. */
export const LIFE_COMMANDS: readonly Command[] = [up, down, lock, unlock]
