/** What a vault elsewhere refused, or why it was not reached, as people are told it: who, what, and the next command. Pure. */
import type { Ran } from '@stronghold/core'

import { EXIT_OF_REASON, EXIT_OF_STATUS } from './exits.ts'
import type { ExitName } from './exits.ts'
import { Failure } from './failure.ts'
import type { Home } from './home.ts'
import type { Told } from './node/asking.ts'
import { remote } from './terminal.ts'
import { isOnTheWay } from './unreached.ts'

/** Longest text of the other side's that is shown, in characters. */
const MAX_SHOWN = 300

/** What was asked, and of whom. */
export interface Asking {
  /** What people call the peer. */
  readonly name: string
  /** `sign on release/app`. */
  readonly what: string
  /** `home:q-7f3a`, as it stands on a command line; `undefined` where there is nothing to come back to. */
  readonly back: string | undefined
  /** What asks for the same again, under the same id. */
  readonly again: string
  readonly homePath: string
}

type Refused = Omit<Extract<Told, { state: 'failed' }>, 'state'>

/** A refusal as the failure of the command. */
export function refusal({ code, reason, ran, message, rule }: Refused, asking: Asking): Failure {
  const { name, what, back, again } = asking
  const isKnown = reason !== undefined && Object.hasOwn(EXIT_OF_REASON, reason)
  const exit: ExitName = isKnown
    ? EXIT_OF_REASON[reason as keyof typeof EXIT_OF_REASON]
    : EXIT_OF_STATUS[code]
  const told = sentence(message)
  const fail = (said: string, why: string | undefined, hint: string): Failure =>
    new Failure(exit, said, { hint, ...(why === undefined ? {} : { reason: why }) })
  const comeBack = back === undefined ? undefined : `stronghold request wait ${back}`
  switch (reason) {
    case 'denied_by_rule': {
      const note = rule?.note === '' || rule === undefined ? '' : `, ${remote(rule.note)}`
      const by = rule === undefined ? undefined : `rule ${remote(rule.id)}${note}`
      return fail(
        `${name} denied ${what}`,
        by,
        `see what you may use: stronghold key list ${name}:`,
      )
    }
    case 'denied_by_person':
      return fail(`a person at ${name} denied ${what}`, undefined, 'ask them why')
    case 'expired':
      return fail(
        `nobody at ${name} decided on ${what} in time`,
        undefined,
        'ask again, and give them longer: --wait 1h',
      )
    case 'canceled':
      return fail(`${what} was taken back`, undefined, 'ask again')
    case 'locked':
      // What came while it was locked, it runs only for whoever shows it again.
      return fail(`${name} cannot answer ${what}`, told, `there: stronghold unlock; here: ${again}`)
    case 'conflict':
      return fail(
        `${name} refused ${what}`,
        'another request has this id',
        'leave --request-id away, or give another',
      )
    case 'answer_gone':
      return fail(
        `${name} has done ${what}, and its answer is gone`,
        undefined,
        'ask again, without --request-id',
      )
    case 'rolled_back':
      return fail(
        `cannot trust ${name}: its vault is older than it was`,
        told,
        `ask its owner; where a copy was put back on purpose, forget what was seen: rm ${asking.homePath}/heads.json`,
      )
    case 'receipt_invalid':
    case 'bad_answer':
      return fail(`cannot trust ${name}`, told, 'ask its owner')
    case 'relay_bytes':
      return fail(
        `cannot ask ${name} for ${what}`,
        'it is more than the relay between carries',
        `connect directly: stronghold peer add ${name} ADDRESS`,
      )
    case 'closed_at_once': {
      // A peer that blocks us says no more than one that has no room.
      const later = comeBack === undefined || ran === 'no' ? '' : `; if it opens again: ${comeBack}`
      return fail(
        `cannot ask ${name} for ${what}`,
        `${name} closes the connection at once`,
        `it may have blocked this machine, there: stronghold peer list${later}`,
      )
    }
    case 'layer_firewall':
      return fail(`${name} denied ${what}`, undefined, `there: stronghold peer list`)
    default:
  }
  if (code === 'unavailable' || (ran === 'no' && isOnTheWay(code, reason))) {
    const next = `stronghold peer connect ${name}`
    const hint = ran === 'no' ? next : (comeBack ?? next)
    return new Failure('unreachable', `cannot reach ${name}`, { hint, reason: told })
  }
  if (code === 'unimplemented' && ran === 'no') {
    const hint = `see whether it is the right one: stronghold peer show ${name}`
    return new Failure('denied', `${name} serves no vault to this machine`, { hint })
  }
  if (code === 'not_found') {
    return fail(
      `${name} does not know the request, or no longer`,
      undefined,
      'ask again, or see: stronghold request list',
    )
  }
  const hint = code === 'resource_exhausted' ? 'wait a while, then ask again' : 'ask its owner'
  return fail(
    `${name} cannot do ${what}`,
    told,
    comeBack !== undefined && ran !== 'no' ? comeBack : hint,
  )
}

/** Does something at a peer that takes no request of its own. @throws its refusals as failures */
export async function atPeer<T>(
  { home, name, what, again }: { readonly home: Home } & Pick<Asking, 'name' | 'what' | 'again'>,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    // From the door of a node here, or over its socket.
    const { isVaultError } = await import('@stronghold/vault/errors')
    if (!isVaultError(error) || error instanceof Failure) throw error
    const { code, reason, message } = error
    const { ran = 'maybe' } = error as { ran?: Ran }
    const refused = { code, ran, message, ...(reason === undefined ? {} : { reason }) }
    throw refusal(refused, { name, what, back: undefined, again, homePath: home.path })
  }
}

/** A message without its front, which people are told otherwise: `Cannot dial "/ip4/…": refused (at /ip4/…)`. */
function sentence(message: string): string {
  const front = /^Cannot (?:(?:run|answer|find) request|(?:dial|reach) (?:"[^"]*"|[^ :]+)): /
  return remote(message.replace(front, '').replace(/^Cannot /, 'cannot '), MAX_SHOWN)
}
