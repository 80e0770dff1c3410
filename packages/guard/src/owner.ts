/**
 * The owner door of a guard: what the owner at the machine may do. No rule is asked, but labels, ceilings and the audit hold
 * here, too. Everything that changes something is one transaction with its audit entry.
 */
import { encode, fromHex } from '@stronghold/core'
import { VaultError } from '@stronghold/vault'
import type { Clock, Credential, OpenVault } from '@stronghold/vault'
import { procedureOf } from '@stronghold/vault/catalog'

import type { AuditFacts } from './audit/entry.ts'
import type {
  BackupCompared,
  BackupDrilled,
  BackupNote,
  BackupReading,
  BackupRestored,
  BackupRestoring,
  BackupSaid,
  BackupTurn,
  BackupWriting,
} from './backups/doors.ts'
import type { BackupOffice } from './backups/office.ts'
import { turnsOf } from './backups/turns.ts'
import type { Batch } from './batch.ts'
import type { Book } from './book.ts'
import type { Confirms } from './confirms.ts'
import type { Desk, News, Work } from './desk.ts'
import type {
  AuditCut,
  AuditEntry,
  AuditPage,
  AuditVerdict,
  GuardStatus,
  OwnerDoor,
  OwnerRecord,
  PeerStep,
  UnlockBy,
} from './doors.ts'
import type { Knocks } from './knocks.ts'
import type { Ledger } from './ledger.ts'
import type { GuardLimits } from './limits.ts'
import { OwnerApprovals } from './owner-approvals.ts'
import type { ApprovalsDoor } from './owner-approvals.ts'
import { OwnerPeers } from './owner-peers.ts'
import type { PeersDoor } from './owner-peers.ts'
import { OwnerRules } from './owner-rules.ts'
import type { RulesDoor } from './owner-rules.ts'
import { runForOwner } from './owner-run.ts'
import { encodeCertificate } from './receipts.ts'
import type { Secrets } from './secrets.ts'
import type {
  SyncConflict,
  SyncDecision,
  SyncInit,
  SyncPartnership,
  SyncPurpose,
  SyncReply,
  SyncTurn,
} from './sync/doors.ts'
import type { SyncOffice } from './sync/office.ts'
import type { Tickets } from './tickets.ts'
import type { Topic } from './topic.ts'
import type { Trail } from './trail.ts'

/** What is there only while the vault is unlocked. */
export interface OpenParts {
  readonly book: Book
  readonly desk: Desk
  readonly batch: Batch
  readonly trail: Trail
  readonly ledger: Ledger
  readonly sync: SyncOffice
  readonly backups: BackupOffice
}

/** What the owner door is made of. */
export interface OwnerInit {
  /** The peer id under which the vault is served. */
  readonly peer: string
  readonly vault: OpenVault
  readonly limits: Readonly<GuardLimits>
  readonly clock: Clock
  readonly secrets: Secrets
  /** Where whoever approves shows again what unlocks. */
  readonly confirms: Confirms | undefined
  readonly knocks: Knocks
  readonly tickets: Tickets
  readonly asked: Topic<News>
  /** @throws `VaultError` `failed_precondition` (`locked`) */
  open(): OpenParts
  isOpen(): boolean
  /** How many requests wait for the vault to be unlocked. */
  intake(): number
  /** The vault was unlocked, or is about to be locked. */
  opened(): void
  /** Takes in what waited, behind what this turn wrote before. */
  join(): void
  locking(): void
}

const MAX_CERTIFICATE_BYTES = 1024

/** The owner door. */
export class OwnerDesk implements OwnerDoor {
  readonly #init: OwnerInit
  readonly #approvals: OwnerApprovals
  readonly #peers: OwnerPeers
  readonly #rules: OwnerRules

  constructor(init: OwnerInit) {
    this.#init = init
    const { vault, limits, clock, confirms, knocks, tickets, asked } = init
    const open = (): OpenParts => init.open()
    const change = <T>(body: (work: Work, open: OpenParts) => T): Promise<T> => this.#change(body)
    this.#peers = new OwnerPeers({ limits, knocks, tickets, open, change })
    this.#rules = new OwnerRules({ clock, open, change })
    this.#approvals = new OwnerApprovals({
      vault,
      clock,
      confirms,
      asked,
      open,
      isOpen: () => init.isOpen(),
      change,
      withCredential: (by, use) => this.#withCredential(by, use),
    })
  }

  async boxKey(): Promise<Uint8Array> {
    return this.#init.secrets.publicKey
  }

  async status(): Promise<GuardStatus> {
    const { vault } = this.#init
    const status = vault.status()
    const open = this.#init.isOpen() ? this.#init.open() : undefined
    return {
      vault: fromHex(status.vault),
      locked: open === undefined,
      records: status.records,
      pending: open?.book.pending,
      head: status.head === undefined ? undefined : encode(status.head),
      memoryLocked: status.memory.locked,
      intake: this.#init.intake(),
      auditBytes: open?.trail.bytes,
      confirms: this.#init.confirms !== undefined,
      ...lastOf(open === undefined ? [] : await open.backups.notes()),
    }
  }

  // --- Locking

  async unlock(by: UnlockBy): Promise<void> {
    const { vault } = this.#init
    await this.#withCredential(by, (credential) => vault.unlock(credential))
    try {
      this.#init.opened()
    } catch (error) {
      // What the guard cannot read it does not stand in front of.
      await vault.lock()
      throw error
    }
    const written = this.#change(({ tx, journal }, { trail }) => {
      trail.append(tx, journal, 'unlocked', { by: by.by })
    })
    this.#init.join()
    await written
  }

  async lock(): Promise<void> {
    await this.#lock('owner')
  }

  /** Nobody used the vault for as long as it may stay open. It locks also where that cannot be written down. */
  async lockIdle(): Promise<void> {
    try {
      await this.#lock('idle')
    } catch {
      this.#init.locking()
      await this.#init.vault.lock()
    }
  }

  async #lock(by: 'owner' | 'idle'): Promise<void> {
    if (!this.#init.isOpen()) return
    await this.#change(({ tx, journal }, { trail }) => {
      for (const wrong of this.#init.confirms?.wrong({ all: true }) ?? []) {
        trail.append(tx, journal, 'unproven', wrong)
      }
      trail.append(tx, journal, 'locked', { by })
    })
    this.#init.locking()
    await this.#init.vault.lock()
  }

  async unlockers(): Promise<
    readonly { id: string; kind: string; name: string; createdAtMs: number }[]
  > {
    return this.#init.vault.unlockers
      .list()
      .map(({ id, kind, name, createdAtMs }) => ({ id, kind, name, createdAtMs }))
  }

  async addUnlocker(present: UnlockBy, added: UnlockBy, name: string): Promise<string> {
    const { unlockers } = this.#init.vault
    return await this.#unlocker('added', present, added, (shown, credential) =>
      unlockers.add(shown, { credential, name }),
    )
  }

  async changeUnlocker(present: UnlockBy, by: UnlockBy, name: string): Promise<string> {
    const { unlockers } = this.#init.vault
    return await this.#unlocker('changed', present, by, (shown, credential) =>
      unlockers.change(shown, { credential, name }),
    )
  }

  async removeUnlocker(id: string): Promise<void> {
    const { unlockers } = this.#init.vault
    const kind = unlockers.list().find((one) => one.id === id)?.kind ?? ''
    await unlockers.remove(id)
    await this.#change(({ tx, journal }, { trail }) => {
      trail.append(tx, journal, 'unlocker', { change: 'removed', id, kind })
    })
  }

  // --- Using

  async run(
    steps: readonly PeerStep[],
    { reason = '', receipt = false }: { reason?: string; receipt?: boolean } = {},
  ): Promise<{ outputs: readonly Readonly<Record<string, unknown>>[]; receipt?: Uint8Array }> {
    const { vault, secrets, limits } = this.#init
    this.#init.open()
    using opened = secrets.openAll(steps.map(({ input }) => input))
    const asked = steps.map(({ procedure, version }, index) => {
      const found = procedureOf(procedure)
      if (found?.version !== version) {
        throw new VaultError(
          'unimplemented',
          `Cannot run ${JSON.stringify(procedure.slice(0, 64))}: unknown procedure or version`,
        )
      }
      return { procedure: found, input: opened.inputs[index] ?? {} }
    })
    const chain = vault.read(asked)
    using _ = await vault.prepare(chain)
    const { batch, desk, trail } = this.#init.open()
    const run = {
      chain,
      steps: asked,
      sent: steps,
      reason: reason.slice(0, limits.maxReasonLength),
      receipt,
    }
    return await batch.run(
      (work) => {
        const ran = runForOwner(work, { vault: vault.head().vault, trail }, run)
        // A key that was rotated or revoked is another question.
        desk.reconsider(work)
        return ran
      },
      ({ outputs, leaf }, release) =>
        leaf === undefined ? { outputs } : { outputs, receipt: release.receipt(leaf) },
    )
  }

  async records(pattern?: string): Promise<readonly OwnerRecord[]> {
    return await this.#change(({ tx }) =>
      tx.list(pattern).map(({ labels, versions, from: _, ...record }) => ({
        ...record,
        ...labels,
        versions: versions.length,
      })),
    )
  }

  async storeGet(key: string): Promise<Uint8Array | undefined> {
    return await this.#change(({ tx }) => tx.store.get(key))
  }

  async storeSet(key: string, value: Uint8Array, lifetimeMs?: number): Promise<void> {
    await this.#change(({ tx, journal }, { trail }) => {
      tx.store.put(key, value, lifetimeMs === undefined ? {} : { lifetimeMs })
      trail.append(tx, journal, 'store', { change: 'set', key })
    })
  }

  async storeDelete(key: string): Promise<boolean> {
    return await this.#change(({ tx, journal }, { trail }) => {
      const deleted = tx.store.delete(key)
      if (deleted) trail.append(tx, journal, 'store', { change: 'deleted', key })
      return deleted
    })
  }

  async storeList(
    prefix?: string,
  ): Promise<readonly { key: string; bytes: number; expiresAtMs?: number }[]> {
    return await this.#change(({ tx }) =>
      tx.store.list(prefix).map(({ key, length, expiresAtMs }) => ({
        key,
        bytes: length,
        ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
      })),
    )
  }

  // --- Peers: what it does stands in `owner-peers.ts`

  peers: PeersDoor['peers'] = () => this.#peers.peers()
  addPeer: PeersDoor['addPeer'] = (...args) => this.#peers.addPeer(...args)
  renamePeer: PeersDoor['renamePeer'] = (...args) => this.#peers.renamePeer(...args)
  tagPeer: PeersDoor['tagPeer'] = (...args) => this.#peers.tagPeer(...args)
  blockPeer: PeersDoor['blockPeer'] = (...args) => this.#peers.blockPeer(...args)
  removePeer: PeersDoor['removePeer'] = (...args) => this.#peers.removePeer(...args)
  knocks: PeersDoor['knocks'] = () => this.#peers.knocks()
  newTicket: PeersDoor['newTicket'] = (...args) => this.#peers.newTicket(...args)
  tickets: PeersDoor['tickets'] = () => this.#peers.tickets()
  cancelTicket: PeersDoor['cancelTicket'] = (...args) => this.#peers.cancelTicket(...args)
  ticketUsed: PeersDoor['ticketUsed'] = (...args) => this.#peers.ticketUsed(...args)

  // --- Rules: what it does stands in `owner-rules.ts`

  rules: RulesDoor['rules'] = () => this.#rules.rules()
  addRule: RulesDoor['addRule'] = (...args) => this.#rules.addRule(...args)
  editRule: RulesDoor['editRule'] = (...args) => this.#rules.editRule(...args)
  moveRule: RulesDoor['moveRule'] = (...args) => this.#rules.moveRule(...args)
  removeRule: RulesDoor['removeRule'] = (...args) => this.#rules.removeRule(...args)
  applyRules: RulesDoor['applyRules'] = (...args) => this.#rules.applyRules(...args)
  exportRules: RulesDoor['exportRules'] = () => this.#rules.exportRules()
  ruleHistory: RulesDoor['ruleHistory'] = (...args) => this.#rules.ruleHistory(...args)
  explainRequest: RulesDoor['explainRequest'] = (...args) => this.#rules.explainRequest(...args)

  // --- Approvals: what it does stands in `owner-approvals.ts`

  approvals: ApprovalsDoor['approvals'] = (...args) => this.#approvals.approvals(...args)
  explainApproval: ApprovalsDoor['explainApproval'] = (...args) =>
    this.#approvals.explainApproval(...args)
  decide: ApprovalsDoor['decide'] = (...args) => this.#approvals.decide(...args)
  watchApprovals: ApprovalsDoor['watchApprovals'] = (...args) =>
    this.#approvals.watchApprovals(...args)
  grants: ApprovalsDoor['grants'] = () => this.#approvals.grants()
  revokeGrant: ApprovalsDoor['revokeGrant'] = (...args) => this.#approvals.revokeGrant(...args)

  // --- Audit

  async auditEntries(
    options: { from?: number; count?: number } = {},
  ): Promise<readonly AuditEntry[]> {
    return this.#init.open().trail.entries(options)
  }

  async auditLines(options: { from?: number; head?: Uint8Array } = {}): Promise<AuditPage> {
    return this.#init.open().trail.page(options)
  }

  async cutAudit(options: { before?: number; dryRun?: boolean } = {}): Promise<AuditCut> {
    const { batch, trail } = this.#init.open()
    batch.flush()
    return trail.cut(options)
  }

  async verifyAudit(options: { witnesses?: readonly Uint8Array[] } = {}): Promise<AuditVerdict> {
    return this.#init.open().trail.verify(options.witnesses ?? [])
  }

  async certificateRequest(): Promise<Uint8Array> {
    this.#init.open()
    const { vault, publicKey: receiptKey } = this.#init.vault.head()
    const at = this.#init.clock.nowMs()
    const syncKey = await this.#change(({ tx }) => tx.sync.publicKey())
    return encodeCertificate({ vault, receiptKey, syncKey, at })
  }

  async setCertificate(envelope: Uint8Array): Promise<void> {
    if (envelope.byteLength > MAX_CERTIFICATE_BYTES) {
      throw new VaultError('invalid_argument', 'Cannot take certificate: it is over 1 KiB')
    }
    await this.#change((work, { book, trail }) => {
      const { tx, journal } = work
      book.setCertificate(tx, journal, envelope)
      const { publicKey: key } = this.#init.vault.head()
      trail.append(tx, journal, 'certificate', { key, peer: this.#init.peer })
    })
  }

  // --- Synchronisation: what it does stands in `sync/office.ts`

  async syncOwnKey(): Promise<{ vault: Uint8Array; key: Uint8Array; fingerprint: string }> {
    return await this.#init.open().sync.ownKey()
  }

  async syncAdd(init: SyncInit): Promise<SyncPartnership> {
    return await this.#init.open().sync.add(init)
  }

  async syncList(): Promise<readonly SyncPartnership[]> {
    return this.#init.open().sync.list()
  }

  async syncPin(name: string, vault: Uint8Array, key: Uint8Array): Promise<SyncPartnership> {
    return await this.#init.open().sync.pin(name, vault, key)
  }

  async syncPause(name: string, paused: boolean): Promise<SyncPartnership> {
    return await this.#init.open().sync.pause(name, paused)
  }

  async syncRemove(name: string): Promise<void> {
    await this.#init.open().sync.remove(name)
  }

  async syncConflicts(name?: string): Promise<readonly SyncConflict[]> {
    return this.#init.open().sync.conflicts(name)
  }

  async syncResolve(name: string, decision: SyncDecision): Promise<SyncPartnership> {
    return await this.#init.open().sync.resolve(name, decision)
  }

  async syncBegin(name: string, purpose?: SyncPurpose): Promise<SyncTurn> {
    return await this.#init.open().sync.begin(name, purpose)
  }

  async syncNext(session: Uint8Array, reply: SyncReply): Promise<SyncTurn> {
    return await this.#init.open().sync.next(session, reply)
  }

  async syncEnd(session: Uint8Array): Promise<void> {
    await this.#init.open().sync.end(session)
  }

  // --- Backups: what it does stands in `backups/office.ts`

  backupCreate(init: BackupWriting, call: Listening): AsyncIterable<BackupTurn<BackupSaid>> {
    return turnsOf(call.signal, (work) => this.#init.open().backups.create(init, work))
  }

  backupVerify(init: BackupReading, call: Listening): AsyncIterable<BackupTurn<BackupSaid>> {
    return turnsOf(call.signal, (work) => this.#init.open().backups.verify(init, work))
  }

  backupCompare(
    init: Omit<BackupRestoring, 'policy'>,
    call: Listening,
  ): AsyncIterable<BackupTurn<BackupCompared>> {
    return turnsOf(call.signal, (work) => this.#init.open().backups.compare(init, work))
  }

  backupRestore(init: BackupRestoring, call: Listening): AsyncIterable<BackupTurn<BackupRestored>> {
    return turnsOf(call.signal, (work) => this.#init.open().backups.restore(init, work))
  }

  backupDrill(init: BackupReading, call: Listening): AsyncIterable<BackupTurn<BackupDrilled>> {
    return turnsOf(call.signal, (work) => this.#init.open().backups.drill(init, work))
  }

  async backupNotes(): Promise<readonly BackupNote[]> {
    return await this.#init.open().backups.notes()
  }

  // ---

  /** One transaction. */
  async #change<T>(body: (work: Work, open: OpenParts) => T): Promise<T> {
    const open = this.#init.open()
    return await open.batch.run((work) => body(work, open))
  }

  async #unlocker(
    change: AuditFacts['unlocker']['change'],
    present: UnlockBy,
    by: UnlockBy,
    to: (present: Credential, credential: Credential) => Promise<{ id: string; kind: string }>,
  ): Promise<string> {
    const { id, kind } = await this.#withCredential(present, (shown) =>
      this.#withCredential(by, (credential) => to(shown, credential)),
    )
    await this.#change(({ tx, journal }, { trail }) => {
      trail.append(tx, journal, 'unlocker', { change, id, kind })
    })
    return id
  }

  async #withCredential<T>(by: UnlockBy, use: (credential: Credential) => Promise<T>): Promise<T> {
    using secret = this.#init.secrets.credential(by)
    return await use(
      by.by === 'key-file' ? { keyFile: secret.bytes } : { passphrase: secret.bytes },
    )
  }
}

interface Listening {
  readonly signal: AbortSignal
}

/** When a backup was written last, and when one was last proven. */
function lastOf(
  notes: readonly BackupNote[],
): Pick<GuardStatus, 'lastBackupAtMs' | 'lastProvenRestoreAtMs'> {
  const [newest] = notes
  const proven = notes.flatMap((note) => note.proven?.atMs ?? [])
  return {
    ...(newest === undefined ? {} : { lastBackupAtMs: newest.createdAtMs }),
    ...(proven.length === 0 ? {} : { lastProvenRestoreAtMs: Math.max(...proven) }),
  }
}
