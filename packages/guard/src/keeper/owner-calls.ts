/**
 * A call that came to the owner door, judged and carried out: who may call what, and that no secret came as it is. Whoever
 * only calls does not load it.
 */
import { procedureOf } from '@stronghold/vault/catalog'
import { z } from 'zod'

import type { OwnerDoor, OwnerRole, PeerStep } from '../doors.ts'
import { DoorError } from './messages.ts'
import { OWNER_METHODS } from './owner-methods.ts'
import { callMethod, methodOf, readArgs } from './table.ts'

/**
 * Calls a method for whoever stands at the door.
 *
 * @param given - its arguments, as they came
 * @param signal - fires when nobody waits for the answer any more
 * @throws `DoorError` `unimplemented`, `permission_denied`, `invalid_argument`; what the method throws
 */
export function callOwner(
  door: OwnerDoor,
  role: OwnerRole,
  called: string,
  given: readonly unknown[],
  signal: AbortSignal,
): Promise<unknown> | AsyncIterable<unknown> {
  const { name, method } = methodOf(OWNER_METHODS, called)
  if (role !== 'admin' && method.role === 'admin') {
    throw new DoorError('permission_denied', `Cannot call "${name}": this takes an admin`, 'no')
  }
  const args = readArgs(name, method, given)
  if (name === 'run') assertSealed(args[0] as readonly PeerStep[])
  // Who decided is who stands there, not who he says he is.
  if (name === 'decide' && role === 'approver') args[2] = { ...Object(args[2]), by: 'approver' }
  return callMethod(door, name, method, args, signal)
}

/** A secret that came as it is has been on a heap where no secret belongs; it is not taken, so that nobody gets used to it. */
function assertSealed(asked: readonly PeerStep[]): void {
  for (const { procedure, input } of asked) {
    const fields = procedureOf(procedure)?.input.shape ?? {}
    for (const [name, field] of Object.entries(fields)) {
      if (!isSecretField(field) || !(input[name] instanceof Uint8Array)) continue
      throw new DoorError(
        'invalid_argument',
        `Cannot run ${JSON.stringify(procedure.slice(0, 64))}: ${name} is secret and has to be sealed`,
        'no',
      )
    }
  }
}

function isSecretField(field: unknown): boolean {
  if (field instanceof z.ZodOptional) return isSecretField(field.unwrap())
  return field instanceof z.ZodType && field.meta()?.['secret'] === true
}
