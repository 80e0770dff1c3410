/**
 * The two doors of a guard, as they look from outside: what the network may ask, and what the owner at the machine may.
 * All of it can cross a thread or a socket: plain values in, plain values out, nothing shared. `openGuard()` and
 * `openKeeper()` give the same.
 */
import type { Ran, StatusCode } from '@stronghold/core'
import type { Labels, RecordType, Usage } from '@stronghold/vault/catalog'

import type { Direction } from './rules/diff.ts'
import type { WrittenRule } from './rules/parse.ts'
import type { Effect } from './rules/rule.ts'
import type { BackupOwnerDoor } from './backups/doors.ts'
import type { SyncNetworkDoor, SyncOwnerDoor } from './sync/doors.ts'

export type * from './backups/doors.ts'
export type * from './sync/doors.ts'

/** A guard in front of one vault. */
export interface Guard extends AsyncDisposable {
  readonly network: NetworkDoor
  readonly owner: OwnerDoor
  /** Locks, tells everybody who waits, and lets go. Again does nothing. */
  close(): Promise<void>
}

// ---------------------------------------------------------------- the network door

/** Who asks, as the connection proves it. */
export interface Asker {
  /** Peer id, text. */
  readonly peer: string
  /** How it is connected, for people: an address, or `relayed by …`. Never decides anything. */
  readonly connection: string
}

/** One step that a peer asks for. */
export interface PeerStep {
  readonly procedure: string
  readonly version: number
  /** As the catalog's input schema takes it; whole fields may be `{ step, output }`. */
  readonly input: Readonly<Record<string, unknown>>
}

/** What a peer asks for. */
export interface PeerRequest {
  /** 16 bytes, made by the peer; with the peer's id it names the request for ever. */
  readonly id: Uint8Array
  readonly steps: readonly PeerStep[]
  /** Why, in the peer's own words: a claim. At most 256 characters. */
  readonly reason: string
  /** How long the peer waits, from the first copy's arrival; at most 24 h. */
  readonly timeoutMs: number
  /** Is a receipt wanted. */
  readonly receipt: boolean
}

/** Why a request did not run. Stands beside the status code on the wire (STYLE: closed set). */
export type GuardReason =
  | 'denied_by_rule'
  | 'denied_by_person'
  | 'pending'
  | 'expired'
  | 'canceled'
  | 'locked'
  | 'conflict'
  | 'audit_unavailable'
  | 'answer_gone'

/** What a peer is told. */
export type Answer =
  | {
      readonly state: 'done'
      /** One per step, without what a later step took. */
      readonly outputs: readonly Readonly<Record<string, unknown>>[]
      readonly receipt?: Uint8Array
      /** The signed head of the vault afterwards (`docs/receipts.md`). */
      readonly head: Uint8Array
    }
  | {
      readonly state: 'pending'
      /** By this vault's clock. */
      readonly expiresAtMs: number
      readonly remainingMs: number
    }
  | {
      readonly state: 'failed'
      readonly code: StatusCode
      readonly ran: Ran
      readonly reason?: GuardReason
      /** One sentence, without anything that the peer may not know. */
      readonly message: string
      /** The rule that decided, where it says `tell`. */
      readonly rule?: { readonly id: string; readonly note: string }
      readonly head?: Uint8Array
    }

/** Which records somebody wants to see. */
export interface WantedRecords {
  /** Default `**`. */
  readonly pattern?: string
  /** The last path of the page before. */
  readonly after?: string
}

/** Some of the records that a peer may use. */
export interface UsablePage {
  /** In the order of paths, at most `MAX_USABLE_PAGE`. */
  readonly records: readonly UsableRecord[]
  /** Whether there are others behind them. */
  readonly more: boolean
}

/** A record that a peer may use, and nothing about it that the peer has no use for. */
export interface UsableRecord {
  readonly path: string
  readonly type: RecordType
  readonly version: number
  readonly publicKey?: Uint8Array
  /** What some rule allows or asks about, by procedure and role. */
  readonly uses: readonly { readonly use: string; readonly effect: 'allow' | 'ask' }[]
}

/** What the network may ask of a guard. Nothing here unlocks, approves, or changes rules or peers; `pair` makes one peer known. */
export interface NetworkDoor extends SyncNetworkDoor {
  /**
   * Takes a request, once per peer and id: the same again is the same request, another under its id is `conflict`. Settles
   * at the first answer there is, `pending` where a person is asked.
   */
  submit(asker: Asker, request: PeerRequest): Promise<Answer>
  /** Settles when the request is no longer pending, or says `pending` when the signal fires. Unknown: `not_found`. */
  wait(asker: Asker, id: Uint8Array, options?: { signal?: AbortSignal }): Promise<Answer>
  /** Takes a pending request back. What ran already stays done, and is answered so. */
  cancel(asker: Asker, id: Uint8Array): Promise<Answer>
  /** The peer has these answers; they need not be kept. */
  acknowledge(asker: Asker, ids: readonly Uint8Array[]): Promise<void>
  /**
   * What this peer may use; nothing more.
   *
   * @throws `VaultError` `invalid_argument` for text that is no pattern
   */
  list(asker: Asker, wanted?: WantedRecords): Promise<UsablePage>
  /** May this peer come in at all; strangers are counted. Answers also while locked. */
  standing(asker: Asker): Promise<'known' | 'unknown' | 'blocked'>
  /** Peers that lost their standing, as it happens: their connections are to be cut. */
  cutOff(options: { signal: AbortSignal }): AsyncIterable<string>
  /** How many tickets are open: now, and each time that it changes. Pairing is offered while there is one. */
  pairing(options: { signal: AbortSignal }): AsyncIterable<number>
  /** The signed head of the vault (`docs/audit.md §3`); `undefined` while locked. */
  head(): Promise<Uint8Array | undefined>
  /** Proves a ticket that is open at the owner door: makes exactly this peer known, without any right. */
  pair(asker: Asker, ticket: Uint8Array, proof: Uint8Array): Promise<PairAnswer>
}

/** Whether a pairing was taken; what is wrong with it stays here. */
export type PairAnswer =
  | {
      readonly paired: true
      readonly proof: Uint8Array
      /** What the peer is called here. */
      readonly name: string
    }
  | { readonly paired: false }

// ---------------------------------------------------------------- the owner door

/** Who stands at the owner door, by the token shown. An approver sees and decides approvals, and reads status. */
export type OwnerRole = 'admin' | 'approver'

/** How a vault stands. Readable while it is locked, as far as it is known then. */
export interface GuardStatus {
  readonly vault: Uint8Array | undefined
  readonly locked: boolean
  readonly records: number | undefined
  readonly pending: number | undefined
  /** Signed; `undefined` while locked. */
  readonly head: Uint8Array | undefined
  readonly memoryLocked: 'yes' | 'no' | 'unknown'
  /** Requests that wait for the vault to be unlocked. */
  readonly intake: number
  readonly auditBytes: number | undefined
  /** Does whoever approves have to show again what unlocks the vault. */
  readonly confirms: boolean
  /** When a backup was written last, and when one was last proven by a drill; not told while locked. */
  readonly lastBackupAtMs?: number
  readonly lastProvenRestoreAtMs?: number
}

/** A peer that the owner knows. */
export interface KnownPeer {
  readonly peer: string
  readonly name: string
  readonly tags: readonly string[]
  readonly blocked: boolean
  readonly addedAtMs: number
  readonly via: 'added' | 'paired'
}

/** Something that a person is asked about. */
export interface PendingApproval {
  /** `a-` and 20 base32 characters of the bound hash. */
  readonly id: string
  readonly boundHash: Uint8Array
  /** `q-` and a prefix of the request id. */
  readonly request: string
  readonly peer: string
  readonly peerName: string
  readonly connection: string
  readonly askedAtMs: number
  readonly expiresAtMs: number
  /** A claim of the peer's, escaped and cut. */
  readonly reason: string
  readonly rule: { readonly id: string; readonly sentence: string; readonly note: string }
  /** What would run, a line per step, and what would be signed, as derived from the very bytes. */
  readonly steps: readonly Preview[]
  /** Whether a decision may be remembered for a time. */
  readonly grantable: boolean
}

/** Some of what waits for a person. */
export interface ApprovalPage {
  readonly approvals: readonly PendingApproval[]
  /** Where the next page begins; absent where there is none. */
  readonly next?: string
}

/** What one step would do, for people. All text is escaped and cut. */
export interface Preview {
  readonly procedure: string
  /** Role and path of each record. */
  readonly records: readonly {
    readonly role: string
    readonly path: string
    readonly version: number
  }[]
  readonly format?: string
  /** Nobody can tell from the bytes what this is. */
  readonly blind: boolean
  /** One line. */
  readonly title: string
  /** Names and values in order: `namespace`, `git tree`, `to` … */
  readonly details: readonly { readonly name: string; readonly value: string }[]
}

/** What a person decides. Whatever else arrives counts as `once`. */
export type Choice = 'once' | 'time' | 'deny' | 'deny-and-block'

/** What came of a decision. */
export interface Decided {
  readonly boundHash: Uint8Array
  /** Where the request is now (`docs/approvals.md`). */
  readonly state: string
  /** Until when the approval is remembered; absent where it is not, and counts once. */
  readonly rememberedUntilMs?: number
}

/** A remembered approval. */
export interface Grant {
  readonly id: string
  readonly peer: string
  readonly use: string
  readonly path: string
  readonly format?: string
  readonly rule: string
  readonly grantedAtMs: number
  readonly expiresAtMs: number
}

/** A rule with what happened to it. */
export interface RuleVersion {
  readonly atMs: number
  readonly change: 'added' | 'edited' | 'moved' | 'removed'
  readonly rule: WrittenRule & { readonly id: string }
}

/** What a change of rules does, told before it is done. */
export interface RuleChange {
  readonly direction: Direction
  /** One sentence per example of what is decided otherwise. */
  readonly examples: readonly string[]
  /** The rule that was added or changed, as a sentence, with its place. */
  readonly sentence?: string
  readonly position?: number
  readonly of?: number
  readonly id?: string
  /** An earlier rule that leaves it nothing to decide. */
  readonly shadowedBy?: string
}

/** Where a new rule goes. Default: last. */
export type RulePlace = { readonly first: true } | { readonly before: string }

/** One audit entry as people and JSON lines see it. Never a secret. */
export interface AuditEntry {
  readonly position: number
  readonly atMs: number
  readonly event: string
  /** Event by event; the table stands in `docs/audit.md`. */
  readonly facts: Readonly<Record<string, unknown>>
}

/** Lines of an export, without their ends. */
export interface AuditPage {
  readonly lines: readonly string[]
  /** Signed: the last line of the last page shows it. */
  readonly head: Uint8Array
  /** Where the next page begins; the last page has none. */
  readonly next?: number
}

/** What was cut of an audit, or would be. */
export interface AuditCut {
  readonly entries: number
  /** The first position that is left. */
  readonly from: number
}

/** What `audit verify` found. */
export interface AuditVerdict {
  readonly entries: number
  readonly head: Uint8Array
  readonly signed: boolean
  /** One sentence per fault; none where all is well. */
  readonly faults: readonly string[]
}

/** A record as its owner sees it. */
export interface OwnerRecord {
  readonly id: Uint8Array
  readonly path: string
  readonly type: RecordType
  readonly usage: readonly Usage[]
  readonly egress: Labels['egress']
  readonly sync: boolean
  readonly origin: string
  readonly version: number
  readonly minimum: number
  readonly versions: number
  readonly createdAtMs: number
  readonly changedAtMs: number
  readonly publicKey?: Uint8Array
}

/** Secrets on their way to a guard: sealed with `crypto_box_seal` to its `boxKey`, so that they stand in no other heap. */
export interface SealedSecret {
  readonly sealed: Uint8Array
}

/** How a vault is unlocked from the owner door. A passphrase file or descriptor is read straight into locked memory. */
export type UnlockBy =
  | { readonly by: 'passphrase'; readonly passphrase: SealedSecret }
  | { readonly by: 'passphrase-file'; readonly path: string }
  | { readonly by: 'key-file'; readonly path: string }

/** What the owner at the machine may ask. Every call is audited; an `approver` is refused all but what says so. */
export interface OwnerDoor extends SyncOwnerDoor, BackupOwnerDoor {
  /** Approvers too. Public key to which secrets are sealed; made anew at each start. */
  boxKey(): Promise<Uint8Array>
  /** Approvers too. */
  status(): Promise<GuardStatus>
  unlock(by: UnlockBy): Promise<void>
  lock(): Promise<void>
  unlockers(): Promise<readonly { id: string; kind: string; name: string; createdAtMs: number }[]>
  /** Another unlocker beside those there are, one of which is shown. @returns its id */
  addUnlocker(present: UnlockBy, added: UnlockBy, name: string): Promise<string>
  /** Never the last. */
  removeUnlocker(id: string): Promise<void>
  /** Puts another in the place of the one shown; the data key stays. @returns its id */
  changeUnlocker(present: UnlockBy, by: UnlockBy, name: string): Promise<string>

  /** Runs a chain without rules; labels, ceilings and the audit hold. Secret inputs are `SealedSecret`s. */
  run(
    steps: readonly PeerStep[],
    options?: { reason?: string; receipt?: boolean },
  ): Promise<{ outputs: readonly Readonly<Record<string, unknown>>[]; receipt?: Uint8Array }>
  records(pattern?: string): Promise<readonly OwnerRecord[]>
  storeGet(key: string): Promise<Uint8Array | undefined>
  storeSet(key: string, value: Uint8Array, lifetimeMs?: number): Promise<void>
  storeDelete(key: string): Promise<boolean>
  storeList(
    prefix?: string,
  ): Promise<readonly { key: string; bytes: number; expiresAtMs?: number }[]>

  peers(): Promise<readonly KnownPeer[]>
  addPeer(peer: string, name: string, tags?: readonly string[]): Promise<void>
  renamePeer(peer: string, name: string): Promise<void>
  tagPeer(peer: string, tags: readonly string[]): Promise<void>
  blockPeer(peer: string, blocked: boolean): Promise<void>
  removePeer(peer: string): Promise<void>
  /** Strangers that tried, newest first, bounded. */
  knocks(): Promise<readonly { peer: string; connection: string; atMs: number; times: number }[]>
  newTicket(init: { name?: string; tags?: readonly string[]; lifetimeMs: number }): Promise<{
    id: Uint8Array
    /** 16 bytes, shown once. */
    secret: Uint8Array
    expiresAtMs: number
  }>
  tickets(): Promise<
    readonly { id: Uint8Array; name: string; expiresAtMs: number; wrong: number }[]
  >
  cancelTicket(id: Uint8Array): Promise<boolean>
  /** Settles when the ticket was used, with the peer, or is gone. */
  ticketUsed(id: Uint8Array, options: { signal: AbortSignal }): Promise<KnownPeer | undefined>

  rules(): Promise<readonly { rule: WrittenRule & { id: string }; sentence: string }[]>
  /** With `dryRun` nothing changes and the answer is the same. */
  addRule(rule: WrittenRule, at?: RulePlace, options?: { dryRun?: boolean }): Promise<RuleChange>
  editRule(id: string, rule: WrittenRule, options?: { dryRun?: boolean }): Promise<RuleChange>
  moveRule(id: string, at: RulePlace, options?: { dryRun?: boolean }): Promise<RuleChange>
  removeRule(id: string, options?: { dryRun?: boolean }): Promise<RuleChange>
  /** All rules at once, from TOML. */
  applyRules(toml: string, options?: { dryRun?: boolean }): Promise<RuleChange>
  exportRules(): Promise<string>
  ruleHistory(id?: string): Promise<readonly RuleVersion[]>
  /** How a request would be decided now, and why. */
  explainRequest(asked: {
    peer: string
    use: string
    path: string
    format?: string
  }): Promise<{ verdict: Effect; text: string; near: readonly string[]; needed?: WrittenRule }>

  /**
   * Approvers too. What waits for a person, page by page in the order in which it was asked: from where the page before names as
   * `next`. `allApprovals` goes through all of them.
   */
  approvals(options?: { from?: string }): Promise<ApprovalPage>
  /** Approvers too. Why a person is asked about one that is pending, by the rules of this moment: a sentence for each part. */
  explainApproval(boundHash: Uint8Array): Promise<readonly string[]>
  /**
   * Approvers too. Names every hash it covers; a decision about none that is pending is refused. Where `confirmApprovals` is
   * set, whoever approves shows by `proof` what unlocks the vault, the passphrase where it has one: without it, or with a
   * wrong one, it is `unauthenticated`, and after a few wrong ones `resource_exhausted` for a while.
   */
  decide(
    boundHashes: readonly Uint8Array[],
    choice: Choice,
    options?: { forMs?: number; by?: string; proof?: UnlockBy },
  ): Promise<readonly Decided[]>
  /** Approvers too. What is asked, decided, expired, as it happens. */
  watchApprovals(options: {
    signal: AbortSignal
  }): AsyncIterable<
    | { readonly type: 'asked'; readonly approval: PendingApproval }
    | { readonly type: 'ended'; readonly boundHash: Uint8Array; readonly state: string }
  >
  grants(): Promise<readonly Grant[]>
  revokeGrant(id: string): Promise<boolean>

  auditEntries(options?: { from?: number; count?: number }): Promise<readonly AuditEntry[]>
  /**
   * An export of the audit, page by page (`audit.md §2`): from the position that the page before names as `next`, up to the
   * head that the first page gives. `exportLines` goes through all of them.
   */
  auditLines(options?: { from?: number; head?: Uint8Array }): Promise<AuditPage>
  /**
   * Cuts the oldest entries, up to the newest checkpoint before a time, milliseconds; by default up to one that is written now.
   * With `dryRun` nothing changes and the answer is the same.
   */
  cutAudit(options?: { before?: number; dryRun?: boolean }): Promise<AuditCut>
  verifyAudit(options?: { witnesses?: readonly Uint8Array[] }): Promise<AuditVerdict>
  /** What the node's identity signs, so that receipts verify against the peer id (`audit.md §4`). */
  certificateRequest(): Promise<Uint8Array>
  /** The signed envelope around it; goes with every receipt from now on. */
  setCertificate(envelope: Uint8Array): Promise<void>
}
