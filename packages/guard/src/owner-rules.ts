/**
 * What the owner does with rules at the owner door: reads, writes, tries and explains them. A change is one transaction with
 * its audit entry, after which everything that waits is looked at again. It decides no request.
 */
import { parsePath } from '@stronghold/core'
import { isVaultError, VaultError } from '@stronghold/vault'
import type { Clock } from '@stronghold/vault'
import { procedureOf } from '@stronghold/vault/catalog'

import type { Book } from './book.ts'
import { useText } from './deciding.ts'
import type { Desk, Work } from './desk.ts'
import type { OwnerDoor, RuleChange, RulePlace, RuleVersion } from './doors.ts'
import type { Ledger } from './ledger.ts'
import { diff } from './rules/diff.ts'
import type { Change } from './rules/diff.ts'
import { explain } from './rules/explain.ts'
import { parseRule, printPeer, writeRule } from './rules/parse.ts'
import type { WrittenRule } from './rules/parse.ts'
import { introduce, sentence } from './rules/print.ts'
import type { PrintContext } from './rules/print.ts'
import type { Effect, Rule } from './rules/rule.ts'
import { parseRulesFile, printRulesFile } from './rules-file.ts'
import type { Trail } from './trail.ts'

/** The part of the owner door that is about rules. */
export type RulesDoor = Pick<
  OwnerDoor,
  | 'rules'
  | 'addRule'
  | 'editRule'
  | 'moveRule'
  | 'removeRule'
  | 'applyRules'
  | 'exportRules'
  | 'ruleHistory'
  | 'explainRequest'
>

/** What is there only while the vault is unlocked, as far as rules concern it. */
interface RulesParts {
  readonly book: Book
  readonly desk: Desk
  readonly trail: Trail
  readonly ledger: Ledger
}

/** What it works on. */
export interface OwnerRulesInit {
  readonly clock: Clock
  /** @throws `VaultError` `failed_precondition` (`locked`) */
  open(): RulesParts
  /** One transaction. */
  change<T>(body: (work: Work, open: RulesParts) => T): Promise<T>
}

/** See above. */
export class OwnerRules implements RulesDoor {
  readonly #init: OwnerRulesInit

  constructor(init: OwnerRulesInit) {
    this.#init = init
  }

  async rules(): Promise<readonly { rule: WrittenRule & { id: string }; sentence: string }[]> {
    const { book } = this.#init.open()
    return book.rules.rules.map((rule) => ({
      rule: writeRule(rule, book.vocabulary),
      sentence: sentence(rule, printing(book)),
    }))
  }

  async addRule(
    rule: WrittenRule,
    at?: RulePlace,
    { dryRun = false }: { dryRun?: boolean } = {},
  ): Promise<RuleChange> {
    return await this.#changeRules(dryRun, (book) => {
      const added = this.#parse(book, { ...rule, id: rule.id ?? book.nextRuleId })
      if (book.rules.rules.some(({ id }) => id === added.id)) {
        throw new VaultError(
          'failed_precondition',
          `Cannot add rule ${added.id}: there is one already`,
          { reason: 'conflict' },
        )
      }
      const written = writeRule(added, book.vocabulary)
      const rules = placed(book.rules.rules, added, at)
      return { rules, about: added, changes: [{ change: 'added', rule: written }] }
    })
  }

  async editRule(
    id: string,
    rule: WrittenRule,
    { dryRun = false }: { dryRun?: boolean } = {},
  ): Promise<RuleChange> {
    return await this.#changeRules(dryRun, (book) => {
      const edited = this.#parse(book, { ...rule, id })
      ruleOf(book, id)
      const rules = book.rules.rules.map((one) => (one.id === id ? edited : one))
      const written = writeRule(edited, book.vocabulary)
      return { rules, about: edited, changes: [{ change: 'edited', rule: written }] }
    })
  }

  async moveRule(
    id: string,
    at: RulePlace,
    { dryRun = false }: { dryRun?: boolean } = {},
  ): Promise<RuleChange> {
    return await this.#changeRules(dryRun, (book) => {
      const moved = ruleOf(book, id)
      const others = book.rules.rules.filter((one) => one !== moved)
      const written = writeRule(moved, book.vocabulary)
      const rules = placed(others, moved, at)
      return { rules, about: moved, changes: [{ change: 'moved', rule: written }] }
    })
  }

  async removeRule(id: string, { dryRun = false }: { dryRun?: boolean } = {}): Promise<RuleChange> {
    return await this.#changeRules(dryRun, (book) => {
      const removed = ruleOf(book, id)
      const rules = book.rules.rules.filter((one) => one !== removed)
      const written = writeRule(removed, book.vocabulary)
      return { rules, about: undefined, changes: [{ change: 'removed', rule: written }] }
    })
  }

  async applyRules(
    toml: string,
    { dryRun = false }: { dryRun?: boolean } = {},
  ): Promise<RuleChange> {
    return await this.#changeRules(dryRun, (book) => {
      const rules = spoken(() =>
        parseRulesFile(toml, {
          vocabulary: book.vocabulary,
          peerNamed: (name) => book.peerNamed(name)?.peer,
        }),
      )
      const before = new Map(book.rules.rules.map((rule) => [rule.id, rule]))
      const after = new Map(rules.map((rule) => [rule.id, rule]))
      const write = (rule: Rule): WrittenRule & { id: string } => writeRule(rule, book.vocabulary)
      const changes: Omit<RuleVersion, 'atMs'>[] = []
      for (const [id, rule] of after) {
        const old = before.get(id)
        if (old === undefined) changes.push({ change: 'added', rule: write(rule) })
        else if (JSON.stringify(old) !== JSON.stringify(rule)) {
          changes.push({ change: 'edited', rule: write(rule) })
        }
      }
      for (const [id, rule] of before) {
        if (!after.has(id)) changes.push({ change: 'removed', rule: write(rule) })
      }
      return { rules, about: undefined, changes }
    })
  }

  async exportRules(): Promise<string> {
    const { book } = this.#init.open()
    return printRulesFile(book.rules.rules, book.vocabulary)
  }

  async ruleHistory(id?: string): Promise<readonly RuleVersion[]> {
    return await this.#init.change(({ tx }, { book }) =>
      book.ruleHistory(tx).filter(({ rule }) => id === undefined || rule.id === id),
    )
  }

  async explainRequest({
    peer,
    use,
    path,
    format,
  }: {
    peer: string
    use: string
    path: string
    format?: string
  }): Promise<{ verdict: Effect; text: string; near: readonly string[]; needed?: WrittenRule }> {
    const { book, ledger } = this.#init.open()
    const id = book.peerNamed(peer)?.peer ?? peer
    const [procedure = '', role] = use.split(':')
    const roles = book.vocabulary.rolesOf(procedure)
    if (roles === undefined) {
      throw new VaultError('invalid_argument', `Cannot explain request: unknown procedure ${use}`)
    }
    const place = path === '-' ? ('-' as const) : spoken(() => parsePath(path))
    const cell = {
      procedure,
      role: role ?? roles[0] ?? '-',
      path: place,
      egress: procedureOf(procedure)?.egress ?? 'material',
      ...(format === undefined ? {} : { format }),
    }
    const nowMs = this.#init.clock.nowMs()
    const request = {
      peer: id,
      known: book.isWelcome(id),
      tags: book.tagsOf(id),
      cells: [cell],
      nowMs,
    }
    const memory = { used: ledger.used(nowMs), granted: () => false }
    const told = explain(book.rules, request, memory, printing(book))
    return {
      verdict: told.decision.verdict,
      text: told.text,
      near: told.near.map(({ text }) => text),
      ...(told.needed === undefined ? {} : { needed: told.needed }),
    }
  }

  async #changeRules(
    dryRun: boolean,
    to: (book: Book) => {
      rules: readonly Rule[]
      about: Rule | undefined
      changes: readonly Omit<RuleVersion, 'atMs'>[]
    },
  ): Promise<RuleChange> {
    return await this.#init.change((work, { book, trail, desk }) => {
      const { rules, about, changes } = to(book)
      const { direction, changes: examples } = diff(
        book.rules.rules,
        rules,
        book.vocabulary,
        work.tx.nowMs,
      )
      const told = about === undefined ? undefined : introduce(about, rules, printing(book))
      if (!dryRun) {
        book.setRules(work.tx, work.journal, rules, changes)
        for (const { change, rule } of changes) {
          trail.append(work.tx, work.journal, 'rule', { change, id: rule.id })
        }
        desk.reconsider(work)
      }
      return {
        direction,
        examples: examples.slice(0, 8).map((example) => exampleText(example, book)),
        ...(about === undefined || told === undefined
          ? {}
          : { id: about.id, sentence: told.sentence, position: told.position, of: told.of }),
        ...(told?.shadowedBy === undefined ? {} : { shadowedBy: told.shadowedBy.id }),
      }
    })
  }

  #parse(book: Book, written: WrittenRule): Rule {
    return spoken(() =>
      parseRule(written, {
        vocabulary: book.vocabulary,
        peerNamed: (name) => book.peerNamed(name)?.peer,
      }),
    )
  }
}

function placed(rules: readonly Rule[], rule: Rule, at: RulePlace | undefined): Rule[] {
  if (at === undefined) return [...rules, rule]
  if ('first' in at) return [rule, ...rules]
  const index = rules.findIndex(({ id }) => id === at.before)
  if (index === -1) {
    throw new VaultError(
      'not_found',
      `Cannot place rule before ${at.before}: there is no such rule`,
    )
  }
  return [...rules.slice(0, index), rule, ...rules.slice(index)]
}

function ruleOf(book: Book, id: string): Rule {
  const rule = book.rules.rules.find((one) => one.id === id)
  if (rule === undefined) throw new VaultError('not_found', `Cannot find rule ${id}: there is none`)
  return rule
}

/** How rules of a book print. */
export function printing(book: Book): PrintContext {
  return { vocabulary: book.vocabulary, nameOf: (peer) => book.peer(peer)?.name }
}

const SAID: Readonly<Record<Effect, string>> = {
  allow: 'is allowed',
  ask: 'is asked about',
  deny: 'is denied',
}

function exampleText({ request, before, after, usedUp }: Change, book: Book): string {
  const [cell] = request.cells
  const who = book.peer(request.peer)?.name
  const tags = [...request.tags].map((tag) => printPeer({ kind: 'tag', tag })).join(' ')
  const somebody = tags === '' ? 'a known peer' : `a peer tagged ${tags}`
  const spent = usedUp.length === 0 ? '' : `, once ${usedUp.join(', ')} is used up`
  const what = cell === undefined ? '' : useText(cell)
  return `${who ?? somebody}: ${what} ${SAID[after]}, before it ${SAID[before]}${spent}`
}

/** What text does not read is the caller's mistake. */
function spoken<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (isVaultError(cause)) throw cause
    if (!(cause instanceof SyntaxError) && !(cause instanceof RangeError)) throw cause
    throw new VaultError('invalid_argument', cause.message, { cause })
  }
}
