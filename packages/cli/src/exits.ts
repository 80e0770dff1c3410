/** Exit codes, and which code of a package ends in which: one table, from which `docs/cli.md` is made. */
import type { StatusCode } from '@stronghold/core'
import type { GuardReason } from '@stronghold/guard'
import type { VaultReason } from '@stronghold/vault'

/** One exit code. */
export interface Exit {
  /** What the process ends with. */
  readonly exit: number
  /** The word in `--json` errors. */
  readonly name: string
  readonly meaning: string
  /** A command that reaches it. */
  readonly example: string
}

/** Every exit code there is, in order. */
export const EXITS = [
  { exit: 0, name: 'done', meaning: 'Done', example: 'stronghold version' },
  {
    exit: 1,
    name: 'internal',
    meaning: 'A fault of this program, or of the disk under it',
    example: 'stronghold doctor, where something it looks at is bad',
  },
  {
    exit: 2,
    name: 'usage',
    meaning: 'The command line, a setting or an input makes no sense',
    example: 'stronghold sing release/app',
  },
  {
    exit: 3,
    name: 'denied',
    meaning: 'Denied by a rule, by the labels of a record, or absent on another machine',
    example: 'stronghold encrypt release/app, of which the usage set says sign only',
  },
  {
    exit: 4,
    name: 'denied_by_person',
    meaning: 'A person said no',
    example: 'stronghold sign home:release/app, denied there',
  },
  {
    exit: 5,
    name: 'pending',
    meaning: 'Waits for a person',
    example: 'stronghold sign home:release/app --no-wait',
  },
  {
    exit: 6,
    name: 'expired',
    meaning: 'Nobody decided in time, or it was taken back',
    example: 'stronghold sign home:release/app --wait 1s',
  },
  {
    exit: 7,
    name: 'locked',
    meaning: 'Locked, and nothing at hand unlocks it',
    example: 'stronghold key list, without a terminal or a passphrase',
  },
  {
    exit: 8,
    name: 'unreachable',
    meaning: 'The other machine cannot be reached',
    example: 'stronghold pub home:release/app, while home is off',
  },
  {
    exit: 9,
    name: 'not_found',
    meaning: 'Nothing such in the own vault or home',
    example: 'stronghold key show nothing/here',
  },
  {
    exit: 10,
    name: 'conflict',
    meaning: 'Something stands there already, or another process holds the vault',
    example: 'stronghold init, a second time',
  },
  {
    exit: 11,
    name: 'verification_failed',
    meaning: 'A signature, a receipt, an audit or a stored row is not what it should be',
    example: 'stronghold verify release/app --sig other.sig --in app.tgz',
  },
  {
    exit: 12,
    name: 'limit',
    meaning: 'A limit is reached',
    example: 'stronghold sign release/app --format raw --in large.iso',
  },
  {
    exit: 13,
    name: 'audit_unavailable',
    meaning: 'It cannot be written into the audit, so it is not done',
    example: 'stronghold key create release/app, with audit.max_bytes used up',
  },
] as const satisfies readonly Exit[]

/** The word of an exit code. */
export type ExitName = (typeof EXITS)[number]['name']

/** What a status code ends in where no reason says more. */
export const EXIT_OF_STATUS: Readonly<Record<StatusCode, ExitName>> = Object.freeze({
  invalid_argument: 'usage',
  unauthenticated: 'locked',
  permission_denied: 'denied',
  not_found: 'not_found',
  failed_precondition: 'conflict',
  resource_exhausted: 'limit',
  deadline_exceeded: 'expired',
  canceled: 'expired',
  unavailable: 'unreachable',
  unimplemented: 'usage',
  data_loss: 'verification_failed',
  internal: 'internal',
})

/** What a reason ends in, whatever its status code. */
export const EXIT_OF_REASON: Readonly<Record<VaultReason | GuardReason, ExitName>> = Object.freeze({
  denied_by_rule: 'denied',
  denied_by_person: 'denied_by_person',
  pending: 'pending',
  expired: 'expired',
  canceled: 'expired',
  locked: 'locked',
  conflict: 'conflict',
  audit_unavailable: 'audit_unavailable',
  answer_gone: 'verification_failed',
  unlock_failed: 'locked',
  held: 'conflict',
  damaged: 'verification_failed',
  newer_format: 'usage',
  disk_full: 'audit_unavailable',
  read_only: 'audit_unavailable',
  disk_failed: 'internal',
  unsafe_file: 'usage',
  memory_not_locked: 'limit',
  usage: 'denied',
  key_worn_out: 'limit',
})

/** The number of a word. */
export function exitOf(name: ExitName): number {
  return EXITS.find((exit) => exit.name === name)?.exit ?? 1
}
