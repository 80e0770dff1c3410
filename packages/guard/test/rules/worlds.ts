/** Small worlds of rules and requests, generated: few words, so that everything meets everything. */
import { parsePath } from '@stronghold/core'
import fc from 'fast-check'

import type { Cell } from '../../src/rules/decide.ts'
import { parseRule } from '../../src/rules/parse.ts'
import type { WrittenRule } from '../../src/rules/parse.ts'
import type { Rule, Vocabulary } from '../../src/rules/rule.ts'

/** Roles of the procedures of these worlds. */
const ROLES: Readonly<Record<string, readonly string[]>> = {
  sign: ['key'],
  pub: ['key'],
  wrap: ['key', 'source'],
  random: ['-'],
}

/** The words that rules of these worlds may use. */
export const VOCABULARY: Vocabulary = {
  rolesOf: (procedure) => ROLES[procedure],
  procedures: Object.keys(ROLES),
  formats: ['raw', 'digest', 'sshsig', 'jws'],
  hasFormats: (procedure) => procedure === 'sign',
}

/** Peer ids by name. */
export const PEERS: Readonly<Record<string, string>> = {
  ci: '12D3KooWCi111111111111111111111111111111111111111111',
  box: '12D3KooWBox22222222222222222222222222222222222222222',
  eve: '12D3KooWEve33333333333333333333333333333333333333333',
}

/** What reading a rule of these worlds needs. */
export const CONTEXT = {
  vocabulary: VOCABULARY,
  peerNamed: (name: string): string | undefined => PEERS[name],
  nameOf: (id: string): string | undefined =>
    Object.entries(PEERS).find(([, other]) => other === id)?.[0],
}

const USES = ['sign', 'pub', 'wrap:key', 'wrap:source', 'random'] as const
const SEGMENTS = ['a', 'b'] as const

/** Every tag of these worlds. */
export const TAGS = ['t', 'u', 'v'] as const
/** Every format that a request of these worlds may have. */
export const FORMATS = [undefined, 'raw', 'digest', 'sshsig', 'sshsig:git', 'sshsig:file', 'jws']
/** Every path of these worlds, to three segments, and none. */
export const PLACES: readonly string[] = [
  '-',
  ...[1, 2, 3].flatMap((length) => words(length, [...SEGMENTS, 'c'])),
]

/** Every path of that many segments. */
export function words(length: number, letters: readonly string[]): string[] {
  if (length === 1) return [...letters]
  return words(length - 1, letters).flatMap((word) => letters.map((letter) => `${word}/${letter}`))
}

function patternOf(segments: readonly string[]): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 1, arbitrary: fc.constant('-') },
    {
      weight: 9,
      arbitrary: fc
        .tuple(
          fc.array(fc.constantFrom(...segments, '*'), { maxLength: 2 }),
          fc.constantFrom(...segments, '*', '**'),
        )
        .map(([start, end]) => [...start, end].join('/')),
    },
  )
}

function writtenRule(segments: readonly string[]): fc.Arbitrary<WrittenRule> {
  return fc
    .record({
      peers: some('ci', 'box', '@t', '@u', 'known'),
      procedures: some(...USES),
      paths: fc.uniqueArray(patternOf(segments), { minLength: 1, maxLength: 2 }),
      formats: fc.option(some('raw', 'digest', 'sshsig', 'sshsig:git', 'jws'), { nil: undefined }),
      limits: fc.option(some('1/minute', '2/day'), { nil: undefined, freq: 3 }),
      next: fc.boolean(),
      expires: fc.option(fc.constantFrom(1000, 2000), { nil: undefined, freq: 4 }),
      effect: fc.constantFrom('allow', 'ask', 'deny'),
    })
    .map(({ peers, procedures, paths, formats, limits, next, expires, effect }) => {
      const limited = limits !== undefined && effect !== 'deny'
      return {
        peers,
        procedures,
        paths,
        ...(formats !== undefined && { formats }),
        ...(limited && { limits, ...(next && { when_used_up: 'next' as const }) }),
        ...(expires !== undefined && { expires: new Date(expires).toISOString() }),
        effect,
      }
    })
}

/** A list of rules with ids in order. */
export function ruleList(
  maxLength: number,
  segments: readonly string[] = SEGMENTS,
): fc.Arbitrary<Rule[]> {
  return fc
    .array(writtenRule(segments), { maxLength })
    .map((list) => list.map((rule, index) => parseRule({ ...rule, id: `r${index + 1}` }, CONTEXT)))
}

/** A cell of these worlds from plain words. */
export function cellOf(
  use: string,
  place: string,
  format: string | undefined,
  egress: Cell['egress'] = 'public',
): Cell {
  const [procedure = '', role] = use.split(':')
  return {
    procedure,
    role: role ?? (procedure === 'random' ? '-' : 'key'),
    path: place === '-' ? '-' : parsePath(place),
    ...(format !== undefined && { format }),
    egress,
  }
}

/** Every use of a procedure in these worlds. */
export const ALL_USES: readonly string[] = USES

function some<T extends string>(...from: T[]): fc.Arbitrary<T[]> {
  return fc.uniqueArray(fc.constantFrom(...from), { minLength: 1, maxLength: 2 })
}
