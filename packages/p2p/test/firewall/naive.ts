/**
 * The firewall as somebody would write it who has never heard of speed, promises or timers: lists, and one pass over
 * everything that waits after every step. The property test holds the real one against it.
 */
import type { Direction, Rule } from '../../src/firewall/rules.ts'

export type RuleName = 'allow' | 'deny' | 'ask' | 'stat' | 'throws' | 'async'

export const RULES: Readonly<Record<RuleName, Rule>> = {
  allow: 'allow',
  deny: 'deny',
  ask: 'ask',
  stat: ({ method }) => (method === 'stat' ? 'allow' : 'ask'),
  throws: () => {
    throw new Error('no')
  },
  async: (() => Promise.reject(new Error('no'))) as never,
}

interface Decided {
  verdict: string
  by: string
  asked?: string
}

interface Waits {
  id: number
  direction: Direction
  peer: string
  method: string
  deadline: number
  by: string
  stage: 'ask' | 'contact' | 'none'
  until: number
}

interface Limits {
  maxAsks: number
  maxAsksPerPeer: number
  askTimeoutMs: number
  maxNewPeerVerdicts: number
}

export class NaiveFirewall {
  readonly #limits: Limits
  readonly #meets: boolean
  readonly #asks: boolean
  #now = 0
  #rules: { direction: Direction; target: string; rule: RuleName }[] = []
  #blocked: string[] = []
  #remembered: { peer: string; rule: RuleName }[] = [] // the most recently used is last
  #contacts: { peer: string; until: number }[] = []
  waiting: Waits[] = []
  readonly decided: (Decided | undefined)[] = []

  constructor(limits: Limits, meets: boolean, asks: boolean) {
    this.#limits = limits
    this.#meets = meets
    this.#asks = asks
  }

  set(direction: Direction, target: string, rule: RuleName): void {
    this.#rules = this.#rules.filter((r) => r.direction !== direction || r.target !== target)
    this.#rules.push({ direction, target, rule })
    if (direction === 'inbound') this.#forget(target)
    this.#again(direction, target)
  }

  delete(direction: Direction, target: string): void {
    this.#rules = this.#rules.filter((r) => r.direction !== direction || r.target !== target)
    if (direction === 'inbound') this.#forget(target)
    this.#again(direction, target)
  }

  block(peer: string): void {
    if (this.#blocked.includes(peer)) this.#blocked = this.#blocked.filter((p) => p !== peer)
    else this.#blocked.push(peer)
    this.#again('inbound', peer)
    this.#again('outbound', peer)
  }

  request(direction: Direction, peer: string, method: string, timeoutMs = Infinity): void {
    const id = this.decided.length
    this.decided.push(undefined)
    const [verdict, by] = this.#look(direction, peer, method)
    if (verdict === 'allow' || verdict === 'deny') {
      this.decided[id] = { verdict, by }
      return
    }
    const same = this.waiting.filter((w) => w.direction === direction)
    const full =
      same.length >= this.#limits.maxAsks ||
      same.filter((w) => w.peer === peer).length >= this.#limits.maxAsksPerPeer
    if (timeoutMs === 0 || full) {
      this.decided[id] = { verdict: 'deny', by, asked: timeoutMs === 0 ? 'timeout' : 'full' }
      return
    }
    const deadline = this.#now + timeoutMs
    const waits: Waits = {
      id,
      direction,
      peer,
      method,
      deadline,
      by,
      stage: 'none',
      until: Infinity,
    }
    this.waiting.push(waits)
    this.#step(waits)
  }

  cancel(id: number): void {
    this.#end(id, { verdict: 'deny', by: this.#waits(id).by, asked: 'canceled' })
  }

  answer(id: number, answer: string): void {
    const { peer, by } = this.#waits(id)
    if (this.#blocked.includes(peer)) this.#end(id, { verdict: 'deny', by: 'block' })
    else if (answer === 'allow' || answer === 'deny') {
      this.#end(id, { verdict: answer, by, asked: 'answered' })
    } else this.#end(id, { verdict: 'deny', by, asked: 'failed' })
  }

  meet(peer: string, rule: RuleName | 'junk'): void {
    if (!this.#contacts.some((c) => c.peer === peer)) return
    const these = this.waiting.filter((w) => w.stage === 'contact' && w.peer === peer)
    this.#contacts = this.#contacts.filter((c) => c.peer !== peer)
    if (rule === 'junk') {
      for (const { id } of these)
        this.#end(id, { verdict: 'deny', by: 'new-peer', asked: 'failed' })
      return
    }
    this.#forget(peer)
    this.#remembered.push({ peer, rule })
    if (this.#remembered.length > this.#limits.maxNewPeerVerdicts) this.#remembered.shift()
    for (const waits of these) {
      waits.stage = 'none'
      this.#step(waits)
    }
  }

  advance(ms: number): void {
    this.#now += ms
    for (const { id, by, until } of [...this.waiting]) {
      if (until <= this.#now) this.#end(id, { verdict: 'deny', by, asked: 'timeout' })
    }
  }

  refuses(direction: Direction, peer: string): boolean {
    if (this.#blocked.includes(peer)) return true
    const own = this.#rule(direction, peer)
    if (own !== undefined) return own === 'deny'
    if (direction === 'inbound' && this.#meets) {
      this.#touch(peer)
      return this.#remembered.find((r) => r.peer === peer)?.rule === 'deny'
    }
    const otherwise = direction === 'inbound' ? 'deny' : 'allow'
    return (this.#rule(direction, 'fallback') ?? otherwise) === 'deny'
  }

  #look(direction: Direction, peer: string, method: string): [string, string] {
    if (this.#blocked.includes(peer)) return ['deny', 'block']
    const own = this.#rule(direction, peer)
    if (own !== undefined) return [verdictOf(own, method), 'peer']
    if (direction === 'inbound' && this.#meets) {
      this.#touch(peer)
      const said = this.#remembered.find((r) => r.peer === peer)
      return said === undefined
        ? ['unknown', 'new-peer']
        : [verdictOf(said.rule, method), 'new-peer']
    }
    const fallback = this.#rule(direction, 'fallback')
    if (fallback !== undefined) return [verdictOf(fallback, method), 'fallback']
    return [direction === 'inbound' ? 'deny' : 'allow', 'default']
  }

  #step(waits: Waits): void {
    const [verdict, by] = this.#look(waits.direction, waits.peer, waits.method)
    waits.by = by
    const end = Math.min(this.#now + this.#limits.askTimeoutMs, waits.deadline)
    if (verdict === 'allow' || verdict === 'deny') this.#end(waits.id, { verdict, by })
    else if (verdict === 'unknown') {
      if (waits.stage === 'contact') return
      let contact = this.#contacts.find((c) => c.peer === waits.peer)
      if (contact === undefined) {
        contact = { peer: waits.peer, until: this.#now + this.#limits.askTimeoutMs }
        this.#contacts.push(contact)
      }
      waits.stage = 'contact'
      waits.until = Math.min(end, contact.until)
    } else if (!this.#asks) this.#end(waits.id, { verdict: 'deny', by, asked: 'nobody' })
    else if (waits.stage !== 'ask') {
      waits.stage = 'ask'
      waits.until = end
    }
    this.#hangUp()
  }

  #again(direction: Direction, target: string): void {
    for (const waits of [...this.waiting]) {
      if (waits.direction !== direction) continue
      const byFallback = waits.by === 'fallback' || waits.by === 'default'
      if (waits.peer === target || (target === 'fallback' && byFallback)) this.#step(waits)
    }
  }

  #end(id: number, decided: Decided): void {
    this.decided[id] = decided
    this.waiting = this.waiting.filter((w) => w.id !== id)
    this.#hangUp()
  }

  /** A first contact for which nobody waits is over. */
  #hangUp(): void {
    this.#contacts = this.#contacts.filter(({ peer }) =>
      this.waiting.some((w) => w.stage === 'contact' && w.peer === peer),
    )
  }

  #rule(direction: Direction, target: string): RuleName | undefined {
    return this.#rules.find((r) => r.direction === direction && r.target === target)?.rule
  }

  #waits(id: number): Waits {
    const found = this.waiting.find((w) => w.id === id)
    if (found === undefined) throw new Error('nobody waits')
    return found
  }

  #touch(peer: string): void {
    const said = this.#remembered.find((r) => r.peer === peer)
    if (said !== undefined) this.#remembered = [...this.#remembered.filter((r) => r !== said), said]
  }

  #forget(peer: string): void {
    this.#remembered = this.#remembered.filter((r) => r.peer !== peer)
  }
}

function verdictOf(rule: RuleName, method: string): string {
  if (rule === 'stat') return method === 'stat' ? 'allow' : 'ask'
  return rule === 'throws' || rule === 'async' ? 'deny' : rule
}
