/**
 * The answering end of runs (`docs/sync.md §5`): what a partner says, judged one message at a time. What it may not say ends its
 * run and is written down; nothing else is disturbed.
 */
import { equalBytes } from '@stronghold/core'
import { isVaultError, VaultError } from '@stronghold/vault'
import type { SyncChannel } from '@stronghold/vault'

import type { SyncedRecord } from '../audit/entry.ts'
import type { Work } from '../desk.ts'
import type { Asker } from '../doors.ts'
import { decodeHead } from '../heads.ts'
import {
  MAX_SYNC_SEALED_BYTES,
  SYNC_ENTRIES_BYTES,
  SYNC_FILL_BYTES,
  SYNC_IDLE_MS,
} from '../limits.ts'
import { bucketsOf, differingBuckets, differs, entriesIn, isIn, readEntries } from './difference.ts'
import type { SyncMessage, SyncOutcome, SyncReply } from './doors.ts'
import { Exchange } from './exchange.ts'
import { decodeBody, encodeBody, sentBytes } from './messages.ts'
import type { SentState, SyncBody } from './messages.ts'
import type { Partnership } from './partners.ts'
import {
  drawn,
  giveMark,
  judge,
  keepMark,
  listFor,
  markArrived,
  noteInStep,
  noteRun,
  openChannel,
  selectionOf,
  standpoint,
  summaryOf,
} from './run.ts'
import type { Listed, SyncParts } from './run.ts'
import { flowOf } from './selection.ts'

/** One run, at its answering end. */
interface Session {
  readonly id: Uint8Array
  readonly name: string
  readonly channel: SyncChannel
  usedAtMs: number
  busy: boolean
  exchange?: Exchange
  /** Entries that are still to be told. */
  rest?: Uint8Array
  /** What is compared one by one, and how this vault stood when it was listed; until the asker says that this is the end. */
  open?: { readonly ids: Set<string>; readonly listed: Listed }
}

type Saying<K extends SyncBody['kind']> = Extract<SyncBody, { kind: K }>

/** Answers partners. */
export class Answerer {
  readonly #parts: SyncParts
  /** By partnership: a run that begins ends the one before. */
  readonly #sessions = new Map<string, Session>()

  constructor(parts: SyncParts) {
    this.#parts = parts
  }

  /** Answers one message. */
  async answer(asker: Asker, message: SyncMessage): Promise<SyncReply> {
    const { book } = this.#parts
    if (!book.isWelcome(asker.peer)) return DENIED
    try {
      if (message.kind === 'key') return await this.#key()
      const partnership = this.#parts.partners.with(asker.peer)
      if (partnership === undefined || partnership.paused) {
        await this.#deny(
          asker.peer,
          partnership,
          partnership === undefined ? 'no partner' : 'paused',
        )
        return partnership === undefined ? DENIED : failed('failed_precondition', 'paused')
      }
      if (message.kind === 'begin') return await this.#begin(partnership, message.nonce)
      return await this.#step(partnership, message.session, message.sealed)
    } catch (error) {
      return refusalOf(error)
    }
  }

  /** Ends the run of a partnership, or all. */
  end(name?: string): void {
    for (const session of [...this.#sessions.values()]) {
      if (name === undefined || session.name === name) this.#drop(session)
    }
  }

  async #key(): Promise<SyncReply> {
    const { batch, vault, book } = this.#parts
    const key = await batch.run(({ tx }) => tx.sync.publicKey())
    const { certificate } = book
    const vouched = certificate === null ? {} : { certificate }
    return { state: 'key', vault: vault.head().vault, key, ...vouched }
  }

  async #begin(partnership: Partnership, nonce: Uint8Array): Promise<SyncReply> {
    const { batch, vault, nowMs, partners } = this.#parts
    if (nonce.byteLength !== 16) return failed('invalid_argument', 'nonce')
    this.end(partnership.name)
    const answerer = drawn()
    const { channel, key } = await batch.run((work) => ({
      channel: openChannel(work, this.#parts, partnership, { asker: nonce, answerer }),
      key: work.tx.sync.publicKey(),
    }))
    this.end(partnership.name)
    const session = { id: drawn(), name: partnership.name, channel, usedAtMs: nowMs(), busy: false }
    this.#sessions.set(partnership.name, session)
    const { records = 0 } = vault.status()
    const now = partners.named(partnership.name) ?? partnership
    const welcome = { ...standpoint(this.#parts, now), count: records }
    const sealed = channel.seal(encodeBody({ kind: 'welcome', ...welcome }))
    const { id } = session
    return { state: 'begun', session: id, vault: vault.head().vault, key, nonce: answerer, sealed }
  }

  async #step(partnership: Partnership, id: Uint8Array, sealed: Uint8Array): Promise<SyncReply> {
    const session = this.#sessions.get(partnership.name)
    const isOver =
      session === undefined ||
      this.#parts.nowMs() - session.usedAtMs > SYNC_IDLE_MS ||
      !equalBytes(session.id, id)
    if (isOver) return failed('not_found', 'no_session')
    // One message at a time: they are counted.
    if (session.busy) return failed('failed_precondition', 'busy')
    session.busy = true
    try {
      const body = this.#open(session, sealed)
      const answer = await this.#handle(partnership, session, body)
      session.usedAtMs = this.#parts.nowMs()
      return { state: 'step', sealed: session.channel.seal(encodeBody(answer)) }
    } catch (error) {
      this.#drop(session)
      const reply = refusalOf(error)
      const why = reply.state === 'failed' ? (reply.reason ?? reply.code) : ''
      await this.#deny(partnership.peer, partnership, why)
      return reply
    } finally {
      session.busy = false
    }
  }

  #open(session: Session, sealed: Uint8Array): SyncBody {
    if (sealed.byteLength > MAX_SYNC_SEALED_BYTES) throw malformed('too long')
    const bytes = session.channel.open(sealed)
    try {
      return decodeBody(bytes)
    } catch (cause) {
      throw malformed((cause as Error).message, cause)
    }
  }

  async #handle(partnership: Partnership, session: Session, body: SyncBody): Promise<SyncBody> {
    const { exchange } = session
    if (body.kind === 'list' && exchange === undefined) {
      return await this.#list(partnership, session, body)
    }
    if (exchange === undefined) throw malformed('no list yet')
    const { batch } = this.#parts
    const { name } = partnership
    switch (body.kind) {
      case 'more':
        return await batch.run((work) => {
          markArrived(work, this.#parts, name)
          return this.#more(session, new Uint8Array(), giveMark(work, this.#parts, name))
        })
      case 'get':
        return await batch.run((work) => this.#get(work, partnership, exchange, body))
      case 'put': {
        const results = await batch.run((work) =>
          this.#put(work, partnership, session, exchange, body),
        )
        if (body.end !== undefined) await this.#end(session, exchange, body.end)
        return results
      }
      default:
        throw malformed(`a ${body.kind} that nobody waits for`)
    }
  }

  async #list(partnership: Partnership, session: Session, body: Saying<'list'>): Promise<SyncBody> {
    const { batch, partners, book, contents } = this.#parts
    const { name, peer } = partnership
    const head = headOf(body.head, partnership)
    if (partnership.maps.length > 0) {
      throw new VaultError(
        'failed_precondition',
        'Cannot synchronise: paths are mapped here, so runs begin here',
      )
    }
    const stopped =
      partnership.stop ??
      (await batch.run((work) => {
        const why = judge(work, this.#parts, name, head, body.held)
        const detail = why === undefined ? {} : { detail: why }
        noteRun(work, this.#parts, partnership, why === undefined ? 'begun' : 'stopped', detail)
        return why
      }))
    if (stopped !== undefined) return { kind: 'stop', why: stopped }
    const exchange = new Exchange({
      role: 'answerer',
      selection: selectionOf(body.paths, partnership.paths, body.maps),
      flow: flowOf(body, partnership),
      channel: session.channel,
      ...{ name, peer, book, partners, contents },
    })
    const listed = await listFor(this.#parts, exchange, body.fresh)
    session.exchange = exchange
    const differ = differingBuckets(body.buckets, bucketsOf(listed.entries, body.bits))
    const mark = await batch.run((work) => {
      for (const { id } of partners.conflicts(name)) {
        if (!isIn(id, body.bits, differ)) partners.settle(work, name, id)
      }
      if (differs(differ)) {
        const now = partners.named(name)
        if (now?.behind === false) partners.put(work, { ...now, behind: true })
      } else noteInStep(work, this.#parts, name, listed)
      keepMark(work, this.#parts, name, body.mark)
      return giveMark(work, this.#parts, name)
    })
    session.rest = entriesIn(listed.entries, body.bits, differ)
    const ids = new Set(Array.from(readEntries(session.rest), ([id]) => id))
    if (differs(differ)) session.open = { ids, listed }
    return this.#more(session, differ, mark)
  }

  /** The asker has said all: where both have the same now, this side knows it as well as the other. Told once in a run. */
  async #end(session: Session, exchange: Exchange, end: Uint8Array): Promise<void> {
    const { open, name } = session
    if (open === undefined) throw malformed('an end of what was not begun')
    delete session.open
    if (!equalBytes(await summaryOf(this.#parts, exchange, open.ids), end)) return
    await this.#parts.batch.run((work) => {
      noteInStep(work, this.#parts, name, open.listed, open.ids)
    })
  }

  #more(session: Session, differ: Uint8Array, mark: Uint8Array): SyncBody {
    const { rest } = session
    if (rest === undefined) throw malformed('no more entries')
    const more = rest.byteLength > SYNC_ENTRIES_BYTES
    const entries = rest.subarray(0, SYNC_ENTRIES_BYTES)
    if (more) session.rest = rest.subarray(SYNC_ENTRIES_BYTES)
    else delete session.rest
    return { kind: 'entries', mark, differ, entries, more }
  }

  #get(
    work: Work,
    partnership: Partnership,
    exchange: Exchange,
    { ids, secrets }: Saying<'get'>,
  ): SyncBody {
    const records: SentState[] = []
    const refused: (readonly [string, SyncOutcome])[] = []
    const told: SyncedRecord[] = []
    let bytes = 0
    markArrived(work, this.#parts, partnership.name)
    for (const id of ids) {
      const found = exchange.outgoing(work.tx, id, secrets)
      if ('refused' in found) {
        refused.push([id, found.refused])
        told.push([found.refused, '', new Uint8Array(Buffer.from(id, 'hex')), 0])
        continue
      }
      const size = sentBytes(found.state)
      if (bytes > 0 && bytes + size > SYNC_FILL_BYTES) break
      bytes += size
      records.push(found.state)
      told.push(found.audited)
    }
    this.#note(work, partnership, 'sent', secrets ? told : [], records.length > 0)
    const mark = giveMark(work, this.#parts, partnership.name)
    return { kind: 'records', mark, records, refused }
  }

  #put(
    work: Work,
    partnership: Partnership,
    { open }: Session,
    exchange: Exchange,
    { records, mark }: Saying<'put'>,
  ): SyncBody {
    markArrived(work, this.#parts, partnership.name)
    const taken = records.map((sent) => ({ id: sent.id, ...exchange.take(work, sent) }))
    for (const { id, digest } of taken) if (digest !== '') open?.ids.add(id)
    const accepted = taken.some(({ change }) => change !== undefined && change.change !== 'refused')
    const told = taken.map(({ audited }) => audited)
    this.#note(work, partnership, 'received', told, accepted)
    if (accepted) this.#parts.desk.reconsider(work)
    keepMark(work, this.#parts, partnership.name, mark)
    const results = taken.map(({ id, outcome, digest }) => [id, outcome, digest] as const)
    return { kind: 'results', results }
  }

  /** What only was refused falls under the bucket: a partner must not fill the audit with it. */
  #note(
    work: Work,
    { name, peer }: Partnership,
    phase: 'sent' | 'received',
    records: readonly SyncedRecord[],
    accepted: boolean,
  ): void {
    if (records.length === 0) return
    const { trail } = this.#parts
    const facts = { peer, name, phase, records }
    if (accepted) trail.append(work.tx, work.journal, 'sync', facts)
    else trail.syncDenial(work.tx, work.journal, facts)
  }

  async #deny(peer: string, partnership: Partnership | undefined, why: string): Promise<void> {
    const { batch, trail } = this.#parts
    const name = partnership?.name ?? ''
    await batch.run(({ tx, journal }) => {
      trail.syncDenial(tx, journal, { peer, name, phase: 'stopped', detail: why })
    })
  }

  #drop(session: Session): void {
    session.channel[Symbol.dispose]()
    if (this.#sessions.get(session.name) === session) this.#sessions.delete(session.name)
  }
}

/** How far the partner says it has come. @throws `VaultError` `invalid_argument` for what is no head of its vault */
export function headOf(bytes: Uint8Array, { vault }: Partnership): ReturnType<typeof decodeHead> {
  let head: ReturnType<typeof decodeHead>
  try {
    head = decodeHead(bytes)
  } catch (cause) {
    throw malformed('no head', cause)
  }
  if (!equalBytes(head.vault, vault)) throw malformed('a head of another vault')
  return head
}

const DENIED: SyncReply = failed('permission_denied', 'denied_by_rule')

function failed(code: VaultError['code'], reason: string): SyncReply {
  return { state: 'failed', code, reason, message: 'Cannot synchronise: refused' }
}

/** What a partner hears of a failure: its code, and no more than that says. */
function refusalOf(error: unknown): SyncReply {
  if (error instanceof TypeError) return failed('not_found', 'no_session')
  if (!isVaultError(error)) {
    return { state: 'failed', code: 'internal', message: 'Cannot synchronise: internal error' }
  }
  return { state: 'failed', code: error.code, message: 'Cannot synchronise: the vault refuses' }
}

function malformed(why: string, cause?: unknown): VaultError {
  return new VaultError('invalid_argument', `Cannot read sync message: ${why}`, { cause })
}
