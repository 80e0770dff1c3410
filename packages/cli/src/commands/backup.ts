/** `backup`: written for whoever may open it, read and tested, put back, and proven by a drill. */
import { existsSync, statSync } from 'node:fs'
import { resolve } from 'node:path'

import { equalBytes, toHex } from '@stronghold/core'
import type {
  BackupCompared,
  BackupNote,
  BackupOpener,
  BackupReader,
  BackupSaid,
  BackupTurn,
  OwnerDoor,
} from '@stronghold/guard'
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Call, Command, Option } from '../command.ts'
import { isScheduled, scheduledFiles } from '../daemon/backups.ts'
import { printMoment } from '../duration.ts'
import { Failure, failureOf, quoted } from '../failure.ts'
import { hasVault } from '../home.ts'
import { remote } from '../terminal.ts'

const SLAB_BYTES = 256 * 1024
/** Differences that are shown. */
const MAX_SHOWN = 40

const OPENING = {
  identity: { value: 'FILE', says: 'open the backup by a file of age-keygen' },
  'backup-passphrase-file': { value: 'FILE', says: 'passphrase of the backup, a file of one line' },
} as const satisfies Readonly<Record<string, Option>>

const RESTORING = {
  ...OPENING,
  replace: { says: "where both have something, take the backup's" },
  path: { value: 'PATTERN', says: 'only records whose paths match' },
  yes: { says: 'do it; without it, only the difference is shown' },
} as const satisfies Readonly<Record<string, Option>>

const WRITING = {
  to: { value: 'FILE', says: 'where to' },
  recipient: { value: 'AGE1', says: 'who can open it, in the place of the setting', many: true },
  'backup-passphrase-file': OPENING['backup-passphrase-file'],
  armor: { says: 'as text' },
  replace: { says: 'put it in the place of a file that stands there' },
} as const satisfies Readonly<Record<string, Option>>

const saidShape = z.object({
  file: z.string(),
  vault: z.string(),
  ours: z.boolean(),
  at: z.string(),
  generation: z.int(),
  records: z.int(),
  versions: z.int(),
  entries: z.int(),
})

function saidJson(file: string, said: BackupSaid): z.infer<typeof saidShape> {
  const { vault, isOurs: ours, createdAtMs, generation, records, versions, entries } = said
  const at = printMoment(createdAtMs)
  return { file, vault: toHex(vault), ours, at, generation, records, versions, entries }
}

const create = defineCommand({
  name: 'backup create',
  says: 'Write a backup, an age file, of everything in the vault',
  options: WRITING,
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold backup create --to vault.age', 'asks for a passphrase, which age -d takes, too'],
    ['stronghold backup create --to vault.age --recipient age1…', 'for whoever holds that key'],
  ],
  prints: saidShape,
  async run(call) {
    const { io, options, terminal, withOwner, dryRun } = call
    if (options.to === undefined) {
      throw new Failure('usage', 'cannot write the backup', {
        reason: 'no file is named',
        hint: 'stronghold backup create --to FILE',
      })
    }
    const to = resolve(io.cwd, options.to)
    if (dryRun) {
      await terminal.result({ file: to, dryRun: true }, `would write ${to}`)
      return
    }
    const { armor = false, replace = false } = options
    const said = await withOwner(async (owner) => {
      const init = { to, for: await readerOf(call, owner), armor, replace }
      return await finished(call, 'writing', (signal) => owner.backupCreate(init, { signal }))
    })
    await terminal.result(
      saidJson(to, said),
      `wrote ${counted(said.records)} to ${to}\nto prove it: stronghold backup drill ${options.to}`,
    )
  },
})

const verify = defineCommand({
  name: 'backup verify',
  says: 'Read a backup to its end and test every secret in it',
  operands: 'FILE',
  options: OPENING,
  unlocks: true,
  examples: [
    ['stronghold backup verify vault.age', 'asks for its passphrase'],
    ['stronghold backup verify vault.age --identity key.txt', 'opened by a key'],
  ],
  prints: saidShape,
  async run(call) {
    const from = fileOf(call)
    const said = await call.withOwner(async (owner) => {
      const opener = await openerOf(call, owner)
      return await finished(call, 'reading', (signal) =>
        owner.backupVerify({ from, opener }, { signal }),
      )
    })
    const whose = said.isOurs ? 'this vault' : 'another vault'
    await call.terminal.result(
      saidJson(from, said),
      `whole: ${counted(said.records)} of ${whose}, from ${printMoment(said.createdAtMs)}`,
    )
  },
})

const restore = defineCommand({
  name: 'backup restore',
  says: 'Put a backup into the vault, or make the vault of it where there is none',
  operands: 'FILE',
  options: RESTORING,
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold backup restore vault.age --dry-run', 'how it differs from the vault'],
    ['stronghold backup restore vault.age --path "release/**" --yes', 'some of it'],
  ],
  prints: z.object({
    file: z.string(),
    added: z.int(),
    revived: z.int(),
    changed: z.int(),
    replaced: z.int(),
    entries: z.int(),
    isNew: z.boolean(),
  }),
  async run(call) {
    const { options, terminal, dryRun, withOwner } = call
    const file = fileOf(call)
    if (!hasVault(call.home)) {
      await restoreHome(call, file)
      return
    }
    await withOwner(async (owner) => {
      const paths = options.path === undefined ? {} : { paths: options.path }
      const opener = await openerOf(call, owner)
      const compared = await finished(call, 'comparing', (signal) =>
        owner.backupCompare({ from: file, opener, ...paths }, { signal }),
      )
      const keeps =
        options.replace === true ? '' : '\nwithout --replace, only what is added comes in'
      const shown = `${differenceText(terminal, compared)}${compared.differ === 0 ? '' : keeps}`
      if (dryRun) {
        const { records: differ, ...rest } = compared
        const json = { ...rest, backup: saidJson(file, rest.backup), records: differ }
        await terminal.result({ file, dryRun: true, ...json }, shown)
        return
      }
      if (compared.differ === 0 && compared.entries === 0) {
        const nothing = { added: 0, revived: 0, changed: 0, replaced: 0, entries: 0 }
        await terminal.result({ file, ...nothing, isNew: false }, `nothing to do: ${shown}`)
        return
      }
      if (options.yes !== true) {
        await terminal.note(shown)
        throw new Failure('usage', 'cannot restore the backup', {
          reason: 'nobody confirmed what it would change',
          hint: 'the same again with --yes',
        })
      }
      const policy = options.replace === true ? 'replace' : 'keep'
      const init = { from: file, opener: await openerOf(call, owner), policy, ...paths } as const
      const restored = await finished(call, 'restoring', (signal) =>
        owner.backupRestore(init, { signal }),
      )
      const { added, revived, changed, replaced, entries } = restored
      await terminal.result(
        { file, added, revived, changed, replaced, entries, isNew: false },
        `restored: ${added} added, ${revived} brought back, ${changed} changed, ${replaced} replaced`,
      )
    })
  },
})

const drill = defineCommand({
  name: 'backup drill',
  says: 'Prove a backup: restore it into a scratch vault and compare it with the vault',
  operands: 'FILE',
  options: OPENING,
  unlocks: true,
  examples: [
    ['stronghold backup drill vault.age', 'what it covers, how old it is, how long it took'],
    ['stronghold backup drill vault.age --identity key.txt --json', 'for a program'],
  ],
  prints: z.object({
    backup: saidShape,
    restored: z.int(),
    live: z.int(),
    covered: z.int(),
    missing: z.array(z.string()),
    missingCount: z.int(),
    changed: z.array(z.string()),
    changedCount: z.int(),
    gone: z.int(),
    ageMs: z.int(),
    tookMs: z.int(),
  }),
  async run(call) {
    const { terminal } = call
    const from = fileOf(call)
    const drilled = await call.withOwner(async (owner) => {
      const opener = await openerOf(call, owner)
      return await finished(call, 'restoring', (signal) =>
        owner.backupDrill({ from, opener }, { signal }),
      )
    })
    const { backup, restored, live, covered, missing, missingCount, changed, changedCount } =
      drilled
    const { gone, ageMs, tookMs } = drilled
    const line = (name: string, text: string): string =>
      `${terminal.strong(name.padEnd(9))} ${text}`
    const some = (paths: readonly string[], count: number): string =>
      paths.length === 0
        ? 'none'
        : `${count}: ${paths
            .slice(0, 5)
            .map((path) => remote(path))
            .join(', ')}${count > 5 ? ' …' : ''}`
    await terminal.result(
      { ...drilled, backup: saidJson(from, backup) },
      [
        line('restored', `${counted(restored)}, each tested and read back`),
        line('covers', backup.isOurs ? `${covered} of ${live} records` : 'another vault'),
        line('missing', some(missing, missingCount)),
        line('changed', some(changed, changedCount)),
        line('gone', `${gone} that the vault does not have any more`),
        line('age', inWords(ageMs)),
        line('took', `${(tookMs / 1000).toFixed(1)} s`),
      ].join('\n'),
    )
  },
})

const list = defineCommand({
  name: 'backup list',
  says: 'List the backups that are remembered, with those of the configured directory',
  unlocks: true,
  examples: [
    ['stronghold backup list', 'age, records, when a restore was proven'],
    ['stronghold backup list --json', 'for a program'],
  ],
  prints: z.object({
    backups: z.array(
      z.object({
        file: z.string(),
        at: z.string(),
        there: z.boolean(),
        bytes: z.int().nullable(),
        records: z.int().nullable(),
        proven: z.string().nullable(),
      }),
    ),
  }),
  async run({ io, config, terminal, withOwner }) {
    const { notes, vault } = await withOwner(async (owner) => ({
      notes: await owner.backupNotes(),
      vault: (await owner.status()).vault ?? new Uint8Array(16),
    }))
    const directory = config.find('backup.directory').value
    const files = typeof directory === 'string' ? scheduledFiles(directory, vault) : []
    const backups = listed(notes, files)
    const nowMs = io.clock.nowMs()
    await terminal.result(
      { backups: backups.map(({ atMs, ...one }) => ({ ...one, at: printMoment(atMs) })) },
      backups.length === 0
        ? 'none: stronghold backup create --to FILE'
        : terminal.table(
            backups.map(({ atMs, records, there, proven, file }) => [
              inWords(Math.max(nowMs - atMs, 0)),
              records === null ? '' : counted(records),
              there ? (proven === null ? 'not proven' : `proven ${proven}`) : 'not there',
              remote(file, 400),
            ]),
            ['age', 'holds', 'state', 'file'],
          ),
    )
  },
})

interface Listed {
  readonly file: string
  readonly atMs: number
  readonly there: boolean
  readonly bytes: number | null
  readonly records: number | null
  readonly proven: string | null
}

function listed(
  notes: readonly BackupNote[],
  files: readonly { readonly file: string; readonly atMs: number }[],
): Listed[] {
  const size = (file: string): number | undefined => statSync(file, { throwIfNoEntry: false })?.size
  const known = notes.map(({ file, createdAtMs: atMs, records, proven }): Listed => {
    const bytes = size(file)
    return {
      file,
      atMs,
      there: bytes !== undefined,
      bytes: bytes ?? null,
      records,
      proven: proven === undefined ? null : printMoment(proven.atMs),
    }
  })
  const others = files
    .filter(({ file }) => !notes.some((note) => note.file === file))
    .map(({ file, atMs }): Listed => ({
      file,
      atMs,
      there: true,
      bytes: size(file) ?? null,
      records: null,
      proven: null,
    }))
  // What the schedule wrote and took away again is no loss.
  const here = known.filter(({ file, there }) => there || !isScheduled(file))
  return [...here, ...others].sort((a, b) => b.atMs - a.atMs)
}

/** A vault of a backup, where none stands: with a new credential, and vouched for by this home's identity. */
async function restoreHome(call: Call<typeof RESTORING>, file: string): Promise<void> {
  const { io, home, config, options, terminal, dryRun } = call
  if (options.path !== undefined || options.replace === true) {
    throw new Failure('usage', 'cannot restore the backup', {
      reason: `there is no vault in ${home.path} yet: it is restored whole`,
      hint: 'leave --path and --replace out',
    })
  }
  const { openBackup, createVault, readIdentityFile, Slab } = await import('@stronghold/vault')
  const { ask, passphraseAt, withNewCredential } = await import('../passphrase.ts')
  const { sourceOf } = await import('../unlock-source.ts')
  const { certify, makeTokens } = await import('./init.ts')
  const { makeHome, peerOf } = await import('../home.ts')
  const { openGuard } = await import('@stronghold/guard')
  const requireLocked = config.switch('memory.require_locked')
  const named = openerFile(call)
  const opening = async (): ReturnType<typeof openBackup> => {
    using slab = new Slab({ bytes: SLAB_BYTES })
    using secret =
      named === undefined
        ? ask(io, slab, 'Passphrase of the backup: ', UNASKED)
        : named.by === 'identity-file'
          ? readIdentityFile(named.path, slab)
          : await passphraseAt(named.path, slab)
    const identity =
      named?.by === 'identity-file' ? { identities: secret.bytes } : { passphrase: secret.bytes }
    const onProgress = (done: number, total: number): void => {
      void terminal.progress(`reading ${done} of ${total}`)
    }
    return await openBackup({ from: file, identity, requireLocked }, { onProgress })
  }
  using opened = await opening().catch(told)
  terminal.endProgress()
  const { counts, createdAtMs } = opened.info
  if (dryRun) {
    await terminal.result(
      { file, dryRun: true, records: counts.records },
      `would make a vault of ${counted(counts.records)}, from ${printMoment(createdAtMs)}`,
    )
    return
  }
  makeHome(home)
  const { vault, peer } = await withNewCredential(
    sourceOf(options, config),
    io,
    async (credential) => {
      const peer = await peerOf(home)
      makeTokens(home)
      const init = { at: home.vault, credential, command: 'stronghold backup restore' }
      const memory = { requireLocked }
      return {
        vault: await createVault({ ...init, memory, from: opened }, { clock: io.clock }),
        peer,
      }
    },
  )
  await certify(home, openGuard({ vault, peer }, { clock: io.clock }))
  await terminal.result(
    {
      file,
      added: counts.records,
      revived: 0,
      changed: 0,
      replaced: 0,
      entries: counts.entries,
      isNew: true,
    },
    [
      `made the vault of ${counted(counts.records)}, from ${printMoment(createdAtMs)}`,
      `${terminal.strong('peer')}   ${peer}`,
      `${terminal.strong('next')}   stronghold key list`,
    ].join('\n'),
  )
}

// ---

function fileOf({ io, operands }: Pick<Call, 'io' | 'operands'>): string {
  const file = resolve(io.cwd, operands[0] ?? '')
  if (existsSync(file)) return file
  throw new Failure('not_found', 'cannot read the backup', {
    reason: `there is no file ${quoted(operands[0] ?? '')}`,
    hint: 'stronghold backup list',
  })
}

/** What the options say opens a backup; nothing where a person is asked. */
function openerFile({
  io,
  options,
}: Pick<Call<typeof OPENING>, 'io' | 'options'>):
  { readonly by: 'identity-file' | 'passphrase-file'; readonly path: string } | undefined {
  const { identity, 'backup-passphrase-file': file } = options
  if (identity !== undefined && file !== undefined) {
    throw new Failure('usage', 'cannot open the backup', {
      reason: '--identity and --backup-passphrase-file say different things',
    })
  }
  if (identity !== undefined) return { by: 'identity-file', path: resolve(io.cwd, identity) }
  return file === undefined ? undefined : { by: 'passphrase-file', path: resolve(io.cwd, file) }
}

async function openerOf(
  call: Pick<Call<typeof OPENING>, 'io' | 'options'>,
  owner: OwnerDoor,
): Promise<BackupOpener> {
  const named = openerFile(call)
  if (named === undefined) return await typed(call.io, owner, ['Passphrase of the backup: '])
  return named.by === 'identity-file' ? named : await byPassphraseAt(named.path, owner)
}

async function readerOf(
  call: Pick<Call<typeof WRITING>, 'io' | 'options' | 'config'>,
  owner: OwnerDoor,
): Promise<BackupReader> {
  const { options, config, io } = call
  const file = options['backup-passphrase-file']
  const named = options.recipient
  if (file !== undefined && named !== undefined) {
    throw new Failure('usage', 'cannot write the backup', {
      reason: 'age takes recipients or a passphrase, not both',
    })
  }
  if (file !== undefined) return await byPassphraseAt(resolve(io.cwd, file), owner)
  const recipients = named ?? config.list('backup.recipients')
  if (recipients.length > 0) return { by: 'recipients', recipients }
  return await typed(io, owner, ['Passphrase for the backup: ', 'The same again: '])
}

/** The door reads a file itself; what comes by a pipe is read here, and sealed to it. */
async function byPassphraseAt(
  path: string,
  owner: OwnerDoor,
): Promise<BackupReader & BackupOpener> {
  const { isPipe, passphraseAt, sealed } = await import('../passphrase.ts')
  if (!isPipe(path)) return { by: 'passphrase-file', path }
  return await sealed(await owner.boxKey(), (slab) => passphraseAt(path, slab))
}

const UNASKED = {
  cannot: 'cannot use the passphrase of the backup',
  hint: 'name a --backup-passphrase-file, or --recipient and --identity',
}

/** A passphrase of the person in front, sealed; said twice where a second question is given. */
async function typed(
  io: Call['io'],
  owner: OwnerDoor,
  [question, again]: readonly [string, string?],
): Promise<BackupReader & BackupOpener> {
  const { sealTo, Slab } = await import('@stronghold/vault')
  const { ask } = await import('../passphrase.ts')
  using slab = new Slab({ bytes: SLAB_BYTES })
  using secret = ask(io, slab, question, UNASKED)
  if (again !== undefined) {
    using second = ask(io, slab, again, UNASKED)
    if (!equalBytes(secret.bytes, second.bytes)) {
      throw new Failure('usage', 'cannot write the backup', {
        reason: 'the two passphrases differ',
      })
    }
  }
  const sealed = sealTo(await owner.boxKey(), secret.bytes)
  return { by: 'passphrase', passphrase: { sealed } }
}

/** Long work to its end; ^C gives it up. */
async function finished<T>(
  { io, terminal }: Pick<Call, 'io' | 'terminal'>,
  word: string,
  begin: (signal: AbortSignal) => AsyncIterable<BackupTurn<T>>,
): Promise<T> {
  const stop = new AbortController()
  using _ending = io.onEnding(() => {
    stop.abort()
  })
  try {
    for await (const turn of begin(stop.signal)) {
      if (turn.state === 'done') return turn.result
      await terminal.progress(`${word} ${turn.lines} of ${turn.of}`)
    }
  } catch (error) {
    return told(error)
  } finally {
    terminal.endProgress()
  }
  throw new Failure('expired', 'cannot go on with the backup', { reason: 'it was given up' })
}

/** What is wrong with a backup needs other next steps than what is wrong with the vault. */
function told(error: unknown): never {
  const failure = failureOf(error)
  const { reason } = error as { reason?: unknown }
  const hint =
    reason === 'unlock_failed'
      ? 'try another --identity or --backup-passphrase-file, or type it again'
      : reason === 'damaged'
        ? 'take another copy: stronghold backup list'
        : reason === 'conflict'
          ? 'name another file, or --replace'
          : reason === 'disk_full'
            ? 'make room where the backup goes, or name another place'
            : failure.hint
  throw new Failure(failure.exit, failure.message, {
    cause: error,
    ...(failure.reason === undefined ? {} : { reason: failure.reason }),
    ...(hint === undefined ? {} : { hint }),
  })
}

function differenceText(terminal: Call['terminal'], compared: BackupCompared): string {
  const { records, differ, same, onlyHere, entries, backup } = compared
  const rows = records
    .slice(0, MAX_SHOWN)
    .map(({ state, path, why = '' }) => [state, remote(path, 200), remote(why, 200)])
  return [
    `${backup.isOurs ? 'this vault' : 'another vault'}, from ${printMoment(backup.createdAtMs)}: ` +
      `${differ} differ, ${same} are the same, ${onlyHere} only the vault has, ${entries} of the store differ`,
    ...(rows.length === 0 ? [] : [terminal.table(rows)]),
    ...(differ > rows.length ? [`and ${differ - rows.length} more`] : []),
  ].join('\n')
}

function counted(records: number): string {
  return `${records} ${records === 1 ? 'record' : 'records'}`
}

function inWords(ms: number): string {
  const [days, hours, minutes] = [86_400_000, 3_600_000, 60_000].map((unit) =>
    Math.floor(ms / unit),
  )
  if (days !== undefined && days > 0) return `${days} d`
  if (hours !== undefined && hours > 0) return `${hours} h`
  return `${minutes ?? 0} min`
}

/** What `backup` knows. */
export const BACKUP_COMMANDS: readonly Command[] = [create, verify, restore, drill, list]
