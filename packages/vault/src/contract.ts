/**
 * What a vault offers to whoever uses it, wherever it is: `openVault()`, a guard's view for one peer and a connected
 * vault offer the same under one suite. Types only; it knows nothing of how they do it.
 */
import type { InputOf, OutputOf, Procedure, Step } from './catalog/index.ts'
import type { RecordInfo } from './info.ts'

/** How one request is made. */
export interface RunOptions {
  /** Why, for the person who is asked. At most 256 characters; a vault without a guard asks nobody. */
  reason?: string
  /** How long an answer may take, in milliseconds, 1 or more. Default: a vault without a guard answers at once. */
  timeoutMs?: number
  /** 32 hex digits, the same for the same request made again. Default: random. */
  requestId?: string
  /** Asks for a receipt, which only a guard gives. Default false. */
  receipt?: boolean
  /** Gives up waiting; what was done by then is done. */
  signal?: AbortSignal
}

/** Where a request that was submitted stands. */
export type PendingState = 'pending' | 'done' | 'failed' | 'canceled'

/** A request that was taken and may be waited for. */
export interface Pending<Output> {
  /** 32 hex digits. */
  readonly id: string
  readonly state: PendingState
  /** The answer, when there is one. @throws what `run` throws; `VaultError` `canceled` after `cancel` */
  result(): Promise<Output>
  /** Takes the request back. @returns whether nothing was done and nothing will be */
  cancel(): Promise<boolean>
}

/** What each step of a chain gives back: the last one everything, the others what no later step took. */
export type ChainOutput<P extends readonly Procedure[]> = P extends readonly [
  ...infer Before extends readonly Procedure[],
  infer Last extends Procedure,
]
  ? [...{ -readonly [K in keyof Before]: Partial<OutputOf<Before[K]>> }, OutputOf<Last>]
  : Partial<OutputOf<P[number]>>[]

/** Steps with the procedures of a chain, in order. */
export type Steps<P extends readonly Procedure[]> = { readonly [K in keyof P]: Step<P[K]> }

/** What every vault says of a record. One that lies here says more, one elsewhere what the asker may do with it. */
export type ListedRecord = Pick<RecordInfo, 'path' | 'type' | 'version' | 'publicKey'>

/**
 * A vault to be used. Every method rejects with `VaultError`, one that is used from elsewhere with its own error of the same
 * codes; the message is one sentence: `invalid_argument`,
 * `not_found`, `permission_denied` (`usage`), `failed_precondition` (`locked`, `conflict`, `key_worn_out`, `read_only`),
 * `resource_exhausted`, `deadline_exceeded`, `canceled`, `unavailable`, `data_loss`, `internal`. An aborted call rejects
 * with the signal's reason.
 */
export interface Vault<Info extends ListedRecord = RecordInfo> {
  /** Runs one procedure: all of it happens, durably, or nothing. */
  run<P extends Procedure>(
    procedure: P,
    input: InputOf<P>,
    options?: RunOptions,
  ): Promise<OutputOf<P>>
  /** The same in two parts: resolves when the request was taken. */
  submit<P extends Procedure>(
    procedure: P,
    input: InputOf<P>,
    options?: RunOptions,
  ): Promise<Pending<OutputOf<P>>>
  /**
   * Runs procedures in order, all or nothing. A field may be `{ step, output }`: an output of an earlier step, which then
   * does not leave; `record` stands for the record that a step made where a path is expected.
   */
  chain<const P extends readonly Procedure[]>(
    steps: Steps<P>,
    options?: RunOptions,
  ): Promise<ChainOutput<P>>
  /** The records whose paths a pattern matches, in the order of paths. Default `**`: all that may be seen. */
  list(pattern?: string, options?: RunOptions): Promise<Info[]>
}
