/**
 * What signatures reach that were asked for before: the last of each, for as long as the same record stands at the same
 * place. The vault reads what was asked alike but for the message into the very same places, so that these tell them. The
 * objects are shared, so that whoever compares what follows from them sees at once that it is the same.
 */
import { equalBytes } from '@stronghold/core'
import { messageTags, sign } from '@stronghold/vault/catalog'
import type { StepPlaces } from '@stronghold/vault/catalog'

import { reachOf } from './deciding.ts'
import type { BoundRecord, DecidedStep, Reach } from './deciding.ts'

/** The last that was found of these places. */
interface Known {
  /** What the input says of its format, whatever the message is. */
  readonly tag: string
  readonly record: BoundRecord | undefined
  readonly reach: Reach
}

/** What requests reach. */
export class Reaches {
  readonly #known = new WeakMap<readonly StepPlaces[], Known>()

  /** The same as `reachOf`. Throws alike. */
  of(
    steps: readonly DecidedStep[],
    recordAt: (path: string) => BoundRecord | undefined,
    places: readonly StepPlaces[],
  ): Reach {
    const message = messageOf(steps)
    if (message === undefined) return reachOf(steps, recordAt, places)
    const known = this.#known.get(places)
    if (known !== undefined) {
      const { tag, record, reach } = known
      const path = reach.touched[0]?.path ?? ''
      const same = isSame(record, recordAt(path)) && equal(messageTags(tag, message), reach.formats)
      if (same) return reach
    }
    let found: BoundRecord | undefined
    const reach = reachOf(steps, (path) => (found = recordAt(path)), places)
    const [tag] = reach.formats
    if (tag !== undefined && reach.touched.length === 1) {
      this.#known.set(places, { tag, record: found, reach })
    }
    return reach
  }
}

/** Of a signature that is all of its chain. */
function messageOf([step, ...others]: readonly DecidedStep[]): Uint8Array | undefined {
  if (step?.procedure !== sign || others.length > 0) return undefined
  const { message } = (step.input ?? {}) as { readonly message?: unknown }
  return message instanceof Uint8Array ? message : undefined
}

function isSame(a: BoundRecord | undefined, b: BoundRecord | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return a.version === b.version && equalBytes(a.id, b.id)
}

function equal(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((one, index) => one === b[index])
}
