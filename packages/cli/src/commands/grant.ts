/** `grant`: approvals that are remembered for a time. */
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Command } from '../command.ts'
import { printMoment } from '../duration.ts'
import { Failure, quoted } from '../failure.ts'

const list = defineCommand({
  name: 'grant list',
  says: 'List approvals that are remembered',
  unlocks: true,
  examples: [
    ['stronghold grant list', 'who may do what, until when'],
    ['stronghold grant list --json', 'for a program'],
  ],
  prints: z.object({ grants: z.array(z.record(z.string(), z.unknown())) }),
  async run({ terminal, withOwner }) {
    const { grants, names } = await withOwner(async (owner) => ({
      grants: await owner.grants(),
      names: new Map((await owner.peers()).map(({ peer, name }) => [peer, name])),
    }))
    await terminal.result(
      {
        grants: grants.map(({ grantedAtMs, expiresAtMs, ...grant }) => ({
          ...grant,
          granted: printMoment(grantedAtMs),
          expires: printMoment(expiresAtMs),
        })),
      },
      grants.length === 0
        ? ''
        : terminal.table(
            grants.map(({ id, peer, use, path, format, rule, expiresAtMs }) => [
              id,
              names.get(peer) ?? peer,
              `${use} ${path}${format === undefined ? '' : ` as ${format}`}`,
              rule,
              printMoment(expiresAtMs),
            ]),
            ['ID', 'PEER', 'MAY', 'RULE', 'UNTIL'],
          ),
    )
    if (grants.length === 0) await terminal.note('no approval is remembered')
  },
})

const revoke = defineCommand({
  name: 'grant revoke',
  says: 'Forget a remembered approval; the next request asks again',
  operands: 'ID',
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold grant revoke g1', 'at once'],
    ['stronghold grant revoke g1 --dry-run', 'says what would be done'],
  ],
  prints: z.object({ id: z.string(), revoked: z.boolean() }),
  async run({ operands, terminal, dryRun, withOwner }) {
    const [id = ''] = operands
    const isThere = await withOwner(async (owner) =>
      dryRun ? (await owner.grants()).some((one) => one.id === id) : await owner.revokeGrant(id),
    )
    if (!isThere) {
      throw new Failure('not_found', `cannot find grant ${quoted(id)}`, {
        reason: 'there is none, or it has expired',
        hint: 'stronghold grant list',
      })
    }
    await terminal.result(
      { id, revoked: !dryRun },
      `${id}  ${dryRun ? 'would be revoked' : 'revoked'}`,
    )
  },
})

/** What `grant` knows. */
export const GRANT_COMMANDS: readonly Command[] = [list, revoke]
