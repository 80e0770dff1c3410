/** What comes through the owner door: one table of its methods, who may call them and what they take. */
import { STATUS_CODES } from '@stronghold/core'
import { z } from 'zod'

import type {
  BackupOpener,
  BackupOwnerDoor,
  BackupReader,
  BackupReading,
  BackupWriting,
  OwnerDoor,
  OwnerRole,
  PeerStep,
  RulePlace,
  SealedSecret,
  SyncDecision,
  SyncInit,
  SyncReply,
  UnlockBy,
} from '../doors.ts'
import { MAX_BACKUP_RECIPIENTS, MAX_SYNC_SEALED_BYTES } from '../limits.ts'
import type { WrittenRule } from '../rules/parse.ts'
import { doorOver } from './table.ts'
import type { DoorMethod, DoorTransport } from './table.ts'

/** One method of the owner door. */
export interface OwnerMethod<
  Args extends readonly unknown[] = readonly unknown[],
> extends DoorMethod<Args> {
  /** Who may call it; an admin may call all. */
  readonly role: OwnerRole
}

/** The arguments of a method that cross. */
export type OwnerArgs<M extends keyof OwnerDoor> = M extends 'watchApprovals'
  ? []
  : M extends 'ticketUsed'
    ? [id: Uint8Array]
    : M extends Exclude<keyof BackupOwnerDoor, 'backupNotes'>
      ? [init: Parameters<OwnerDoor[M]>[0]]
      : Parameters<OwnerDoor[M]>

const text = z.string().max(256)
const path = z.string().max(4096)
const when = z.int().min(0)
const bytes = (max: number, min = 0): z.ZodType<Uint8Array> =>
  z
    .custom<Uint8Array>((value) => value instanceof Uint8Array, 'Expected bytes')
    .refine((value) => value.byteLength <= max && value.byteLength >= min, 'Expected other bytes')
const plain = <T extends object>(): z.ZodType<T> =>
  z.custom<T>(
    (value) =>
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      !(value instanceof Uint8Array),
    'Expected an object',
  )
const hash = bytes(32, 32)
const tags = z.array(text).max(64)
const sealed: z.ZodType<SealedSecret> = z.strictObject({ sealed: bytes(4096) })
const unlockBy: z.ZodType<UnlockBy> = z.discriminatedUnion('by', [
  z.strictObject({ by: z.literal('passphrase'), passphrase: sealed }),
  z.strictObject({ by: z.literal('passphrase-file'), path }),
  z.strictObject({ by: z.literal('key-file'), path }),
])
const steps: z.ZodType<PeerStep[]> = z
  .array(
    z.strictObject({
      procedure: text,
      version: z.int(),
      input: plain<Record<string, unknown>>(),
    }),
  )
  .max(64)
// Rules are judged by their own reader, which names what is wrong and what was meant.
const rule = plain<WrittenRule>()
const place: z.ZodType<RulePlace> = z.union([
  z.strictObject({ first: z.literal(true) }),
  z.strictObject({ before: text }),
])
const dryRun = z.strictObject({ dryRun: z.boolean().exactOptional() }).optional()

const syncPath = z.string().max(2048)
const syncInit: z.ZodType<SyncInit> = z.strictObject({
  name: text,
  peer: text,
  vault: bytes(16, 16),
  key: bytes(32, 32),
  paths: z.array(syncPath).max(64).exactOptional(),
  maps: z
    .array(z.strictObject({ from: syncPath, to: syncPath }))
    .max(64)
    .exactOptional(),
  mode: z.enum(['two-way', 'push', 'pull']).exactOptional(),
  merge: z.enum(['keep-old', 'newest-version', 'replace']).exactOptional(),
  everyMs: when.exactOptional(),
  onChange: z.boolean().exactOptional(),
})
const syncDecision: z.ZodType<SyncDecision> = z.union([
  z.strictObject({ accept: z.enum(['older', 'newer']) }),
  z.strictObject({
    record: z.union([syncPath, bytes(16, 16)]),
    keep: z.enum(['ours', 'theirs']),
  }),
])
// What a partner says is judged inside; here it is only of the right form.
const syncReply: z.ZodType<SyncReply> = z.discriminatedUnion('state', [
  z.strictObject({
    state: z.literal('key'),
    vault: bytes(16, 16),
    key: bytes(32, 32),
    certificate: bytes(4096).exactOptional(),
  }),
  z.strictObject({
    state: z.literal('begun'),
    session: bytes(16, 16),
    vault: bytes(16, 16),
    key: bytes(32, 32),
    nonce: bytes(16, 16),
    sealed: bytes(MAX_SYNC_SEALED_BYTES),
  }),
  z.strictObject({ state: z.literal('step'), sealed: bytes(MAX_SYNC_SEALED_BYTES) }),
  z.strictObject({
    state: z.literal('failed'),
    code: z.enum(STATUS_CODES),
    reason: text.exactOptional(),
    message: z.string().max(512),
  }),
])

const passphraseOf = [
  z.strictObject({ by: z.literal('passphrase'), passphrase: sealed }),
  z.strictObject({ by: z.literal('passphrase-file'), path }),
] as const
const opener: z.ZodType<BackupOpener> = z.discriminatedUnion('by', [
  ...passphraseOf,
  z.strictObject({ by: z.literal('identity-file'), path }),
])
const reader: z.ZodType<BackupReader> = z.discriminatedUnion('by', [
  ...passphraseOf,
  z.strictObject({
    by: z.literal('recipients'),
    recipients: z.array(text).min(1).max(MAX_BACKUP_RECIPIENTS),
  }),
])
const backupReading = { from: path, opener }
const backupWriting: z.ZodType<BackupWriting> = z.strictObject({
  to: path,
  for: reader,
  replace: z.boolean().exactOptional(),
  armor: z.boolean().exactOptional(),
})
const backupRead: z.ZodType<BackupReading> = z.strictObject(backupReading)
const backupPaths = { ...backupReading, paths: syncPath.exactOptional() }

function call<Args extends readonly unknown[]>(
  args: z.ZodType<Args>,
  role: OwnerRole = 'admin',
  kind: OwnerMethod<Args>['kind'] = 'call',
): OwnerMethod<Args> {
  return { role, kind, args }
}

/** Every method of the owner door. */
export const OWNER_METHODS: { readonly [M in keyof OwnerDoor]: OwnerMethod<OwnerArgs<M>> } = {
  boxKey: call(z.tuple([]), 'approver'),
  status: call(z.tuple([]), 'approver'),
  unlock: call(z.tuple([unlockBy])),
  lock: call(z.tuple([])),
  unlockers: call(z.tuple([])),
  addUnlocker: call(z.tuple([unlockBy, unlockBy, text])),
  removeUnlocker: call(z.tuple([text])),
  changeUnlocker: call(z.tuple([unlockBy, unlockBy, text])),
  run: call(
    z.tuple([
      steps,
      z
        .strictObject({ reason: text.exactOptional(), receipt: z.boolean().exactOptional() })
        .optional(),
    ]),
  ),
  records: call(z.tuple([z.string().max(2048).optional()])),
  storeGet: call(z.tuple([z.string().max(2048)])),
  storeSet: call(z.tuple([z.string().max(2048), bytes(4 * 1024 ** 2), when.optional()])),
  storeDelete: call(z.tuple([z.string().max(2048)])),
  storeList: call(z.tuple([z.string().max(2048).optional()])),
  peers: call(z.tuple([])),
  addPeer: call(z.tuple([text, text, tags.optional()])),
  renamePeer: call(z.tuple([text, text])),
  tagPeer: call(z.tuple([text, tags])),
  blockPeer: call(z.tuple([text, z.boolean()])),
  removePeer: call(z.tuple([text])),
  knocks: call(z.tuple([])),
  newTicket: call(
    z.tuple([
      z.strictObject({
        name: text.exactOptional(),
        tags: tags.exactOptional(),
        lifetimeMs: when,
      }),
    ]),
  ),
  tickets: call(z.tuple([])),
  cancelTicket: call(z.tuple([bytes(64)])),
  ticketUsed: call(z.tuple([bytes(64)]), 'admin', 'wait'),
  rules: call(z.tuple([])),
  addRule: call(z.tuple([rule, place.optional(), dryRun])),
  editRule: call(z.tuple([text, rule, dryRun])),
  moveRule: call(z.tuple([text, place, dryRun])),
  removeRule: call(z.tuple([text, dryRun])),
  applyRules: call(z.tuple([z.string().max(4 * 1024 ** 2), dryRun])),
  exportRules: call(z.tuple([])),
  ruleHistory: call(z.tuple([text.optional()])),
  explainRequest: call(
    z.tuple([
      z.strictObject({
        peer: text,
        use: text,
        path: z.string().max(2048),
        format: text.exactOptional(),
      }),
    ]),
  ),
  approvals: call(z.tuple([z.strictObject({ from: text.exactOptional() }).optional()]), 'approver'),
  explainApproval: call(z.tuple([hash]), 'approver'),
  decide: call(
    z.tuple([
      z.array(hash).min(1).max(1024),
      // Whatever else arrives counts as `once`.
      z.enum(['once', 'time', 'deny', 'deny-and-block']).catch('once'),
      z
        .strictObject({
          forMs: when.exactOptional(),
          by: text.exactOptional(),
          proof: unlockBy.exactOptional(),
        })
        .optional(),
    ]),
    'approver',
  ),
  watchApprovals: call(z.tuple([]), 'approver', 'stream'),
  grants: call(z.tuple([])),
  revokeGrant: call(z.tuple([text])),
  auditEntries: call(
    z.tuple([
      z
        .strictObject({ from: when.exactOptional(), count: z.int().min(0).exactOptional() })
        .optional(),
    ]),
  ),
  auditLines: call(
    z.tuple([
      z.strictObject({ from: when.exactOptional(), head: bytes(1024).exactOptional() }).optional(),
    ]),
  ),
  cutAudit: call(
    z.tuple([
      z
        .strictObject({ before: when.exactOptional(), dryRun: z.boolean().exactOptional() })
        .optional(),
    ]),
  ),
  verifyAudit: call(
    z.tuple([
      z
        .strictObject({
          witnesses: z
            .array(bytes(1024 ** 2))
            .max(1024)
            .exactOptional(),
        })
        .optional(),
    ]),
  ),
  certificateRequest: call(z.tuple([])),
  setCertificate: call(z.tuple([bytes(4096)])),
  syncOwnKey: call(z.tuple([])),
  syncAdd: call(z.tuple([syncInit])),
  syncList: call(z.tuple([])),
  syncPin: call(z.tuple([text, bytes(16, 16), bytes(32, 32)])),
  syncPause: call(z.tuple([text, z.boolean()])),
  syncRemove: call(z.tuple([text])),
  syncConflicts: call(z.tuple([text.optional()])),
  syncResolve: call(z.tuple([text, syncDecision])),
  syncBegin: call(z.tuple([text, z.enum(['run', 'preview', 'verify']).optional()])),
  syncNext: call(z.tuple([bytes(16, 16), syncReply])),
  syncEnd: call(z.tuple([bytes(16, 16)])),
  backupCreate: call(z.tuple([backupWriting]), 'admin', 'stream'),
  backupVerify: call(z.tuple([backupRead]), 'admin', 'stream'),
  backupCompare: call(z.tuple([z.strictObject(backupPaths)]), 'admin', 'stream'),
  backupRestore: call(
    z.tuple([
      z.strictObject({ ...backupPaths, policy: z.enum(['keep', 'replace']).exactOptional() }),
    ]),
    'admin',
    'stream',
  ),
  backupDrill: call(z.tuple([backupRead]), 'admin', 'stream'),
  backupNotes: call(z.tuple([])),
}

/** An owner door at the other end of something. */
export function ownerOver(transport: DoorTransport): OwnerDoor {
  return doorOver<OwnerDoor>(OWNER_METHODS, transport)
}
