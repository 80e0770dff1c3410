/**
 * The node door: using a vault that another Stronghold serves. Requests go there, and come back as what became of them; how a
 * person is kept informed, and where outputs go, it does not know. What is pending stays so when whoever waits goes away.
 */
import { DoorError } from '@stronghold/guard/socket'
import type { DoorTable } from '@stronghold/guard/socket'
import type { Ran, StatusCode } from '@stronghold/core'
import type { Node } from '@stronghold/p2p'
import type { RemotePending, RemoteVault, UsableRecord } from '@stronghold/remote/connect'
import type { Steps } from '@stronghold/vault'
import type { Procedure } from '@stronghold/vault/catalog'
import { z } from 'zod'

import {
  ACKNOWLEDGE_MS,
  MAX_ASKED_PEERS,
  MAX_REASON_LENGTH,
  MAX_STEPS,
  MAX_UNHEARD_MS,
  MAX_WAIT_MS,
} from '../limits.ts'
import type { NamedStep } from '../procedures.ts'
import { crossing, nodeFault } from './faults.ts'
import { readHead, writeHead } from './heads.ts'
import type { RunningNode } from './running.ts'

/** Whose vault, and where it may be beside what the node knows; addresses are without the peer id. */
export interface AskedPeer {
  readonly peer: string
  readonly addresses: readonly string[]
}

/** What is asked of a vault elsewhere. */
export interface Asked {
  /** 32 hex digits, made by whoever asks: the same again is the same request. */
  readonly id: string
  readonly steps: readonly NamedStep[]
  readonly reason: string
  /** One deadline, here and there. */
  readonly timeoutMs: number
  /** Is proof wanted. It is verified before it is told. */
  readonly receipt: boolean
}

/** What became of a request. */
export type Told =
  /** A person is asked; by the other side's clock. */
  | { readonly state: 'pending'; readonly expiresAtMs: number }
  | {
      readonly state: 'done'
      readonly outputs: readonly Readonly<Record<string, unknown>>[]
      readonly receipt?: Uint8Array
    }
  | {
      readonly state: 'failed'
      readonly code: StatusCode
      readonly ran: Ran
      /** A reason of the guard's, of the network's, or `layer_dial` and so on. */
      readonly reason?: string
      /** One sentence, with text of others in it. */
      readonly message: string
      /** The rule that decided, where the other side lets it be told. */
      readonly rule?: { readonly id: string; readonly note: string }
    }

/** Using vaults elsewhere. */
export interface AskingDoor {
  /** Asks; tells `pending` where it has to wait, then what became of it. Ends early when the signal gives up. */
  submit(target: AskedPeer, asked: Asked, options: { signal: AbortSignal }): AsyncIterable<Told>
  /**
   * Comes back to a request, also one of an earlier life of this peer. A receipt that comes along is verified as far as that
   * goes without the inputs, where `verify` asks for it.
   */
  wait(
    target: AskedPeer,
    id: string,
    verify: boolean,
    options: { signal: AbortSignal },
  ): AsyncIterable<Told>
  /** Takes a request back. @returns false where it was decided before; @throws `DoorError` */
  cancel(target: AskedPeer, id: string): Promise<boolean>
  /** The answer is kept here: the other side may forget it. That it cannot be told is no failure. */
  acknowledge(target: AskedPeer, id: string): Promise<void>
  /** What this machine may use there; nothing more. @throws `DoorError` */
  usable(target: AskedPeer, pattern: string): Promise<readonly UsableRecord[]>
}

const peer = z.object({
  peer: z.string().max(128),
  addresses: z.array(z.string().max(1024)).max(64),
})
const id = z.string().regex(/^[0-9a-f]{32}$/)
const asked = z.object({
  id,
  steps: z
    .array(
      z.object({
        procedure: z.string().max(64),
        input: z.record(z.string(), z.unknown()),
      }),
    )
    .min(1)
    .max(MAX_STEPS),
  reason: z.string().max(MAX_REASON_LENGTH),
  timeoutMs: z.int().min(1).max(MAX_WAIT_MS),
  receipt: z.boolean(),
})

/** Their table. */
export const ASKING_METHODS: DoorTable<AskingDoor> = {
  submit: { kind: 'stream', args: z.tuple([peer, asked]) },
  wait: { kind: 'stream', args: z.tuple([peer, id, z.boolean()]) },
  cancel: { kind: 'call', args: z.tuple([peer, id]) },
  acknowledge: { kind: 'call', args: z.tuple([peer, id]) },
  usable: { kind: 'call', args: z.tuple([peer, z.string().max(1100)]) },
}

/** The part of a running node. */
export function askingOf(running: RunningNode): AskingDoor {
  const vaults = new VaultsElsewhere(running)
  return {
    submit: (target, { id, steps, reason, timeoutMs, receipt }, { signal }) => {
      const options = { requestId: id, reason, timeoutMs, receipt }
      return vaults.follow(target, signal, async (vault, signal) =>
        vault.submitChain(await known(steps), { ...options, signal }),
      )
    },
    wait: (target, id, verify, { signal }) =>
      vaults.follow(target, signal, (vault, signal) => vault.resume(id, { signal, verify })),
    cancel: (target, id) =>
      vaults.use(target, async (vault, signal) => (await vault.resume(id, { signal })).cancel()),
    acknowledge: async (target, id) => {
      const told = vaults.use(target, (vault) =>
        vault.acknowledge(id, {
          timeoutMs: ACKNOWLEDGE_MS,
          signal: AbortSignal.timeout(ACKNOWLEDGE_MS),
        }),
      )
      await told.catch(() => {})
    },
    usable: (target, pattern) =>
      vaults.use(target, (vault, signal) => vault.list(pattern, { signal })),
  }
}

/** Steps with their procedures. @throws `DoorError` `unimplemented` for one that nobody here knows */
async function known(steps: readonly NamedStep[]): Promise<Steps<readonly Procedure[]>> {
  // Here a node is; a door over a socket needs no catalog.
  const { procedureOf } = await import('@stronghold/vault/catalog')
  return steps.map(({ procedure: name, input }) => {
    const procedure = procedureOf(name)
    if (procedure === undefined) {
      throw new DoorError('unimplemented', `Cannot run ${JSON.stringify(name)}: no procedure`, 'no')
    }
    return { procedure, input }
  })
}

/** A vault that is kept open while somebody uses it, and for the next. */
interface Kept {
  readonly vault: RemoteVault
  users: number
}

/** Vaults of others, each opened once; the node that they stand on closes them. */
class VaultsElsewhere {
  readonly #node: Node
  readonly #home: RunningNode['home']
  readonly #clock: RunningNode['clock']
  /** In the order in which they were used. */
  readonly #kept = new Map<string, Kept>()

  constructor({ node, home, clock }: RunningNode) {
    this.#node = node
    this.#home = home
    this.#clock = clock
  }

  /** Uses a vault. @throws `DoorError` */
  use<T>(
    target: AskedPeer,
    work: (vault: RemoteVault, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    return crossing(async () => {
      const kept = await this.#open(target)
      using patience = new Patience(this.#clock, target.peer)
      try {
        return await work(kept.vault, patience.signal)
      } finally {
        this.#release(target.peer, kept)
      }
    }, target.peer)
  }

  /** Tells what becomes of a request, its failures too. */
  async *follow(
    target: AskedPeer,
    signal: AbortSignal,
    begin: (vault: RemoteVault, signal: AbortSignal) => Promise<RemotePending<readonly unknown[]>>,
  ): AsyncGenerator<Told, void, void> {
    using patience = new Patience(this.#clock, target.peer)
    let kept: Kept | undefined
    try {
      kept = await this.#open(target)
      const pending = await begin(kept.vault, AbortSignal.any([signal, patience.signal]))
      // Something was heard: now it may take its time.
      patience[Symbol.dispose]()
      const { expiresAtMs } = pending
      if (expiresAtMs !== undefined) yield { state: 'pending', expiresAtMs }
      const outputs = (await pending.result()) as readonly Readonly<Record<string, unknown>>[]
      const { receipt } = pending
      yield { state: 'done', outputs, ...(receipt === undefined ? {} : { receipt }) }
    } catch (error) {
      if (signal.aborted) return
      yield failed(error, target.peer)
    } finally {
      if (kept !== undefined) this.#release(target.peer, kept)
    }
  }

  async #open({ peer, addresses }: AskedPeer): Promise<Kept> {
    const id = peer as Node['peer']
    if (addresses.length > 0) {
      const { parseAddress } = await import('@stronghold/p2p')
      this.#node.book.add(id, addresses.map(parseAddress))
    }
    const { connectVault } = await import('@stronghold/remote/connect')
    const found = this.#kept.get(peer)
    if (found === undefined) this.#makeRoom()
    const head = found === undefined ? readHead(this.#home, peer) : undefined
    const kept = found ?? {
      vault: connectVault(this.#node, id, head === undefined ? {} : { head }),
      users: 0,
    }
    kept.users += 1
    this.#kept.delete(peer)
    this.#kept.set(peer, kept)
    return kept
  }

  #makeRoom(): void {
    if (this.#kept.size < MAX_ASKED_PEERS) return
    for (const [peer, { vault, users }] of this.#kept) {
      if (users > 0) continue
      vault.close()
      this.#kept.delete(peer)
      return
    }
    throw new DoorError(
      'resource_exhausted',
      `Cannot ask one more peer: ${MAX_ASKED_PEERS} are being asked`,
      'no',
    )
  }

  #release(peer: string, kept: Kept): void {
    kept.users -= 1
    const { head } = kept.vault
    if (head === undefined) return
    try {
      writeHead(this.#home, peer, head)
    } catch {
      // What was answered counts all the same, and the next answer brings the head again.
    }
  }
}

/** How long nothing may be heard of a peer, which may have closed its door to us, before whoever asks is told. */
class Patience {
  readonly #over = new AbortController()
  readonly #stop: () => void

  constructor(clock: RunningNode['clock'], peer: string) {
    this.#stop = clock.setTimer(MAX_UNHEARD_MS, () => {
      const state = `nothing was heard for ${MAX_UNHEARD_MS / 1000} s`
      this.#over.abort(new DoorError('unavailable', `Cannot reach ${peer}: ${state}`, 'maybe'))
    })
  }

  get signal(): AbortSignal {
    return this.#over.signal
  }

  [Symbol.dispose](): void {
    this.#stop()
  }
}

function failed(error: unknown, peer: string): Told {
  const fault = nodeFault(error, peer)
  if (!(fault instanceof DoorError)) throw fault
  const { code, ran, reason, message } = fault
  const { rule } = error as { rule?: { readonly id: string; readonly note: string } }
  return {
    state: 'failed',
    code,
    ran,
    message,
    ...(reason === undefined ? {} : { reason }),
    ...(rule === undefined ? {} : { rule: { id: rule.id, note: rule.note } }),
  }
}
