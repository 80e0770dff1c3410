/**
 * What arrives in one turn of the event loop becomes one transaction with a savepoint for each: one that fails is rolled
 * back alone, and all wait for one commit. Nothing is answered before it. Of much that waits at once a transaction takes no
 * more than half of what is under way, so that those who have their answers ask again while the others are served. It
 * knows nothing of what the work is.
 */
import { VaultError } from '@stronghold/vault'
import type { OpenVault, VaultTransaction } from '@stronghold/vault'

import type { News, Work } from './desk.ts'
import { Journal } from './journal.ts'
import { Release } from './release.ts'
import { mayBeThere } from './torn.ts'

/** One piece of work. */
interface Item {
  readonly body: (work: Work) => unknown
  /** Called once all is committed. */
  readonly done: (result: unknown, release: Release) => void
  readonly failed: (error: unknown) => void
}

/** What a batch is made of. */
export interface BatchInit {
  readonly vault: OpenVault
  /** Most pieces of work that may wait. */
  readonly maxQueued: number
  /** The last that is done in a transaction, before it is committed. */
  readonly finish: (tx: VaultTransaction, journal: Journal) => void
  /** What goes with every receipt. */
  readonly certificate: () => Uint8Array | null
  /** What became durable; called before any piece of work hears of its result. Must not throw. */
  readonly committed: (news: readonly News[]) => void
}

/** So many are always taken together: a commit of fewer costs each of them more than it waits for the others. */
const MIN_TAKEN = 16

/** Collects the work of one turn. */
export class Batch {
  readonly #init: BatchInit
  readonly #journal = new Journal()
  #waiting: Item[] = []
  #scheduled = false
  /** How many the last transaction took: they are likely to come again. */
  #taken = 0
  #ended: { readonly error: unknown } | undefined
  #torn = false

  constructor(init: BatchInit) {
    this.#init = init
  }

  /**
   * Does a piece of work at the end of this turn.
   *
   * @param render - makes of the result what leaves, once it is durable
   * @throws `VaultError` `resource_exhausted` past `maxQueued`; what `body` throws; what the commit throws; what it ended with
   */
  run<T>(body: (work: Work) => T): Promise<T>
  run<T, A>(body: (work: Work) => T, render: (result: T, release: Release) => A): Promise<A>
  run<T>(
    body: (work: Work) => T,
    render: (result: T, release: Release) => unknown = (result) => result,
  ): Promise<unknown> {
    return new Promise<unknown>((resolve, reject) => {
      if (this.#ended !== undefined) throw this.#ended.error
      if (this.#waiting.length >= this.#init.maxQueued) {
        throw new VaultError(
          'resource_exhausted',
          `Cannot take request: ${this.#init.maxQueued} wait already`,
        )
      }
      const failed: (error: unknown) => void = reject
      this.#waiting.push({
        body,
        done: (result, release) => {
          // What cannot be rendered fails alone: others wait for the same commit.
          try {
            resolve(render(result as T, release))
          } catch (error) {
            failed(error)
          }
        },
        failed,
      })
      this.#schedule()
    })
  }

  /** Does all that waits, now. */
  flush(): void {
    this.#commit(this.#waiting.splice(0))
  }

  /** Whether a commit failed that may be there all the same: what is in memory is to be read anew. It has ended then. */
  get torn(): boolean {
    return this.#torn
  }

  /** Takes no more work; what waits, and what comes, fails like this. What works on this memory cannot go on with it. */
  end(error: unknown): void {
    if (this.#ended !== undefined) return
    this.#ended = { error }
    for (const { failed } of this.#waiting.splice(0)) failed(error)
  }

  #commit(items: readonly Item[]): void {
    this.#taken = items.length
    if (items.length === 0) return
    const news: News[] = []
    const leaves: Uint8Array[] = []
    const answers: ((release: Release) => void)[] = []
    const journal = this.#journal
    let compaction: { readonly error: unknown } | undefined
    const compacting = new Set<Item>()
    try {
      this.#init.vault.transaction((tx) => {
        for (const item of items) {
          const mark = { journal: journal.mark(), news: news.length, leaves: leaves.length }
          try {
            const result = tx.savepoint(() => item.body({ tx, journal, news, leaves }))
            answers.push((release) => {
              const uncompacted = compacting.has(item) ? compaction : undefined
              if (uncompacted === undefined) item.done(result, release)
              else item.failed(uncompacted.error)
            })
          } catch (error) {
            journal.rollBack(mark.journal)
            news.length = mark.news
            leaves.length = mark.leaves
            answers.push(() => {
              item.failed(error)
            })
          }
          if (tx.takeCompaction()) compacting.add(item)
        }
        this.#init.finish(tx, journal)
      })
    } catch (error) {
      // Nobody hears of what may not have been written, not even those that changed nothing: they may have seen it.
      journal.rollBack()
      for (const item of items) item.failed(error)
      if (mayBeThere(error)) {
        this.#torn = true
        this.end(error)
      }
      return
    }
    journal.settle()
    if (compacting.size > 0) compaction = this.#compact()
    this.#init.committed(news)
    const release = new Release(this.#init.vault, leaves, this.#init.certificate())
    for (const answer of answers) answer(release)
  }

  #compact(): { readonly error: unknown } | undefined {
    try {
      this.#init.vault.compact()
      return undefined
    } catch (error) {
      return { error }
    }
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    // A tick that a microtask asks for comes when no microtask is left: after everything that this turn leads to.
    queueMicrotask(() => {
      process.nextTick(() => {
        this.#take()
      })
    })
  }

  #take(): void {
    const half = Math.ceil((this.#waiting.length + this.#taken) / 2)
    this.#commit(this.#waiting.splice(0, Math.max(half, MIN_TAKEN)))
    this.#scheduled = this.#waiting.length > 0
    if (!this.#scheduled) return
    // Not before those who were served have heard of it.
    setImmediate(() => {
      this.#take()
    })
  }
}
