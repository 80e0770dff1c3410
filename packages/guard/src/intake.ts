/**
 * What waits while the vault is locked: requests of peers that may wait, sealed to a key of the vault's, durable before
 * anybody hears of it (`docs/vault-format.md §2.1`). It can write them and never read them again. What is noted is no proof
 * of who asked: whoever can write the file can write here, too.
 */
import { concat, decode, encode, encodeUtf8, fromHex, toHex } from '@stronghold/core'
import { hpkeOpen, hpkeSeal, isVaultError } from '@stronghold/vault'
import type { Clock, OpenVault, Slab, VaultTransaction } from '@stronghold/vault'

import { CONFLICT, EXPIRED, UNREADABLE } from './answers.ts'
import type { Refusal } from './answers.ts'
import type { Asker, PeerRequest, PeerStep } from './doors.ts'
import { Fields } from './fields.ts'
import { requestKey } from './held.ts'
import { READABLE_KINDS } from './kinds.ts'
import type { GuardLimits } from './limits.ts'
import { sha256 } from './sha256.ts'
import { boxSecret, readWaiters } from './waiters.ts'
import type { ReadableRows, Waiters } from './waiters.ts'

/** A request that waits. */
export interface Note {
  readonly peer: string
  /** 32 hex digits. */
  readonly id: string
  readonly atMs: number
  readonly expiresAtMs: number
}

/** What an intake is made of. */
export interface IntakeInit {
  /** Locked. */
  readonly vault: Pick<OpenVault, 'plainRows' | 'commitPlain' | 'status'>
  readonly clock: Clock
  /** Room for what seals. */
  readonly slab: Slab
  readonly limits: Readonly<Pick<GuardLimits, 'keepAfterDeadlineMs' | 'maxTimeoutMs'>>
}

/** Deepest nesting of a request that is noted, as it is held later. */
const MAX_DEPTH = 64
const DOMAIN = encodeUtf8('stronghold/intake/1')

/** What waits while the vault is locked. */
export class Intake {
  readonly #vault: IntakeInit['vault']
  readonly #vaultId: Uint8Array
  readonly #clock: Clock
  readonly #slab: Slab
  readonly #limits: IntakeInit['limits']
  readonly #waiters: Waiters | undefined
  readonly #notes = new Map<string, Note>()
  /** SHA-256 of what was noted, for as long as this process lives: on the disk it would tell of what it is. */
  readonly #bodies = new Map<string, string>()

  /** Reads what stands. @throws what `OpenVault.plainRows` throws */
  constructor({ vault, clock, slab, limits }: IntakeInit) {
    this.#vault = vault
    this.#vaultId = fromHex(vault.status().vault)
    this.#clock = clock
    this.#slab = slab
    this.#limits = limits
    const rows: ReadableRows = (kind) => vault.plainRows(kind)
    this.#waiters = readWaiters(rows)
    for (const { value } of rows(READABLE_KINDS.intake)) {
      const note = readRow(value)
      if (note !== undefined) this.#notes.set(requestKey(note.peer, note.id), note)
    }
  }

  /** How many wait. */
  get size(): number {
    return this.#notes.size
  }

  mayWait(peer: string): boolean {
    return this.#waiters?.peers.has(peer) === true
  }

  /** What waits under this id, also for a while after its deadline. */
  find(peer: string, id: string): Note | undefined {
    return this.#notes.get(requestKey(peer, id))
  }

  /**
   * Notes a request of a peer that may wait, the first time or again.
   *
   * @throws what `OpenVault.commitPlain` throws, and then it is not noted
   */
  note({ peer, connection }: Asker, request: PeerRequest): Note | Refusal {
    const waiters = this.#waiters
    const body = bodyOf(request)
    if (waiters === undefined || body === undefined) return UNREADABLE
    const id = toHex(request.id)
    const key = requestKey(peer, id)
    const hash = toHex(sha256(body))
    const nowMs = this.#clock.nowMs()
    const before = this.#notes.get(key)
    if (before !== undefined) {
      if ((this.#bodies.get(key) ?? hash) !== hash) return CONFLICT
      return nowMs < before.expiresAtMs ? before : EXPIRED
    }
    const full = this.#full(waiters, peer, body.byteLength)
    if (full !== undefined) return full
    const expiresAtMs = nowMs + Math.min(request.timeoutMs, this.#limits.maxTimeoutMs)
    const note = { peer, id, atMs: nowMs, expiresAtMs }
    const ends = { recipientPublicKey: waiters.box, info: infoOf(this.#vaultId, note) }
    const content = encode({ v: 1, connection, request: body })
    const sealed = hpkeSeal(this.#slab, ends, content, timesOf(note))
    const value = encode({ v: 1, peer, id: request.id, atMs: nowMs, expiresAtMs, sealed })
    this.#vault.commitPlain([{ ...nameOf(key), value }], [])
    this.#notes.set(key, note)
    this.#bodies.set(key, hash)
    return note
  }

  /** Forgets what a peer takes back. @returns whether it was there; throws as `note` */
  cancel(peer: string, id: string): boolean {
    const note = this.find(peer, id)
    if (note === undefined) return false
    this.#forget([note])
    return true
  }

  /** Forgets what is long over. @returns what has reached its deadline; throws as `note` */
  sweep(): readonly Note[] {
    const nowMs = this.#clock.nowMs()
    const over = [...this.#notes.values()].filter(({ expiresAtMs }) => nowMs >= expiresAtMs)
    const { keepAfterDeadlineMs } = this.#limits
    const long = over.filter(({ expiresAtMs }) => nowMs >= expiresAtMs + keepAfterDeadlineMs)
    if (long.length > 0) this.#forget(long)
    return over
  }

  #forget(notes: readonly Note[]): void {
    const keys = notes.map(({ peer, id }) => requestKey(peer, id))
    this.#vault.commitPlain([], keys.map(nameOf))
    for (const key of keys) {
      this.#notes.delete(key)
      this.#bodies.delete(key)
    }
  }

  #full({ bounds }: Waiters, peer: string, bytes: number): Refusal | undefined {
    const { maxIntakePerPeer, maxIntakeTotal, maxIntakeRequestBytes } = bounds
    let own = 0
    for (const note of this.#notes.values()) if (note.peer === peer) own++
    const why =
      bytes > maxIntakeRequestBytes
        ? `it has ${bytes} bytes where ${maxIntakeRequestBytes} may wait for somebody to unlock`
        : own >= maxIntakePerPeer
          ? `${maxIntakePerPeer} of this peer wait for somebody to unlock`
          : this.#notes.size >= maxIntakeTotal
            ? 'too many wait for somebody to unlock'
            : undefined
    if (why === undefined) return undefined
    const message = `Cannot take request: ${why}`
    return { kind: 'failed', code: 'resource_exhausted', ran: 'no', message }
  }
}

/** A note, opened. */
export interface OpenedNote extends Note {
  readonly asker: Asker
  readonly request: PeerRequest
}

/** What waited, opened, the first first; it waits no more once the transaction is committed. */
export function takeNotes(
  tx: VaultTransaction,
  vault: Uint8Array,
  slab: Slab,
): { readonly notes: readonly OpenedNote[]; /** No notes. */ readonly dropped: number } {
  const rows = [...tx.plainRows(READABLE_KINDS.intake)]
  if (rows.length === 0) return { notes: [], dropped: 0 }
  using secret = boxSecret(tx, slab)
  const ends = { vault, secretKey: secret.bytes, slab }
  const notes = rows.flatMap(({ value }) => openNote(value, ends) ?? [])
  dropNotes(tx)
  notes.sort((a, b) => a.atMs - b.atMs)
  return { notes, dropped: rows.length - notes.length }
}

/** Forgets what waited. */
export function dropNotes(tx: VaultTransaction): void {
  for (const { id } of [...tx.plainRows(READABLE_KINDS.intake)]) {
    tx.removePlain(READABLE_KINDS.intake, id)
  }
}

/** One row, or `undefined` for what no intake wrote. */
function openNote(
  value: Uint8Array,
  ends: { readonly vault: Uint8Array; readonly secretKey: Uint8Array; readonly slab: Slab },
): OpenedNote | undefined {
  const note = readRow(value)
  if (note === undefined) return undefined
  try {
    const info = infoOf(ends.vault, note)
    const init = { recipientSecretKey: ends.secretKey, info }
    using opened = hpkeOpen(ends.slab, init, note.sealed, timesOf(note))
    const content = new Fields(decode(opened.bytes.slice()), 'note')
    if (content.uint('v') !== 1) return undefined
    const asker = { peer: note.peer, connection: content.text('connection') }
    return { ...note, asker, request: readBody(content.bytes('request'), note.requestId) }
  } catch (error) {
    if (isVaultError(error) || error instanceof SyntaxError || error instanceof RangeError) {
      return undefined
    }
    throw error
  }
}

interface Row extends Note {
  readonly requestId: Uint8Array
  readonly sealed: Uint8Array
}

function readRow(value: Uint8Array): Row | undefined {
  try {
    const fields = new Fields(decode(value), 'note')
    if (fields.uint('v') !== 1) return undefined
    const requestId = fields.bytes('id')
    return {
      peer: fields.text('peer'),
      id: toHex(requestId),
      requestId,
      atMs: fields.uint('atMs'),
      expiresAtMs: fields.uint('expiresAtMs'),
      sealed: fields.bytes('sealed'),
    }
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined
    throw error
  }
}

/** What was asked for as bytes, or `undefined` for what has no form as plain values. */
function bodyOf({ steps, reason, timeoutMs, receipt }: PeerRequest): Uint8Array | undefined {
  try {
    return encode({ steps, reason, timeoutMs, receipt }, { maxDepth: MAX_DEPTH })
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) return undefined
    throw error
  }
}

/** What steps ask for is judged where they are decided. @throws `SyntaxError` */
function readBody(body: Uint8Array, id: Uint8Array): PeerRequest {
  const fields = new Fields(decode(body, { maxDepth: MAX_DEPTH }), 'request')
  const receipt = fields.any('receipt')
  const steps = fields.list('steps', (step): PeerStep => {
    const of = new Fields(step, 'step')
    const input = of.any('input')
    new Fields(input, 'input of a step')
    return {
      procedure: of.text('procedure'),
      version: of.uint('version'),
      input: input as PeerStep['input'],
    }
  })
  const [reason, timeoutMs] = [fields.text('reason'), fields.uint('timeoutMs')]
  return { id, steps, reason, timeoutMs, receipt: receipt === true }
}

/** Who asked for what is in no other row than its own. */
function infoOf(vault: Uint8Array, { peer, id }: Note): Uint8Array {
  return concat([DOMAIN, encode({ vault, peer, id })])
}

function timesOf({ atMs, expiresAtMs }: Note): Uint8Array {
  return encode({ atMs, expiresAtMs })
}

function nameOf(key: string): { kind: number; id: Uint8Array } {
  return { kind: READABLE_KINDS.intake, id: sha256(encodeUtf8(key)) }
}
