/** `sync`: keeps records in step with another Stronghold. What leaves and arrives labels and rules decide, on both sides. */
import { toHex } from '@stronghold/core'
import type { SyncMapping } from '@stronghold/guard'
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { parseDuration } from '../duration.ts'
import { Failure, quoted } from '../failure.ts'
import { peerTarget } from '../node/target.ts'
import { MERGES, MODES, noPartner, partnerJson, partnerShape, standing } from '../sync-partner.ts'
import { remote } from '../terminal.ts'
import { conflicts, resolveConflict } from './sync-conflicts.ts'
import { diff, run, verify } from './sync-run.ts'

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
