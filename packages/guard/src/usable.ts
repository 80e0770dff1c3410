/** What a peer may use of a vault, and nothing more: what is denied and what is not there look alike. Pure. */
import { matches, parsePath, parsePattern } from '@stronghold/core'
import type { Path, Pattern } from '@stronghold/core'
import { VaultError } from '@stronghold/vault'
import type { RecordInfo } from '@stronghold/vault'
import { CATALOG, NO_PATH, ownUses } from '@stronghold/vault/catalog'
import type { Procedure, Role, Usage } from '@stronghold/vault/catalog'

import type { UsablePage, UsableRecord, WantedRecords } from './doors.ts'
import { MAX_USABLE_PAGE } from './limits.ts'
import { CONDITIONS, isAt } from './rules/decide.ts'
import type { CompiledRules, Request } from './rules/decide.ts'
import type { Rule } from './rules/rule.ts'

/** A use that a rule can be about: a procedure in a role that takes a record which stands. */
interface Use {
  readonly procedure: Procedure
  readonly name: string
  readonly role: Role
}

const USES: readonly Use[] = CATALOG.filter(({ remote }) => remote).flatMap((procedure) =>
  Object.entries<Role>(procedure.roles)
    .filter(([, { access }]) => access !== 'create')
    .map(([name, role]) => ({ procedure, name, role })),
)

/** What a listing reads of a vault. */
export interface ListedVault {
  /** The paths of all records, in order, from behind one on. */
  paths(after?: string): Iterable<string>
  find(path: string): ListedRecord | undefined
}

/** What of a record a listing looks at. */
export type ListedRecord = Pick<RecordInfo, 'type' | 'version' | 'labels' | 'publicKey'>

/**
 * The records of which some rule allows, or asks about, some use by a peer, with these uses.
 *
 * @param vault - not looked at for whom no rule is about, who may ask as often as he likes
 * @throws `VaultError` `invalid_argument` for text that is no pattern
 */
export function usableBy(
  vault: ListedVault,
  { rules }: CompiledRules,
  who: { readonly peer: string; readonly tags: ReadonlySet<string>; readonly nowMs: number },
  { pattern = '**', after }: WantedRecords = {},
): UsablePage {
  const wanted = patternOf(pattern)
  const request: Request = { ...who, known: true, cells: [] }
  // What no rule of this peer's is about is not looked at, record by record.
  const mine = rules.filter(
    (rule) => CONDITIONS.peer(rule, request) && CONDITIONS.time(rule, request),
  )
  const giving = mine.filter(({ effect }) => effect !== 'deny')
  const uses = USES.filter(({ procedure, name }) =>
    giving.some((rule) => covers(rule, procedure.name, name)),
  )
  const places = giving.flatMap(({ paths }) => paths.filter((path) => path !== NO_PATH))
  const records: UsableRecord[] = []
  if (uses.length === 0 || places.length === 0) return { records, more: false }
  // Of most paths their beginning tells that they are none of these.
  const begins = beginning(wanted)
  const beginnings = places.map(beginning)
  for (const text of vault.paths(after)) {
    if (!text.startsWith(begins) || !beginnings.some((one) => text.startsWith(one))) continue
    const path = parsePath(text)
    if (!matches(wanted, path) || !places.some((place) => matches(place, path))) continue
    const record = vault.find(text)
    const shown = record === undefined ? undefined : usable(record, path, uses, mine)
    if (shown === undefined) continue
    if (records.length === MAX_USABLE_PAGE) return { records, more: true }
    records.push(shown)
  }
  return { records, more: false }
}

/** A record with its uses, where it has any. */
function usable(
  { type, version, publicKey, labels }: ListedRecord,
  path: Path,
  some: readonly Use[],
  mine: readonly Rule[],
): UsableRecord | undefined {
  const own = ownUses(type)
  const uses = some.flatMap(({ procedure, name, role }) => {
    if (role.types !== undefined && !role.types.includes(type)) return []
    const isUsed = (usage: Usage): boolean => own.has(usage) && labels.usage.includes(usage)
    if (role.usage !== undefined && !isUsed(role.usage)) return []
    const about = mine.filter(
      (rule) =>
        covers(rule, procedure.name, name) && rule.paths.some((pattern) => isAt(pattern, path)),
    )
    if (about.some(({ effect, formats }) => effect === 'deny' && formats === undefined)) return []
    const first = about.find(({ effect }) => effect !== 'deny')
    if (first === undefined || first.effect === 'deny') return []
    const single = Object.keys(procedure.roles).length === 1
    const use = single ? procedure.name : `${procedure.name}:${name}`
    return [{ use, effect: first.effect }]
  })
  if (uses.length === 0) return undefined
  return { path: path.text, type, version, uses, ...(publicKey === undefined ? {} : { publicKey }) }
}

function covers({ procedures }: Rule, procedure: string, role: string): boolean {
  return procedures.some((match) => match.procedure === procedure && match.role === role)
}

/** With what every path of a pattern begins. */
function beginning({ text }: Pattern): string {
  const star = text.indexOf('*')
  return star < 0 ? text : text.slice(0, star)
}

function patternOf(text: string): Pattern {
  try {
    return parsePattern(text)
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : 'Cannot read pattern'
    throw new VaultError('invalid_argument', message, { cause })
  }
}
