/** `token`: what a program shows at the owner's socket, made anew. */
import { existsSync } from 'node:fs'

import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Command } from '../command.ts'
import { Failure, quoted } from '../failure.ts'
import { hasVault } from '../home.ts'

const ROLES = ['admin', 'approver'] as const
type Role = (typeof ROLES)[number]

const rotate = defineCommand({
  name: 'token rotate',
  says: 'Make the token of a role anew, or both; the old one opens nothing from then on',
  operands: '[admin|approver]',
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold token rotate approver', 'whoever had it has to be given the new file'],
    ['stronghold token rotate', 'both; a Stronghold that runs takes them at once'],
  ],
  prints: z.object({ rotated: z.array(z.object({ role: z.string(), path: z.string() })) }),
  async run({ operands, home, terminal, dryRun, withOwner }) {
    const [named] = operands
    if (named !== undefined && !ROLES.some((role) => role === named)) {
      throw new Failure('usage', 'cannot rotate the token', {
        reason: `there is no role ${quoted(named)}`,
        hint: 'write admin or approver',
      })
    }
    const { noVault } = await import('../door.ts')
    if (!hasVault(home)) throw noVault(home)
    const roles: readonly Role[] = named === undefined ? ROLES : [named as Role]
    const files = roles.map((role) => ({
      role,
      path: role === 'admin' ? home.adminToken : home.approverToken,
    }))
    // A token that is not there is not made for whoever asks: the vault has to be theirs.
    if (files.some(({ path }) => !existsSync(path))) await withOwner((owner) => owner.rules())
    const { createToken } = await import('@stronghold/guard/owner')
    if (!dryRun) for (const { path } of files) createToken(path, { replace: existsSync(path) })
    await terminal.result(
      { rotated: files },
      files
        .map(({ role, path }) => `${role}  ${dryRun ? 'would be made anew' : 'made anew'}  ${path}`)
        .join('\n'),
    )
  },
})

/** What `token` knows. */
export const TOKEN_COMMANDS: readonly Command[] = [rotate]
