/** `sync conflicts`, `resolve`: what a person decides about a partner, or about a record. */
import { toHex } from '@stronghold/core'
import type { SyncConflict } from '@stronghold/guard'
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Command } from '../command.ts'
import { printMoment } from '../duration.ts'
import { Failure } from '../failure.ts'
import { partnerJson, partnerShape } from '../sync-partner.ts'
import { remote } from '../terminal.ts'

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

/** `sync conflicts` */
export const conflicts: Command = defineCommand({
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

/** `sync resolve` */
export const resolveConflict: Command = defineCommand({
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
