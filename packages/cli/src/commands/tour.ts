/** `tour`: the whole idea in a minute, with real processes. */
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Command } from '../command.ts'

/** `tour` */
export const tour: Command = defineCommand({
  name: 'tour',
  says: 'Show the whole idea in a minute: two machines pair, one asks for a signature, a person approves',
  examples: [
    ['stronghold tour', 'in directories of its own, which are gone afterwards'],
    ['stronghold tour --json', 'the same; prints only how it ended'],
  ],
  prints: z.object({ verifiedBy: z.enum(['ssh-keygen', 'node']), seconds: z.number() }),
  async run({ io, terminal }) {
    const { playTour } = await import('../tour/tour.ts')
    const sinceMs = io.clock.nowMs()
    const { verifiedBy } = await playTour(io, terminal)
    const seconds = Math.round((io.clock.nowMs() - sinceMs) / 100) / 10
    await terminal.result(
      { verifiedBy, seconds },
      [
        '',
        `The key never left home; ${verifiedBy} verified what it signed. ${seconds} s.`,
        'Your own: stronghold init',
      ].join('\n'),
    )
  },
})
