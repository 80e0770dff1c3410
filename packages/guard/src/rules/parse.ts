/**
 * Rules from plain values and back: what TOML, JSON and the command line have in common. Refuses whatever it does not
 * know, so that a rule never means more than its reader thought. Knows names of peers only through who hands them in.
 */
import { nearest, parsePattern } from '@stronghold/core'
import type { Pattern } from '@stronghold/core'
import { NO_PATH } from '@stronghold/vault/catalog'

import { MAX_NOTE_LENGTH, MAX_RULE_LIST, MAX_RULES } from '../limits.ts'
import type { PeerMatch, ProcedureMatch, Rule, Vocabulary } from './rule.ts'
import { parseLimit, printLimit } from './windows.ts'

/** A rule as it is written down. Every field not named here is refused. */
export interface WrittenRule {
  id?: string
  peers: string[]
  procedures: string[]
  paths: string[]
  formats?: string[]
  limits?: string[]
  when_used_up?: 'deny' | 'next'
  /** RFC 3339, or a `Date`. */
  expires?: string | Date
  effect: 'allow' | 'ask' | 'deny'
  note?: string
  tell?: boolean
}

/** What reading a rule needs to know. */
export interface ParseContext {
  readonly vocabulary: Vocabulary
  /** The peer id behind a name, or `undefined`. Names are resolved once: a name given to another peer brings no rights. */
  peerNamed(name: string): string | undefined
}

const FIELDS: readonly (keyof WrittenRule)[] = [
  'id',
  'peers',
  'procedures',
  'paths',
  'formats',
  'limits',
  'when_used_up',
  'expires',
  'effect',
  'note',
  'tell',
]
const ID = /^[a-z][a-z0-9-]{0,31}$/
const TAG = /^[a-z0-9][a-z0-9._-]{0,31}$/
// Base58btc, as peer ids print; long enough that no name is taken for one.
const PEER_ID = /^[1-9A-HJ-NP-Za-km-z]{40,128}$/
const FORMAT = /^([a-z][a-z0-9-]{0,31})(?::([\x21-\x7e]{1,64}))?$/
const EFFECTS = ['allow', 'ask', 'deny'] as const

/**
 * Reads a list of rules, in order.
 *
 * @throws `SyntaxError` naming the rule and the field for anything that is no rule, and for an id that stands twice
 */
export function parseRules(written: unknown, context: ParseContext): Rule[] {
  if (!Array.isArray(written)) throw new SyntaxError('Cannot read rules: not a list')
  if (written.length > MAX_RULES) {
    throw new SyntaxError(`Cannot read rules: ${written.length} where ${MAX_RULES} are allowed`)
  }
  const rules = written.map((rule: unknown, index) => parseRule(rule, context, `rule ${index + 1}`))
  const seen = new Set<string>()
  for (const { id } of rules) {
    if (seen.has(id)) throw new SyntaxError(`Cannot read rules: the id ${id} stands twice`)
    seen.add(id)
  }
  return rules
}

/**
 * Reads one rule.
 *
 * @param what - how errors name it
 * @throws `SyntaxError` naming the field for anything that is no rule
 */
export function parseRule(written: unknown, context: ParseContext, what = 'rule'): Rule {
  const bad = (why: string): SyntaxError => new SyntaxError(`Cannot read ${what}: ${why}`)
  if (typeof written !== 'object' || written === null || Array.isArray(written)) {
    throw bad('not a table')
  }
  const given = written as Readonly<Record<string, unknown>>
  for (const key of Object.keys(given)) {
    if ((FIELDS as readonly string[]).includes(key)) continue
    if (key === 'approvers')
      throw bad('approvers need approval from other machines, which is not built yet')
    throw bad(`unknown field ${quote(key)}${suggest(key, FIELDS)}`)
  }
  const guarded = <T>(field: string, read: () => T): T => {
    try {
      return read()
    } catch (error) {
      if (error instanceof SyntaxError || error instanceof RangeError) {
        throw bad(`${field}: ${error.message}`)
      }
      throw error
    }
  }
  const list = (field: keyof WrittenRule, required: boolean): string[] => {
    const value = given[field]
    if (value === undefined && !required) return []
    if (!Array.isArray(value))
      throw bad(`${field} is ${value === undefined ? 'missing' : 'no list'}`)
    if (value.length === 0) throw bad(`${field} is an empty list`)
    if (value.length > MAX_RULE_LIST) throw bad(`${field} has over ${MAX_RULE_LIST} entries`)
    for (const entry of value)
      if (typeof entry !== 'string') throw bad(`${field} holds more than text`)
    return value as string[]
  }
  const { id, effect, note, tell, expires } = given
  const whenUsedUp = given['when_used_up']
  if (typeof id !== 'string' || !ID.test(id)) throw bad(`id is no word of a to z, 0 to 9 and '-'`)
  if (!EFFECTS.includes(effect as Rule['effect'])) {
    throw bad(
      `effect is ${effect === undefined ? 'missing' : quote(text(effect))}, not allow, ask or deny`,
    )
  }
  if (whenUsedUp !== undefined && whenUsedUp !== 'deny' && whenUsedUp !== 'next') {
    throw bad(`when_used_up is ${quote(text(whenUsedUp))}, not deny or next`)
  }
  if (note !== undefined && (typeof note !== 'string' || note.length > MAX_NOTE_LENGTH)) {
    throw bad(`note is no text of at most ${MAX_NOTE_LENGTH} characters`)
  }
  if (tell !== undefined && typeof tell !== 'boolean') throw bad('tell is not true or false')
  const limits = list('limits', false).map((limit) => guarded('limits', () => parseLimit(limit)))
  if (effect === 'deny' && limits.length > 0)
    throw bad('limits say nothing where the effect is deny')
  if (whenUsedUp !== undefined && limits.length === 0) throw bad('when_used_up needs limits')
  const formats = given['formats'] === undefined ? undefined : list('formats', true)
  return Object.freeze({
    id,
    peers: list('peers', true).map((peer) => guarded('peers', () => parsePeer(peer, context))),
    procedures: list('procedures', true).map((name) =>
      guarded('procedures', () => parseProcedure(name, context.vocabulary)),
    ),
    paths: list('paths', true).map((path) => guarded('paths', () => parsePlace(path))),
    ...(formats !== undefined && {
      formats: formats.map((format) =>
        guarded('formats', () => parseFormat(format, context.vocabulary)),
      ),
    }),
    limits,
    whenUsedUp: whenUsedUp ?? 'deny',
    ...(expires !== undefined && { expiresAtMs: guarded('expires', () => parseTime(expires)) }),
    effect: effect as Rule['effect'],
    note: note ?? '',
    tell: tell ?? false,
  } satisfies Rule)
}

/** A rule as it is written down; `parseRule` reads it back. Peers are ids and tags, never names. */
export function writeRule(rule: Rule, vocabulary: Vocabulary): WrittenRule & { id: string } {
  return {
    id: rule.id,
    peers: rule.peers.map(printPeer),
    procedures: rule.procedures.map((match) => printProcedure(match, vocabulary)),
    paths: rule.paths.map((path) => (path === NO_PATH ? NO_PATH : path.text)),
    ...(rule.formats !== undefined && { formats: [...rule.formats] }),
    ...(rule.limits.length > 0 && { limits: rule.limits.map(printLimit) }),
    ...(rule.whenUsedUp === 'next' && { when_used_up: 'next' as const }),
    ...(rule.expiresAtMs !== undefined && { expires: new Date(rule.expiresAtMs).toISOString() }),
    effect: rule.effect,
    ...(rule.note !== '' && { note: rule.note }),
    ...(rule.tell && { tell: true }),
  }
}

/** A peer as rules name it: an id, `@tag` or `known`. */
export function printPeer(peer: PeerMatch): string {
  return peer.kind === 'peer' ? peer.id : peer.kind === 'tag' ? `@${peer.tag}` : 'known'
}

/** A procedure as rules name it: with its role where it has several. */
export function printProcedure(
  { procedure, role }: ProcedureMatch,
  vocabulary: Vocabulary,
): string {
  return vocabulary.rolesOf(procedure)?.length === 1 ? procedure : `${procedure}:${role}`
}

function parsePeer(name: string, context: ParseContext): PeerMatch {
  if (name === 'known') return { kind: 'known' }
  if (name.startsWith('@')) {
    if (!TAG.test(name.slice(1))) throw new SyntaxError(`${quote(name)} is no tag`)
    return { kind: 'tag', tag: name.slice(1) }
  }
  const id = context.peerNamed(name)
  if (id !== undefined) return { kind: 'peer', id }
  if (PEER_ID.test(name)) return { kind: 'peer', id: name }
  throw new SyntaxError(`no known peer is called ${quote(name)}`)
}

function parseProcedure(name: string, vocabulary: Vocabulary): ProcedureMatch {
  const [procedure = '', role, ...more] = name.split(':')
  const roles = vocabulary.rolesOf(procedure)
  if (roles === undefined || more.length > 0) {
    throw new SyntaxError(
      `unknown procedure ${quote(name)}${suggest(procedure, vocabulary.procedures)}`,
    )
  }
  if (role === undefined) {
    const only = roles[0]
    if (roles.length === 1 && only !== undefined) return { procedure, role: only }
    throw new SyntaxError(
      `${quote(procedure)} has several roles: write ${roles.map((one) => `${procedure}:${one}`).join(' or ')}`,
    )
  }
  if (!roles.includes(role) || role === NO_PATH) {
    throw new SyntaxError(`${quote(procedure)} has no role ${quote(role)}${suggest(role, roles)}`)
  }
  return { procedure, role }
}

function parsePlace(text: string): Pattern | typeof NO_PATH {
  return text === NO_PATH ? NO_PATH : parsePattern(text)
}

function parseFormat(name: string, vocabulary: Vocabulary): string {
  const [, format] = FORMAT.exec(name) ?? []
  if (format === undefined || !vocabulary.formats.includes(format)) {
    throw new SyntaxError(
      `unknown format ${quote(name)}${suggest(format ?? name, vocabulary.formats)}`,
    )
  }
  return name
}

function parseTime(value: unknown): number {
  const ms =
    value instanceof Date ? value.getTime() : typeof value === 'string' ? rfc3339(value) : NaN
  if (!Number.isSafeInteger(ms) || ms < 0) {
    throw new SyntaxError(`${quote(text(value))} is no time like 2027-01-31T12:00:00Z`)
  }
  return ms
}

function rfc3339(value: string): number {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?(Z|[+-]\d\d:\d\d)$/.test(value)
    ? Date.parse(value)
    : NaN
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? typeof value)
}

function quote(value: string): string {
  return JSON.stringify(value.slice(0, 64))
}

function suggest(word: string, words: readonly string[]): string {
  const near = nearest(word, words)
  return near === undefined ? '' : `; did you mean ${quote(near)}`
}
