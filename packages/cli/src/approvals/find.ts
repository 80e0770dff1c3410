/** Which of what waits is meant: by an id or its beginning, or the only one. Pure. */
import { named, shortest } from '@stronghold/guard/proofs'
import type { PendingApproval } from '@stronghold/guard'

import { Failure, quoted } from '../failure.ts'
import { askOf } from './words.ts'

/** Most that a refusal lists. */
const MAX_TOLD = 5

/**
 * Those that are meant, each once.
 *
 * @param ids - whole, or unique beginnings of four characters or more; none means the only one that waits
 * @param verb - what is to be done: `approve`
 * @throws `Failure` `not_found` where nothing such waits, `usage` where several may be meant
 */
export function meant(
  waiting: readonly PendingApproval[],
  ids: readonly string[],
  verb: string,
): readonly PendingApproval[] {
  if (ids.length === 0) return [theOnly(waiting, verb)]
  return [...new Set(ids.map((id) => byId(waiting, id, verb)))]
}

function theOnly(waiting: readonly PendingApproval[], verb: string): PendingApproval {
  const [first, second] = waiting
  if (first === undefined) {
    throw new Failure('not_found', `cannot ${verb}`, {
      reason: 'nothing waits for a person',
      hint: 'stronghold approval watch, which shows what is asked as it comes',
    })
  }
  if (second === undefined) return first
  throw new Failure('usage', `cannot ${verb}`, {
    reason: `${waiting.length} wait: ${told(waiting)}`,
    hint: `name one: stronghold ${verb} ${short(first, waiting)}`,
  })
}

function byId(waiting: readonly PendingApproval[], id: string, verb: string): PendingApproval {
  const ids = named(
    id,
    waiting.map((one) => one.id),
  )
  const found = waiting.filter((one) => ids.includes(one.id))
  const [first] = found
  if (first === undefined) {
    throw new Failure('not_found', `cannot ${verb} ${quoted(id)}`, {
      reason: 'nothing such waits: it was decided, taken back or has expired',
      hint: 'stronghold approval list',
    })
  }
  if (found.length === 1) return first
  throw new Failure('usage', `cannot ${verb} ${quoted(id)}`, {
    reason: `${found.length} begin so: ${told(found, waiting)}`,
    hint: `stronghold ${verb} ${short(first, waiting)}`,
  })
}

function told(some: readonly PendingApproval[], all: readonly PendingApproval[] = some): string {
  const shown = some
    .slice(0, MAX_TOLD)
    .map((one) => `${short(one, all)} (${one.peerName}: ${askOf(one)})`)
  const rest = some.length - shown.length
  return [...shown, ...(rest > 0 ? [`${rest} more`] : [])].join(', ')
}

function short({ id }: PendingApproval, all: readonly PendingApproval[]): string {
  return shortest(
    id,
    all.map((one) => one.id),
  )
}
