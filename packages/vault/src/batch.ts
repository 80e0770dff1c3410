/**
 * Runs that were submitted in one turn of the event loop become one transaction with a savepoint each: one that fails
 * rolls back alone, and all of them wait for one commit. It knows nothing of what a run does.
 */
import { VaultError } from './errors.ts'
import type { VaultTransaction } from './session.ts'

/** One run that waits for the end of its turn. */
export interface Run {
  /** Runs inside the batch's transaction, in a savepoint of its own. */
  readonly body: (tx: VaultTransaction) => unknown
  /** Called once, when all is committed. */
  readonly done: (result: unknown) => void
  /** Called once instead, where `body` or the commit failed. */
  readonly failed: (error: unknown) => void
}

/** Where a batch is carried out. */
export interface BatchInit {
  /** Opens a transaction; commits when its body returned. */
  readonly transaction: (body: (tx: VaultTransaction) => void) => void
  /** Folds the vault's files, for runs that asked for it. */
  readonly compact: () => void
  /** Most runs that may wait. */
  readonly maxQueued: number
}

/** Collects the runs of one turn. */
export class Batch {
  readonly #init: BatchInit
  #waiting = new Set<Run>()
  #scheduled = false

  constructor(init: BatchInit) {
    this.#init = init
  }

  /**
   * Takes a run; it is carried out when nothing else of this turn is left to do.
   *
   * @returns takes it back: true where it was not carried out and will not be
   * @throws `VaultError` `resource_exhausted` past `maxQueued`
   */
  add(run: Run): () => boolean {
    if (this.#waiting.size >= this.#init.maxQueued) {
      throw new VaultError(
        'resource_exhausted',
        `Cannot run procedure: ${this.#init.maxQueued} runs wait already`,
      )
    }
    this.#waiting.add(run)
    this.#schedule()
    return () => this.#waiting.delete(run)
  }

  /** Carries out what waits, now. */
  flush(): void {
    const runs = [...this.#waiting]
    this.#waiting = new Set()
    if (runs.length === 0) return
    const answers: (() => void)[] = []
    const compacting = new Set<Run>()
    try {
      this.#init.transaction((tx) => {
        for (const run of runs) answers.push(attempt(run, tx, compacting))
      })
    } catch (error) {
      // What was not committed is nobody's answer, not even of those that changed nothing: they may have seen it.
      for (const run of runs) run.failed(error)
      return
    }
    const uncompacted = compacting.size === 0 ? undefined : this.#compact()
    for (const [at, run] of runs.entries()) {
      if (uncompacted !== undefined && compacting.has(run)) run.failed(uncompacted.error)
      else answers[at]?.()
    }
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    // A tick that a microtask asks for comes when no microtask is left: after everything that this turn leads to.
    queueMicrotask(() => {
      process.nextTick(() => {
        this.#scheduled = false
        this.flush()
      })
    })
  }

  #compact(): { readonly error: unknown } | undefined {
    try {
      this.#init.compact()
      return undefined
    } catch (error) {
      return { error }
    }
  }
}

function attempt(run: Run, tx: VaultTransaction, compacting: Set<Run>): () => void {
  try {
    const result = tx.savepoint(() => run.body(tx))
    if (tx.takeCompaction()) compacting.add(run)
    return () => {
      run.done(result)
    }
  } catch (error) {
    tx.takeCompaction()
    return () => {
      run.failed(error)
    }
  }
}
