/** What a peer may use of a vault, and nothing more: what is denied and what is not there look alike. Pure. */
import { parsePath } from '@stronghold/core'
import type { RecordInfo } from '@stronghold/vault'
import { CATALOG, NO_PATH, ownUses } from '@stronghold/vault/catalog'
import type { Procedure, Role } from '@stronghold/vault/catalog'

import type { UsableRecord } from './doors.ts'
import { CONDITIONS } from './rules/decide.ts'
import type { CompiledRules, Request } from './rules/decide.ts'

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

/**
 * The records of which some rule allows, or asks about, some use by a peer, with these uses.
 *
 * @param list - of what stands, at a pattern or everywhere; not called for whom no rule is about, who may ask as often as he likes
 */
export function usableBy(
  list: (pattern?: string) => readonly RecordInfo[],
  { rules }: CompiledRules,
  who: { readonly peer: string; readonly tags: ReadonlySet<string>; readonly nowMs: number },
): UsableRecord[] {
  const request: Request = { ...who, known: true, cells: [] }
  // What no rule of this peer's is about is not looked at, record by record.
  const mine = rules.filter(
    (rule) => CONDITIONS.peer(rule, request) && CONDITIONS.time(rule, request),
  )
  const places = mine.flatMap(({ paths }) =>
    paths.flatMap((path) => (path === NO_PATH ? [] : [path.text])),
  )
  const patterns = new Set(places)
  if (patterns.size === 0) return []
  // Most peers' rules have one; with several, each record is looked at.
  const [only] = patterns
  return list(patterns.size === 1 ? only : undefined).flatMap((record) => {
    const path = parsePath(record.path)
    const own = ownUses(record.type)
    const uses = USES.flatMap(({ procedure, name, role }) => {
      if (role.types !== undefined && !role.types.includes(record.type)) return []
      if (
        role.usage !== undefined &&
        !(own.has(role.usage) && record.labels.usage.includes(role.usage))
      )
        return []
      const cell = { procedure: procedure.name, role: name, path, egress: role.egress }
      const about = mine.filter(
        (rule) => CONDITIONS.procedure(rule, request, cell) && CONDITIONS.path(rule, request, cell),
      )
      if (about.some(({ effect, formats }) => effect === 'deny' && formats === undefined)) return []
      const first = about.find(({ effect }) => effect !== 'deny')
      if (first === undefined || first.effect === 'deny') return []
      const single = Object.keys(procedure.roles).length === 1
      const use = single ? procedure.name : `${procedure.name}:${name}`
      return [{ use, effect: first.effect }]
    })
    if (uses.length === 0) return []
    const { version, type, publicKey } = record
    const shown = publicKey === undefined ? {} : { publicKey }
    return [{ path: record.path, type, version, uses, ...shown }]
  })
}
