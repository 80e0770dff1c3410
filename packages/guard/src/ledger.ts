/** What was used of the limits of rules, in memory; nothing is remembered of approvals. */
import type { Reach } from './deciding.ts'
import type { Work } from './desk.ts'
import type { Grant } from './doors.ts'
import type { Memory } from './rules/decide.ts'
import type { Rule } from './rules/rule.ts'

export class Ledger {
  readonly #uses = new Map<string, number[]>()
  readonly #reserved = new Map<string, number>()
  used(nowMs: number): Memory['used'] {
    return (rule, windowMs) =>
      (this.#uses.get(rule) ?? []).filter((at) => at > nowMs - windowMs).length +
      (this.#reserved.get(rule) ?? 0)
  }
  memory(_peer: string, _reach: Reach, nowMs: number): Memory {
    return { used: this.used(nowMs), granted: () => false }
  }
  remember(
    _work: Work,
    _peer: string,
    _reach: Reach,
    _rule: Rule | undefined,
    _forMs: number,
  ): void {}
  count(work: Work, rules: readonly Rule[]): void {
    for (const { id } of rules) {
      const list = this.#uses.get(id) ?? []
      this.#uses.set(id, [...list, work.tx.nowMs])
      work.journal.did(() => this.#uses.set(id, list))
    }
  }
  reserve(work: Work, rules: readonly string[]): void {
    for (const id of rules) this.#reserve(work, id, 1)
  }
  release(work: Work, rules: readonly string[]): void {
    for (const id of rules) this.#reserve(work, id, -1)
  }
  #reserve(work: Work, id: string, by: number): void {
    const before = this.#reserved.get(id) ?? 0
    this.#reserved.set(id, before + by)
    work.journal.did(() => this.#reserved.set(id, before))
  }
  forgetPeer(_work: Work, _peer: string): void {}
  grants(): Grant[] {
    return []
  }
  revoke(_work: Work, _id: string): boolean {
    return false
  }
}
