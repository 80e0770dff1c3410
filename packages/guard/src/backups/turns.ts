/** Long work as a stream: how far it has come, then what came of it. It knows not what the work is. */
import { VaultError } from '@stronghold/vault'

import type { BackupTurn } from './doors.ts'

/** What work is given: a signal that fires when nobody listens any more, and where it says how far it is. */
export interface LongWork {
  readonly signal: AbortSignal
  readonly onProgress: (done: number, total: number) => void
}

/** Runs work for as long as somebody listens. What is told faster than it is heard is told once. */
export async function* turnsOf<T>(
  signal: AbortSignal,
  work: (call: LongWork) => Promise<T>,
): AsyncGenerator<BackupTurn<T>> {
  const left = new AbortController()
  let news: BackupTurn<T> | undefined
  let told = Promise.withResolvers<undefined>()
  let isOver = false
  const end = work({
    signal: AbortSignal.any([signal, left.signal]),
    onProgress: (lines, of) => {
      news = { state: 'working', lines, of }
      told.resolve(undefined)
    },
  })
  const over = (): void => {
    isOver = true
    told.resolve(undefined)
  }
  end.then(over, over)
  try {
    for (;;) {
      await told.promise
      told = Promise.withResolvers<undefined>()
      const said = news
      news = undefined
      if (said !== undefined) yield said
      if (isOver) break
    }
    try {
      yield { state: 'done', result: await end }
    } catch (cause) {
      if (!signal.aborted) throw cause
      throw new VaultError('canceled', 'Cannot go on: nobody waits for it any more', { cause })
    }
  } finally {
    left.abort(new DOMException('Nobody waits for it', 'AbortError'))
    await end.catch(() => {})
  }
}
