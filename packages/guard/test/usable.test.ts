/** What a peer may use: page by page what a naive reading of the rules gives, and no more work than that. */
import { parsePath } from '@stronghold/core'
import { CATALOG, defaultLabels, ownUses } from '@stronghold/vault/catalog'
import type { RecordType, Role } from '@stronghold/vault/catalog'
import fc from 'fast-check'
import { expect, it } from 'vitest'

import type { UsableRecord } from '../src/doors.ts'
import { VOCABULARY } from '../src/guard.ts'
import { MAX_USABLE_PAGE } from '../src/limits.ts'
import { applies, compile } from '../src/rules/decide.ts'
import type { CompiledRules } from '../src/rules/decide.ts'
import { parseRules } from '../src/rules/parse.ts'
import { usableBy } from '../src/usable.ts'
import type { ListedRecord, ListedVault } from '../src/usable.ts'
import { PEERS } from './rules/worlds.ts'

const NOW = 1_800_000_000_000
const CONTEXT = { vocabulary: VOCABULARY, peerNamed: (name: string) => PEERS[name] }

/** By its path. */
type Records = readonly (ListedRecord & { readonly path: string })[]

function record(path: string, type: RecordType): Records[number] {
  const { usage, ...labels } = defaultLabels(type)
  return { path, type, version: 1, labels: { ...labels, usage: [...usage] } }
}

/** A vault that says what was looked at. */
function listed(records: Records): ListedVault & { readonly found: string[] } {
  const byPath = new Map(records.map((one) => [one.path, one]))
  const sorted = [...byPath.keys()].sort()
  const found: string[] = []
  return {
    found,
    paths: (after = '') => sorted.filter((path) => path > after),
    find: (path) => {
      found.push(path)
      return byPath.get(path)
    },
  }
}

function who(name: string): Parameters<typeof usableBy>[2] {
  return { peer: PEERS[name] ?? name, tags: new Set<string>(), nowMs: NOW }
}

/** Cell by cell, record by record. */
function naively(records: Records, { rules }: CompiledRules, name: string): unknown {
  const request = { ...who(name), known: true, cells: [] }
  const all: [string, string[]][] = []
  for (const { path: text, type, labels } of records) {
    const uses: string[] = []
    for (const procedure of CATALOG) {
      for (const [role, { access, types, usage, egress }] of Object.entries<Role>(
        procedure.roles,
      )) {
        const fits = types === undefined || types.includes(type)
        const isUsed =
          usage === undefined || (ownUses(type).has(usage) && labels.usage.includes(usage))
        if (!procedure.remote || access === 'create' || !fits || !isUsed) continue
        const cell = { procedure: procedure.name, role, path: parsePath(text), egress }
        const about = rules.filter((rule) => applies(rule, request, cell))
        if (about.some(({ effect, formats }) => effect === 'deny' && formats === undefined))
          continue
        const first = about.find(({ effect }) => effect !== 'deny')
        if (first === undefined) continue
        const alone = Object.keys(procedure.roles).length === 1
        uses.push(`${alone ? procedure.name : `${procedure.name}:${role}`} ${first.effect}`)
      }
    }
    if (uses.length > 0) all.push([text, uses])
  }
  return all.sort(([a], [b]) => (a < b ? -1 : 1))
}

function shown(records: readonly UsableRecord[]): unknown {
  return records.map(({ path, uses }) => [path, uses.map(({ use, effect }) => `${use} ${effect}`)])
}

const segment = fc.constantFrom('a', 'b', 'release')
const path = fc.array(segment, { minLength: 1, maxLength: 3 }).map((all) => all.join('/'))
const pattern = fc.oneof(path, fc.constantFrom('**', 'a/**', 'release/*', '*/a', 'a/*/b', '*/**'))
const type = fc.constantFrom<RecordType>('ed25519', 'p256', 'aes-256-gcm', 'seed', 'opaque')
const rule = fc.record({
  peers: fc.constantFrom(['ci'], ['box'], ['known']),
  procedures: fc.constantFrom(['sign'], ['sign', 'pub'], ['wrap:key', 'encrypt'], ['copy:from']),
  paths: fc.array(pattern, { minLength: 1, maxLength: 2 }),
  effect: fc.constantFrom('allow', 'ask', 'deny'),
})

it('usableBy() gives page by page what a naive reading of all rules gives', () => {
  let uses = 0
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(path, type), { selector: ([one]) => one, maxLength: 20 }),
      fc.array(rule, { maxLength: 5 }),
      (records, written) => {
        const all = records.map(([one, of]) => record(one, of))
        const rules = compile(
          parseRules(
            written.map((one, index) => ({ id: `r${index + 1}`, ...one })),
            CONTEXT,
          ),
        )
        for (const name of ['ci', 'box']) {
          const page = usableBy(listed(all), rules, who(name))
          expect(page.more).toBe(false)
          expect(shown(page.records)).toEqual(naively(all, rules, name))
          uses += page.records.length
        }
      },
    ),
  )
  expect(uses).toBeGreaterThan(100)
})

it('usableBy() reads nothing for whom no rule is about, and no record that no rule of his gives', () => {
  const rule = { procedures: ['sign'], effect: 'allow' }
  const rules = compile(
    parseRules(
      [
        { ...rule, id: 'r1', peers: ['ci'], paths: ['release/**', 'b'] },
        { ...rule, id: 'r2', peers: ['eve'], procedures: ['random'], paths: ['-'] },
        { ...rule, id: 'r3', peers: ['eve'], paths: ['**'], expires: '2000-01-01T00:00:00Z' },
        { ...rule, id: 'r4', peers: ['eve'], paths: ['**'], effect: 'deny' },
      ],
      CONTEXT,
    ),
  )
  const vault = listed(
    ['a/x', 'b', 'b2', 'release/app', 'release2/app'].map((one) => record(one, 'ed25519')),
  )
  for (const name of ['eve', 'nobody']) {
    const unread = { ...vault, paths: () => expect.fail('somebody looks') }
    expect(usableBy(unread, rules, who(name))).toEqual({ records: [], more: false })
  }
  const { records } = usableBy(vault, rules, who('ci'))
  expect(records.map((one) => one.path)).toEqual(['b', 'release/app'])
  expect(vault.found).toEqual(['b', 'release/app'])
})

it('usableBy() gives MAX_USABLE_PAGE at once, and what is behind a path', () => {
  const rules = compile(
    parseRules(
      [{ id: 'r1', peers: ['ci'], procedures: ['sign'], paths: ['**'], effect: 'allow' }],
      CONTEXT,
    ),
  )
  const all = Array.from({ length: MAX_USABLE_PAGE + 1 }, (_, index) =>
    record(`k/${String(index).padStart(5, '0')}`, 'ed25519'),
  )
  const first = usableBy(listed(all), rules, who('ci'))
  expect([first.records.length, first.more]).toEqual([MAX_USABLE_PAGE, true])
  const after = first.records.at(-1)?.path ?? ''
  const second = usableBy(listed(all), rules, who('ci'), { after })
  expect([second.records.map((one) => one.path), second.more]).toEqual([['k/01000'], false])
  const exact = usableBy(listed(all.slice(1)), rules, who('ci'))
  expect([exact.records.length, exact.more]).toEqual([MAX_USABLE_PAGE, false])
  const one = usableBy(listed(all), rules, who('ci'), { pattern: 'k/00007' })
  expect(one.records.map((found) => found.path)).toEqual(['k/00007'])
  expect(() => usableBy(listed(all), rules, who('ci'), { pattern: '**/x' })).toThrow(/pattern/)
})
