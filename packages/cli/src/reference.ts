/** What a command is to use: `[peer:]path[@version]`. Pure. */
import { parseReference } from '@stronghold/vault/catalog'

import { Failure, quoted } from './failure.ts'
import { known } from './procedures.ts'
import type { NamedStep } from './procedures.ts'

/** A record of the own vault, or of a peer's. */
export interface Target {
  /** Name or id of the peer; `undefined` for the own vault. */
  readonly peer: string | undefined
  /** `path` or `path@version`. */
  readonly reference: string
}

/** Reads a reference. @throws `SyntaxError` for what is no path, `Failure` `usage` for a peer that is no name */
export function parseTarget(text: string): Target {
  const colon = text.indexOf(':')
  const peer = colon === -1 ? undefined : text.slice(0, colon)
  const reference = text.slice(colon + 1)
  if (peer !== undefined && !/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(peer)) {
    throw new Failure('usage', `cannot read ${quoted(text)}`, {
      reason: 'what stands before the colon is no name of a peer',
    })
  }
  parseReference(reference)
  return { peer, reference }
}

/** The same, of the own vault only. */
export function parseOwn(text: string): string {
  const { peer, reference } = parseTarget(text)
  if (peer === undefined) return reference
  throw new Failure('unreachable', `cannot use ${quoted(text)}`, {
    reason: 'this command works on the own vault only',
  })
}

/** The path of a reference, without its version. */
export function pathOf(reference: string): string {
  return parseReference(reference).path.toString()
}

/**
 * Steps whose paths may be those of a peer, as that peer takes them.
 *
 * @throws `Failure` `usage` where they are not all of one vault
 */
export function ownSteps(steps: readonly NamedStep[]): {
  readonly peer: string | undefined
  readonly steps: readonly NamedStep[]
} {
  const peers = new Set<string | undefined>()
  const own = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(own)
    if (typeof value !== 'string') return value
    const { peer, reference } = parseTarget(value)
    peers.add(peer)
    return reference
  }
  const stripped = steps.map(({ procedure, input }) => ({
    procedure,
    input: Object.fromEntries(
      Object.entries(input).map(([name, value]) => [
        name,
        Object.hasOwn(known(procedure).roles, name) ? own(value) : value,
      ]),
    ),
  }))
  if (peers.size <= 1) return { peer: [...peers][0], steps: stripped }
  throw new Failure('usage', 'cannot run a chain', {
    reason: 'its paths are not all of one vault',
    hint: 'write the same PEER: before every path, or none',
  })
}
