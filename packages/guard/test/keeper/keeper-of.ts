/** A keeper with a vault on disk, a clock that the test moves and an owner's socket. */
import { EventEmitter } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BroadcastChannel, MessageChannel, Worker } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'

import { createVault, sealTo } from '@stronghold/vault'

import type { OwnerDoor } from '../../src/doors.ts'
import { openKeeper } from '../../src/keeper/client.ts'
import type { Keeper, KeeperInit } from '../../src/keeper/client.ts'
import { connectOwner, createToken, readToken } from '../../src/keeper/owner-client.ts'
import type { KeeperSeams, Thread } from '../../src/keeper/start.ts'
import type { KeeperData } from '../../src/keeper/worker.ts'
import type { GuardLimits, KeeperLimits } from '../../src/limits.ts'
import { BOX, CI, HOME, PASSPHRASE, step } from '../guard-of.ts'

/** How Node.js runs sources in a thread: a test runner's own options are not inherited. */
export const EXEC_ARGV = ['--conditions=@stronghold/source']

/** One thread for many keepers, until `stop`. */
export class KeeperThreads implements KeeperSeams {
  readonly #worker = new Worker(new URL('_threads.ts', import.meta.url), { execArgv: EXEC_ARGV })

  /** One more keeper in the thread. */
  readonly thread = (data: KeeperData, transferList: MessagePort[]): Thread => {
    const { port1, port2 } = new MessageChannel()
    const events = new EventEmitter()
    port1.on('message', (value) => events.emit('message', value))
    port1.on('close', () => events.emit('exit', 0))
    this.#worker.postMessage({ data, control: port2 }, [...transferList, port2])
    return Object.assign(events, {
      postMessage: (value: unknown) => {
        port1.postMessage(value)
      },
    })
  }

  async stop(): Promise<void> {
    await this.#worker.terminate()
  }
}

/** A thread of its own for each keeper, as it is in use. */
export const OWN_THREAD: KeeperSeams = {
  thread: (workerData, transferList) =>
    new Worker(new URL('../../src/keeper/main.ts', import.meta.url), {
      execArgv: EXEC_ARGV,
      workerData,
      transferList,
    }),
}

const KDF = { memoryKiB: 19 * 1024, passes: 2 }

/** A keeper and its home. */
export interface Kept extends AsyncDisposable {
  readonly guard: Keeper
  readonly clock: { advance(byMs: number): Promise<void> }
  /** Its directory, which goes when it is disposed of. */
  readonly home: string
  readonly socket: string
  readonly tokens: { readonly admin: string; readonly approver: string }
  /** The owner door over the socket. */
  owner(role?: 'admin' | 'approver'): OwnerDoor
}

/** A home with a vault, tokens and no keeper. */
export async function home(): Promise<Omit<KeeperInit, 'limits'> & { at: string }> {
  const at = mkdtempSync(join(tmpdir(), 'stronghold-keeper-'))
  const directory = join(at, 'vault')
  const vault = await createVault({
    at: directory,
    credential: { passphrase: PASSPHRASE },
    kdf: KDF,
  })
  await vault.close()
  const tokens = { admin: join(at, 'admin.token'), approver: join(at, 'approver.token') }
  createToken(tokens.admin)
  createToken(tokens.approver)
  return {
    at,
    vault: { at: directory },
    peer: HOME,
    socket: { path: join(at, 'run', 'owner.sock'), tokens },
  }
}

/** The same as `guarded()`, behind a keeper. */
export async function kept(
  init: { limits?: Partial<GuardLimits & KeeperLimits>; confirmApprovals?: boolean } = {},
  seams: KeeperSeams = OWN_THREAD,
): Promise<Kept> {
  const { at, ...rest } = await home()
  const { path, tokens } = rest.socket ?? { path: '', tokens: { admin: '', approver: '' } }
  const guard = await openKeeper({ ...rest, ...init }, seams)
  const channel = new BroadcastChannel(rest.vault.at)
  await unlock(guard.owner)
  await guard.owner.run([step('generate', { to: 'release/app', type: 'ed25519' })])
  await guard.owner.addPeer(CI.peer, 'ci')
  await guard.owner.addPeer(BOX.peer, 'box')
  return {
    guard,
    home: at,
    socket: path,
    tokens,
    clock: {
      advance: async (byMs) => {
        await new Promise((resolve) => {
          channel.onmessage = resolve
          channel.postMessage(byMs)
        })
      },
    },
    owner: (role = 'admin') => connectOwner(path, readToken(tokens[role])),
    async [Symbol.asyncDispose]() {
      channel.close()
      await guard.close()
      rmSync(at, { recursive: true, force: true })
    },
  }
}

/** Unlocks with the passphrase, sealed. */
export async function unlock(owner: OwnerDoor): Promise<void> {
  const sealed = sealTo(await owner.boxKey(), PASSPHRASE)
  await owner.unlock({ by: 'passphrase', passphrase: { sealed } })
}
