/**
 * `connectVault()`: a vault that another peer serves, used as if it lay here. Puts line, requests, heads and receipts together;
 * what a procedure does it does not know.
 */
import { fromHex } from '@stronghold/core'
import type { UsableRecord } from '@stronghold/guard'
import type { Node, PeerId, Target } from '@stronghold/p2p'
import type { ChainOutput, RunOptions, Steps, Vault } from '@stronghold/vault'
import type { InputOf, OutputOf, Procedure, RecordType } from '@stronghold/vault/catalog'

import type { Timers } from './acknowledged.ts'
import { digested } from './digest.ts'
import { drawn } from './drawn.ts'
import { RemoteError } from './errors.ts'
import { Heads } from './heads.ts'
import type { Rollback } from './heads.ts'
import {
  CALL_TIMEOUT_MS,
  DEFAULT_TIMEOUT_MS,
  MAX_LISTED_TOTAL,
  MAX_REASON_LENGTH,
  MAX_STEPS,
  MAX_TIMEOUT_MS,
} from './limits.ts'
import { Line, systemTimers } from './line.ts'
import type { SubmitMessage } from './messages.ts'
import { assertReceipt, receiptCrypto } from './receipt.ts'
import { RemoteRequest } from './request.ts'
import type { Done, Outputs, RemotePending } from './request.ts'
import { remembering } from './verified.ts'

/** How a vault elsewhere is used. */
export interface ConnectInit {
  /** How long requests may take that do not say, in milliseconds. Default 10 minutes. */
  readonly timeoutMs?: number
  /** The highest head of an earlier connection: a vault behind it has been rolled back. */
  readonly head?: Uint8Array
  /** Told when the vault is an older one than it was. Without it, the request that finds out fails as `rolled_back`. */
  readonly onRollback?: (rollback: Rollback) => void
}

/** What tests hold. */
export interface ConnectSeams {
  readonly timers?: Timers
  /** So many bytes nobody can foresee. */
  readonly random?: (length: number) => Uint8Array
}

/** A vault that another peer serves. Every method rejects with `RemoteError`. */
export interface RemoteVault extends Vault<UsableRecord>, AsyncDisposable {
  submit<P extends Procedure>(
    procedure: P,
    input: InputOf<P>,
    options?: RunOptions,
  ): Promise<RemotePending<OutputOf<P>>>
  /** `chain` in two parts. */
  submitChain<const P extends readonly Procedure[]>(
    steps: Steps<P>,
    options?: RunOptions,
  ): Promise<RemotePending<ChainOutput<P>>>
  /**
   * Comes back to a request, also one of an earlier life of this peer. Gives the outputs of all steps, as they came. A receipt
   * that comes along is verified as far as that goes without the inputs, where `verify` asks for it.
   *
   * @throws `RemoteError` `not_found` where the vault does not know it, or no longer
   */
  resume(
    id: string,
    options?: { signal?: AbortSignal; verify?: boolean },
  ): Promise<RemotePending<Outputs>>
  /**
   * Tells that the answer of a request has arrived, whose id the caller gave: it need not be kept there. Of all others that is
   * told by itself.
   */
  acknowledge(id: string, options?: { signal?: AbortSignal; timeoutMs?: number }): Promise<void>
  /** The highest head that was seen, with a signature that is right: a witness for `audit verify`, and for the next life. */
  readonly head: Uint8Array | undefined
  /** Tells what has arrived, and asks no more. What is pending stays pending there. */
  close(): void
}

/**
 * A vault that another peer serves. Connects on first use, and again when a connection breaks: a request is known by its id,
 * so that it is never done twice.
 *
 * @param target - whose vault: a peer id that the node's address book knows, or addresses
 * @throws `SyntaxError` or `TypeError` for what is no target, `RangeError` for a time that is none
 */
export function connectVault(
  node: Node,
  target: Target,
  init: ConnectInit = {},
  seams: ConnectSeams = {},
): RemoteVault {
  return new ConnectedVault(node, target, init, seams)
}

class ConnectedVault implements RemoteVault {
  readonly #node: Node
  readonly #target: Target
  readonly #line: Line
  readonly #timeoutMs: number
  readonly #crypto = remembering(receiptCrypto)
  readonly #random: (length: number) => Uint8Array
  #named: PeerId | undefined

  constructor(node: Node, target: Target, init: ConnectInit, seams: ConnectSeams) {
    const { timeoutMs = DEFAULT_TIMEOUT_MS, head, onRollback } = init
    assertTime(timeoutMs)
    const heads = new Heads(onRollback)
    if (head !== undefined) heads.take(head, heads.mark())
    this.#node = node
    this.#target = target
    this.#timeoutMs = timeoutMs
    this.#line = new Line(node, target, heads, seams.timers ?? systemTimers)
    this.#random = seams.random ?? drawn()
  }

  get head(): Uint8Array | undefined {
    return this.#line.heads.witness
  }

  async run<P extends Procedure>(
    procedure: P,
    input: InputOf<P>,
    options: RunOptions = {},
  ): Promise<OutputOf<P>> {
    return (await this.submit(procedure, input, options)).result()
  }

  submit<P extends Procedure>(
    procedure: P,
    input: InputOf<P>,
    options: RunOptions = {},
  ): Promise<RemotePending<OutputOf<P>>> {
    return this.#submit([{ procedure, input }], options, ([output]) => output as OutputOf<P>)
  }

  async chain<const P extends readonly Procedure[]>(
    steps: Steps<P>,
    options: RunOptions = {},
  ): Promise<ChainOutput<P>> {
    return (await this.submitChain(steps, options)).result()
  }

  submitChain<const P extends readonly Procedure[]>(
    steps: Steps<P>,
    options: RunOptions = {},
  ): Promise<RemotePending<ChainOutput<P>>> {
    return this.#submit(steps, options, (outputs: readonly unknown[]) => outputs as ChainOutput<P>)
  }

  async resume(
    id: string,
    { signal, verify = false }: { signal?: AbortSignal; verify?: boolean } = {},
  ): Promise<RemotePending<Outputs>> {
    this.#line.assertOpen()
    const bytes = readId(id)
    const pending = new RemoteRequest<Outputs>(this.#line, {
      id: bytes,
      forget: false,
      timeoutMs: this.#timeoutMs,
      signal,
      read: async (done) => {
        if (verify && done.receipt !== undefined) await this.#verify(done, { id: bytes })
        return done.outputs
      },
    })
    await pending.look()
    return pending
  }

  async acknowledge(
    id: string,
    { signal, timeoutMs = CALL_TIMEOUT_MS }: { signal?: AbortSignal; timeoutMs?: number } = {},
  ): Promise<void> {
    assertTime(timeoutMs)
    const ids = [readId(id)]
    const untilMs = this.#line.untilMs(timeoutMs)
    await this.#line.call((client, options) => client.acknowledge({ ids }, options), {
      untilMs,
      taken: false,
      signal,
    })
  }

  async list(pattern = '**', { timeoutMs, signal }: RunOptions = {}): Promise<UsableRecord[]> {
    if (timeoutMs !== undefined) assertTime(timeoutMs)
    const found: UsableRecord[] = []
    const untilMs = this.#line.untilMs(timeoutMs ?? this.#timeoutMs)
    for (let after: string | undefined; ; after = found.at(-1)?.path) {
      const from = after === undefined ? {} : { after }
      const { records, more } = await this.#line.call(
        (client, options) => client.list({ pattern, ...from }, options),
        { untilMs, taken: false, signal },
      )
      for (const { publicKey, ...record } of records) {
        const type = record.type as RecordType
        found.push({ ...record, type, ...(publicKey === undefined ? {} : { publicKey }) })
      }
      if (!more || records.length === 0) return found
      if (found.length >= MAX_LISTED_TOTAL) {
        throw new RemoteError(
          'resource_exhausted',
          `Cannot list records: more than ${MAX_LISTED_TOTAL}, name a narrower pattern`,
        )
      }
    }
  }

  close(): void {
    this.#line.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  async #submit<Output>(
    steps: readonly { procedure: Procedure; input: unknown }[],
    options: RunOptions,
    pick: (outputs: Outputs) => Output,
  ): Promise<RemoteRequest<Output>> {
    const { reason = '', timeoutMs = this.#timeoutMs, requestId, receipt = false, signal } = options
    assertTime(timeoutMs)
    if (reason.length > MAX_REASON_LENGTH) {
      throw new RangeError(`Cannot give reason: longer than ${MAX_REASON_LENGTH} characters`)
    }
    const id = requestId === undefined ? this.#random(16) : readId(requestId)
    signal?.throwIfAborted()
    if (steps.length === 0 || steps.length > MAX_STEPS) {
      throw new RemoteError(
        'invalid_argument',
        `Cannot run chain: ${steps.length} steps where 1 to ${MAX_STEPS} are allowed`,
      )
    }
    const message: SubmitMessage = {
      id,
      steps: steps.map(({ procedure: { name: procedure, version }, input }) => {
        const fields = { ...(input as Readonly<Record<string, unknown>>) }
        return { procedure, version, input: digested(procedure, fields) }
      }),
      reason,
      timeoutMs,
      receipt,
    }
    const request = new RemoteRequest<Output>(this.#line, {
      id,
      forget: requestId === undefined,
      timeoutMs,
      signal,
      read: async (done) => {
        assertOutputs(steps, done)
        if (receipt) await this.#verify(done, { id, message })
        return pick(done.outputs)
      },
    })
    await request.submit(message)
    return request
  }

  async #verify(
    { outputs, receipt }: Done,
    asked: { readonly id: Uint8Array; readonly message?: SubmitMessage },
  ): Promise<void> {
    const head = this.#line.heads.latest
    if (receipt === undefined || head === undefined) {
      throw new RemoteError('data_loss', 'Cannot trust answer: it came without the receipt', {
        reason: 'receipt_invalid',
        ran: 'yes',
      })
    }
    const proven = {
      peer: await this.#peer(),
      requester: this.#node.peer,
      vault: head.vault,
      key: head.publicKey,
      ...asked,
      outputs,
    }
    await assertReceipt(receipt, proven, this.#crypto)
  }

  /** Who answers, as the connection proves it; where the target names its peer nobody else ever does. */
  async #peer(): Promise<PeerId> {
    if (this.#named !== undefined) return this.#named
    const { peer } = await this.#node.connect(this.#target)
    if (names(this.#target, peer)) this.#named = peer
    return peer
  }
}

function names(target: Target, peer: PeerId): boolean {
  if (typeof target === 'string') return target === peer || target.endsWith(`/p2p/${peer}`)
  return target.every((address) => address.endsWith(`/p2p/${peer}`))
}

/** That the outputs are those of the procedures, of all but the last step as much as no later step took. */
function assertOutputs(steps: readonly { procedure: Procedure }[], { outputs }: Done): void {
  const fits =
    outputs.length === steps.length &&
    steps.every(({ procedure: { output } }, index) => {
      const schema = index === steps.length - 1 ? output : output.partial()
      return schema.safeParse(outputs[index]).success
    })
  if (fits) return
  throw new RemoteError('data_loss', 'Cannot read answer: it is not what the procedure gives', {
    reason: 'bad_answer',
    ran: 'yes',
  })
}

function assertTime(timeoutMs: number): void {
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > MAX_TIMEOUT_MS) {
    throw new RangeError(`Cannot wait ${timeoutMs} ms: no whole number from 1 to ${MAX_TIMEOUT_MS}`)
  }
}

function readId(text: string): Uint8Array {
  if (!/^[0-9a-f]{32}$/.test(text)) {
    throw new SyntaxError(
      `Cannot use request id: ${JSON.stringify(text.slice(0, 64))} is not 32 hex digits`,
    )
  }
  return fromHex(text)
}
