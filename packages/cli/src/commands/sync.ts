/** `sync`: keeps records in step with another Stronghold. What leaves and arrives labels and rules decide, on both sides. */
import { toHex } from '@stronghold/core'
import type {
  OwnerDoor,
  SyncConflict,
  SyncMapping,
  SyncPartnership,
  SyncPurpose,
  SyncReport,
} from '@stronghold/guard'
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { parseDuration, printMoment } from '../duration.ts'
import { exitOf } from '../exits.ts'
import { Failure, failureOf, quoted } from '../failure.ts'
import { peerTarget } from '../node/target.ts'
import { runPartnership } from '../sync-run.ts'
import { remote } from '../terminal.ts'

const MODES = ['two-way', 'push', 'pull'] as const
const MERGES = ['keep-old', 'replace', 'newest-version'] as const

const partnerShape = z.object({
  name: z.string(),
  peer: z.string(),
  peerName: z.string(),
  vault: z.string(),
  fingerprint: z.string(),
  paths: z.array(z.string()),
  maps: z.array(z.object({ from: z.string(), to: z.string() })),
  mode: z.enum(MODES),
  merge: z.enum(MERGES),
  everyMs: z.number().nullable(),
  onChange: z.boolean(),
  paused: z.boolean(),
  state: z.string(),
  why: z.string().nullable(),
  lastRun: z.string().nullable(),
  inStep: z.string().nullable(),
  conflicts: z.int(),
})

function partnerJson(one: SyncPartnership): z.infer<typeof partnerShape> {
  const moment = (ms: number | undefined): string | null =>
    ms === undefined ? null : printMoment(ms)
  return {
    name: one.name,
    peer: one.peer,
    peerName: one.peerName,
    vault: toHex(one.vault),
    fingerprint: one.fingerprint,
    paths: [...one.paths],
    maps: one.maps.map(({ from, to }) => ({ from, to })),
    mode: one.mode,
    merge: one.merge,
    everyMs: one.everyMs ?? null,
    onChange: one.onChange,
    paused: one.paused,
    state: one.state,
    why: one.why ?? null,
    lastRun: moment(one.lastRunAtMs),
    inStep: moment(one.inStepAtMs),
    conflicts: one.conflicts,
  }
}

/** Why nothing is exchanged until a person decides, and what that person types. */
function stopOf({ name, why }: SyncPartnership): { reason: string; hint: string } | undefined {
  const resolve = `stronghold sync resolve ${name} --accept-older or --take-newer`
  switch (why) {
    case 'rolled-back':
      return { reason: 'the partner is older than it was', hint: resolve }
    case 'unseen':
      return { reason: 'not seen for too long', hint: resolve }
    case 'key':
      return { reason: 'the partner shows another key', hint: `stronghold sync pin ${name}` }
    default:
      return undefined
  }
}

/** How a partnership stands, in words, with what to type where somebody has to. */
function standing(partnership: SyncPartnership): string {
  const { name, state, why, paused, inStepAtMs } = partnership
  const held = paused ? 'paused, ' : ''
  const stop = stopOf(partnership)
  if (stop !== undefined) return `${held}stopped: ${stop.reason}; ${stop.hint}`
  if (why === 'records') return `${held}in conflict: stronghold sync conflicts ${name}`
  if (state === 'behind') return `${held}not in step: stronghold sync run ${name}`
  return state === 'in-step' && inStepAtMs !== undefined
    ? `${held}in step since ${printMoment(inStepAtMs)}`
    : `${held}nothing exchanged yet`
}

/** The partner's vault and key, as it tells them over its own connection. */
async function keyOf(
  call: Pick<Call, 'withNode' | 'home'>,
  peer: string,
): Promise<{ vault: Uint8Array; key: Uint8Array; fingerprint: string }> {
  const reply = await call.withNode((node) =>
    node.sayToPartner(peerTarget(call.home, peer), { kind: 'key' }),
  )
  if (reply.state !== 'key') {
    throw new Failure('denied', `cannot fetch the sync key of ${quoted(peer)}`, {
      reason: 'it does not know this Stronghold',
      hint: 'pair with it: stronghold pair new, there; stronghold pair join, here',
    })
  }
  const { fingerprintOf } = await import('@stronghold/guard')
  const { vault, key } = reply
  return { vault, key, fingerprint: fingerprintOf(key) }
}

/** @throws `Failure` where the fingerprint is another than the one that was expected */
function assertFingerprint(found: string, expected: string | undefined): void {
  if (expected === undefined || expected === found) return
  throw new Failure('verification_failed', 'cannot pin the sync key', {
    reason: `its fingerprint is ${found}, not ${remote(expected)}`,
    hint: 'stronghold sync key, on the other machine, says which one is right',
  })
}

const ADD_OPTIONS = {
  peer: { value: 'PEER', says: 'whose vault: a known peer, by name' },
  path: { value: 'PATTERN', says: 'records to keep in step; default **', many: true },
  map: { value: 'FROM=TO', says: 'what is below FROM goes below TO; push and pull', many: true },
  mode: { value: 'MODE', says: 'default two-way', choices: MODES },
  merge: {
    value: 'MERGE',
    says: 'what may be done to a record; default newest-version',
    choices: MERGES,
  },
  every: { value: 'TIME', says: 'run by itself so often' },
  'on-change': { says: 'run by itself after changes' },
  fingerprint: { value: 'SHA256:…', says: 'refuse another key than this' },
} as const

const add = defineCommand({
  name: 'sync add',
  says: 'Make a partnership with the vault of a known peer, and pin its sync key',
  operands: 'NAME',
  options: ADD_OPTIONS,
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold sync add nas --peer nas', 'both ways, all that may leave'],
    [
      "stronghold sync add nas --peer nas --path 'team/**' --mode push --every 1h",
      'one way, hourly',
    ],
  ],
  prints: partnerShape,
  async run(call) {
    const { operands, options, terminal, dryRun } = call
    const [name = ''] = operands
    const { peer } = options
    if (peer === undefined) {
      throw new Failure('usage', 'cannot add the partnership', {
        reason: 'it is not said with whom',
        hint: `stronghold sync add ${name} --peer NAME`,
      })
    }
    const { vault, key, fingerprint } = await keyOf(call, peer)
    assertFingerprint(fingerprint, options.fingerprint)
    if (dryRun) {
      await terminal.result({ dryRun: true, fingerprint }, `would pin ${fingerprint} of ${peer}`)
      return
    }
    const added = await call.withOwner((owner) =>
      owner.syncAdd({
        name,
        peer: peerTarget(call.home, peer).peer,
        vault,
        key,
        ...(options.path === undefined ? {} : { paths: options.path }),
        ...(options.map === undefined ? {} : { maps: options.map.map(mapping) }),
        ...(options.mode === undefined ? {} : { mode: options.mode as (typeof MODES)[number] }),
        ...(options.merge === undefined ? {} : { merge: options.merge as (typeof MERGES)[number] }),
        ...(options.every === undefined ? {} : { everyMs: parseDuration(options.every) }),
        onChange: options['on-change'] === true,
      }),
    )
    await terminal.result(
      partnerJson(added),
      `${added.name}  ${added.mode} with ${peer}  ${added.paths.join(', ')}  pinned ${fingerprint}`,
    )
    await terminal.note(
      `compare: on the other machine, stronghold sync key has to print ${fingerprint}`,
    )
    await terminal.note(
      `over there this vault has to be added, too; what may leave and arrive, rules say on both: stronghold rule add --peers ${peer} --procedures sync:send,sync:receive,sync:remove --paths '${added.paths[0] ?? '**'}' --effect allow`,
    )
  },
})

function mapping(text: string): SyncMapping {
  const [from, to, more] = text.split('=')
  if (from !== undefined && to !== undefined && more === undefined && from !== '' && to !== '') {
    return { from, to }
  }
  throw new Failure('usage', `cannot read --map ${quoted(text)}`, {
    reason: 'it is not FROM=TO',
    hint: '--map team/keys=nas/team/keys',
  })
}

const ownKey = defineCommand({
  name: 'sync key',
  says: "Show the fingerprint of this vault's sync key, for a partner to compare",
  unlocks: true,
  examples: [
    ['stronghold sync key', 'read it to whoever adds this vault'],
    ['stronghold sync key --json', 'with the key itself'],
  ],
  prints: z.object({ vault: z.string(), key: z.string(), fingerprint: z.string() }),
  async run(call) {
    const { vault, key, fingerprint } = await call.withOwner((owner) => owner.syncOwnKey())
    await call.terminal.result({ vault: toHex(vault), key: toHex(key), fingerprint }, fingerprint)
  },
})

const listSyncs = defineCommand({
  name: 'sync list',
  says: 'List the partnerships, and how each stands',
  unlocks: true,
  examples: [
    ['stronghold sync list', 'name, partner, way, state'],
    ['stronghold sync list --json', 'all of it, for a program'],
  ],
  prints: z.object({ syncs: z.array(partnerShape) }),
  async run({ withOwner, terminal }) {
    const all = await withOwner((owner) => owner.syncList())
    await terminal.result(
      { syncs: all.map(partnerJson) },
      all.length === 0
        ? ''
        : terminal.table(
            all.map((one) => [
              one.name,
              one.peerName,
              one.mode,
              one.paths.join(','),
              standing(one),
            ]),
            ['NAME', 'WITH', 'WAY', 'PATHS', ''],
          ),
    )
    if (all.length === 0)
      await terminal.note('no partnership: stronghold sync add NAME --peer PEER')
  },
})

const reportShape = z.object({
  name: z.string(),
  purpose: z.enum(['run', 'preview', 'verify']),
  inStep: z.boolean(),
  stopped: z.string().nullable(),
  compared: z.int(),
  received: z.int(),
  sent: z.int(),
  removedHere: z.int(),
  removedThere: z.int(),
  conflicts: z.int(),
  refused: z.int(),
  roundTrips: z.int(),
  bytes: z.int(),
  changes: z.array(
    z.object({
      path: z.string(),
      where: z.enum(['here', 'there']),
      change: z.string(),
      why: z.string().nullable(),
    }),
  ),
})

function reportJson(report: SyncReport): z.infer<typeof reportShape> {
  const { changes, stopped, ...rest } = report
  return {
    ...rest,
    stopped: stopped ?? null,
    changes: changes.map(({ path, where, change, why }) => ({
      path,
      where,
      change,
      why: why ?? null,
    })),
  }
}

/** Why a record was refused, in words. Kinds of conflict stand for themselves. */
const WHY: Readonly<Record<string, string>> = {
  denied: 'no rule allows it',
  label: 'its label says that it stays',
  forged: 'it does not hold together',
  full: 'it is too large, or the vault is full',
}

function reportText(call: Pick<Call, 'terminal'>, report: SyncReport): string {
  const { terminal } = call
  const rows = report.changes.map(({ path, where, change, why }) => [
    change,
    where,
    path === '' ? 'a record without a name here' : remote(path),
    why === undefined ? '' : (WHY[why] ?? why),
  ])
  const counts = [
    `${report.compared} compared`,
    // A preview sends nothing: what it found stands above, line by line.
    ...(report.purpose !== 'run' || report.sent + report.received === 0
      ? []
      : [`${report.received} received, ${report.sent} sent`]),
    ...(report.removedHere + report.removedThere === 0
      ? []
      : [`${report.removedHere} gone here, ${report.removedThere} there`]),
    ...(report.conflicts === 0 ? [] : [`${report.conflicts} in conflict`]),
    ...(report.refused === 0 ? [] : [`${report.refused} refused`]),
    `${report.bytes.toLocaleString('en')} bytes in ${report.roundTrips} round ${report.roundTrips === 1 ? 'trip' : 'trips'}`,
  ].join('; ')
  return [
    ...(rows.length === 0 ? [] : [terminal.table(rows)]),
    `${report.name}  ${report.inStep ? 'in step' : report.stopped === undefined ? 'not in step' : 'stopped'}; ${counts}`,
  ].join('\n')
}

/** Runs partnerships one after the other. @returns the exit code */
async function runs(
  call: Pick<Call, 'withOwner' | 'withNode' | 'terminal' | 'home' | 'io'>,
  name: string | undefined,
  purpose: SyncPurpose,
): Promise<number> {
  const { terminal, home, io } = call
  const stop = new AbortController()
  using _ending = io.onEnding(() => {
    stop.abort(
      new Failure('expired', 'the run was given up', { hint: 'stronghold sync run goes on' }),
    )
  })
  return await call.withOwner((owner) =>
    call.withNode(async (node) => {
      const names = await runnable(owner, name)
      let exit = 0
      for (const one of names) {
        const report = await runPartnership({
          owner,
          node,
          home,
          name: one,
          purpose,
          signal: stop.signal,
          onProgress: (settled, of) =>
            void terminal.progress(of === 0 ? `${one}: comparing` : `${one}: ${settled} of ${of}`),
        }).catch((error: unknown) => refused(error, one))
        terminal.endProgress()
        await terminal.result(reportJson(report), reportText(call, report))
        const { compared, received, sent, stopped } = report
        if (stopped === undefined && compared + received + sent === 0) await terminal.note(NOTHING)
        if (stopped !== undefined || (report.conflicts > 0 && !report.inStep)) {
          await terminal.note(`${one}: ${await nextOf(owner, report)}`)
          exit = exitOf('conflict')
        } else if (purpose === 'verify' && !report.inStep && exit === 0) {
          exit = exitOf('verification_failed')
        }
      }
      return exit
    }),
  )
}

/** Nothing at all took part: whoever begins forgets a label, or rules. */
const NOTHING =
  "nothing was compared: a record takes part where its label says so (key create --sync yes), both sides' paths select it and " +
  'rules on both sides allow it (stronghold rule list)'

/** What a person does next about a run that is not through. */
async function nextOf(owner: OwnerDoor, { name, purpose, stopped }: SyncReport): Promise<string> {
  if (stopped === 'partner-stopped') {
    return 'the partner waits for a decision; on the other machine: stronghold sync list'
  }
  if (purpose !== 'run' && stopped === undefined) {
    return 'what is in conflict stays as it is on both sides, until somebody decides after a run'
  }
  const found = (await owner.syncList()).find((partner) => partner.name === name)
  return found === undefined ? 'it is gone' : standing(found)
}

/** That named, or all that are neither paused nor stopped. @throws `Failure` where there is none, with what to type */
async function runnable(owner: OwnerDoor, name: string | undefined): Promise<readonly string[]> {
  const all = await owner.syncList()
  const named = name === undefined ? all : all.filter((one) => one.name === name)
  const ready = named.filter((one) => !one.paused && stopOf(one) === undefined)
  if (ready.length > 0) return ready.map((one) => one.name)
  const [first] = named
  if (first === undefined) {
    if (name !== undefined) throw noPartner(name)
    throw new Failure('not_found', 'cannot run', {
      reason: 'there is no partnership',
      hint: 'stronghold sync add NAME --peer PEER',
    })
  }
  const paused = { reason: 'it is paused', hint: `stronghold sync resume ${first.name}` }
  const why = first.paused ? paused : (stopOf(first) ?? paused)
  throw new Failure('conflict', `cannot run ${first.name}`, why)
}

/** What the partner does not want is to be seen over there. */
function refused(error: unknown, name: string): never {
  const failure = failureOf(error)
  const isTheirs = failure.exit === 'denied' || failure.exit === 'conflict'
  if (failure.hint !== undefined || !isTheirs) throw error
  throw new Failure(failure.exit, `cannot run ${name}`, {
    reason: failure.reason ?? failure.message,
    hint: 'on the other machine: stronghold sync list',
    cause: error,
  })
}

const run = defineCommand({
  name: 'sync run',
  says: 'Bring this vault and its partner in step, now; without NAME all that are not paused',
  operands: '[NAME]',
  unlocks: true,
  examples: [
    ['stronghold sync run nas', 'what went where, and what is in conflict'],
    ['stronghold sync run --json', 'a line for each partnership'],
  ],
  prints: reportShape,
  run: (call) => runs(call, call.operands[0], 'run'),
})

const diff = defineCommand({
  name: 'sync diff',
  says: 'Show what a run would change, on both sides; changes nothing',
  operands: 'NAME',
  unlocks: true,
  examples: [
    ['stronghold sync diff nas', 'added, changed, gone, in conflict'],
    ['stronghold sync diff nas --json', 'for a program'],
  ],
  prints: reportShape,
  run: (call) => runs(call, call.operands[0], 'preview'),
})

const verify = defineCommand({
  name: 'sync verify',
  says: 'Compare everything with the partner from the records themselves',
  operands: 'NAME',
  unlocks: true,
  examples: [
    ['stronghold sync verify nas', 'ends with 11 where they differ'],
    ['stronghold sync verify nas --json', 'for a program'],
  ],
  prints: reportShape,
  run: (call) => runs(call, call.operands[0], 'verify'),
})

const pausing = (verb: 'pause' | 'resume'): Command =>
  defineCommand({
    name: `sync ${verb}`,
    says:
      verb === 'pause'
        ? 'Let a partnership rest: nothing leaves and nothing arrives'
        : 'Let a partnership that rests go on',
    operands: 'NAME',
    unlocks: true,
    examples: [
      [`stronghold sync ${verb} nas`, verb === 'pause' ? 'until resumed' : 'from now on'],
      [`stronghold sync ${verb} nas --json`, 'how it stands then'],
    ],
    prints: partnerShape,
    async run({ operands, withOwner, terminal }) {
      const found = await withOwner((owner) => owner.syncPause(operands[0] ?? '', verb === 'pause'))
      await terminal.result(partnerJson(found), `${found.name}  ${standing(found)}`)
    },
  })

const pin = defineCommand({
  name: 'sync pin',
  says: 'Pin the key that the partner shows now',
  operands: 'NAME',
  options: { fingerprint: { value: 'SHA256:…', says: 'refuse another key than this' } },
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold sync pin nas --fingerprint SHA256:3q2+7w…', 'as stronghold sync key says there'],
    ['stronghold sync pin nas --dry-run', 'only shows the key'],
  ],
  prints: partnerShape,
  async run(call) {
    const { operands, options, terminal, dryRun } = call
    const [name = ''] = operands
    const before = (await call.withOwner((owner) => owner.syncList())).find(
      (one) => one.name === name,
    )
    if (before === undefined) throw noPartner(name)
    const { vault, key, fingerprint } = await keyOf(call, before.peer)
    assertFingerprint(fingerprint, options.fingerprint)
    if (dryRun) {
      await terminal.result({ dryRun: true, fingerprint }, `would pin ${fingerprint}`)
      return
    }
    const found = await call.withOwner((owner) => owner.syncPin(name, vault, key))
    await terminal.result(partnerJson(found), `${name}  pinned ${found.fingerprint}`)
  },
})

function noPartner(name: string): Failure {
  return new Failure('not_found', `cannot find partnership ${quoted(name)}`, {
    reason: 'there is none of that name',
    hint: 'stronghold sync list',
  })
}

const conflictShape = z.object({
  name: z.string(),
  id: z.string(),
  path: z.string(),
  kind: z.string(),
  ours: z.string(),
  theirs: z.string(),
  since: z.string(),
  keep: z.string().nullable(),
})

function sideText({ state, path, version, atMs }: SyncConflict['ours']): string {
  const what = state === 'removed' ? `removed at version ${version}` : `version ${version}`
  return `${what} of ${remote(path)}, ${printMoment(atMs)}`
}

const conflicts = defineCommand({
  name: 'sync conflicts',
  says: 'List the records about which both sides differ; both are kept until somebody decides',
  operands: '[NAME]',
  unlocks: true,
  examples: [
    ['stronghold sync conflicts', 'of all partnerships'],
    ['stronghold sync conflicts nas --json', 'of one, for a program'],
  ],
  prints: z.object({ conflicts: z.array(conflictShape) }),
  async run({ operands, withOwner, terminal }) {
    const all = await withOwner((owner) => owner.syncConflicts(operands[0]))
    await terminal.result(
      {
        conflicts: all.map((one) => ({
          name: one.name,
          id: toHex(one.id),
          path: one.path,
          kind: one.kind,
          ours: sideText(one.ours),
          theirs: sideText(one.theirs),
          since: printMoment(one.sinceMs),
          keep: one.keep ?? null,
        })),
      },
      all
        .map(({ name, path, kind, ours, theirs, keep }) =>
          [
            `${name}  ${remote(path)}  ${kind}${keep === undefined ? '' : `, ${keep} will be kept`}`,
            `  ours    ${sideText(ours)}`,
            `  theirs  ${sideText(theirs)}`,
          ].join('\n'),
        )
        .join('\n'),
    )
    const [first] = all
    await terminal.note(
      first === undefined
        ? 'no conflict'
        : `to decide: stronghold sync resolve ${first.name} --record ${first.path} --keep ours`,
    )
  },
})

const resolveConflict = defineCommand({
  name: 'sync resolve',
  says: 'Decide about a partner that fell behind, or about a record; the next run carries it out',
  operands: 'NAME',
  options: {
    'accept-older': { says: 'the partner was restored from an older backup, and that counts' },
    'take-newer': { says: 'what this vault has counts, also against the older partner' },
    record: { value: 'PATH', says: 'the record, by its path or id' },
    keep: { value: 'SIDE', says: 'whose of it is kept', choices: ['ours', 'theirs'] },
  },
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold sync resolve nas --take-newer', 'nothing that was removed comes back'],
    ['stronghold sync resolve nas --record team/key --keep ours', 'one record'],
  ],
  prints: partnerShape,
  async run({ operands, options, withOwner, terminal, dryRun }) {
    const [name = ''] = operands
    const older = options['accept-older'] === true
    const newer = options['take-newer'] === true
    const { record, keep } = options
    const isRecord = record !== undefined && keep !== undefined
    if (Number(older) + Number(newer) + Number(isRecord) !== 1) {
      throw new Failure('usage', 'cannot decide', {
        reason: 'it is either --accept-older, --take-newer, or --record PATH with --keep SIDE',
        hint: `stronghold sync conflicts ${name}`,
      })
    }
    if (dryRun) {
      await terminal.result({ dryRun: true, name }, `would decide about ${name}`)
      return
    }
    const isId = record !== undefined && /^[0-9a-f]{32}$/.test(record)
    const found = await withOwner((owner) =>
      owner.syncResolve(
        name,
        isRecord
          ? {
              record: isId ? new Uint8Array(Buffer.from(record, 'hex')) : record,
              keep: keep as 'ours' | 'theirs',
            }
          : { accept: older ? 'older' : 'newer' },
      ),
    )
    await terminal.result(partnerJson(found), `${name}  decided; next: stronghold sync run ${name}`)
  },
})

const remove = defineCommand({
  name: 'sync remove',
  says: 'End a partnership; records stay on both sides',
  operands: 'NAME',
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold sync remove nas', 'and, over there, the same'],
    ['stronghold sync remove nas --dry-run', 'only says so'],
  ],
  prints: z.object({ name: z.string() }),
  async run({ operands, withOwner, terminal, dryRun }) {
    const [name = ''] = operands
    if (!dryRun) await withOwner((owner) => owner.syncRemove(name))
    await terminal.result(
      dryRun ? { dryRun: true, name } : { name },
      `${dryRun ? 'would remove' : 'removed'} ${name}`,
    )
  },
})

/** What `sync` knows. */
export const SYNC_COMMANDS: readonly Command[] = [
  add,
  listSyncs,
  diff,
  run,
  pausing('pause'),
  pausing('resume'),
  conflicts,
  resolveConflict,
  verify,
  ownKey,
  pin,
  remove,
]
