import { describe, expect, it } from 'vitest'

import { Lane } from './lane.ts'

// With one for each system call of `faults.node.test.ts` there are some 570.
const KILLS = process.env['STRONGHOLD_LONG'] === '1' ? 10_000 : 500
const LANES = 2

describe('a writer that is killed', () => {
  it(
    `loses no acknowledged commit and leaves no half of one, ${KILLS} times`,
    { timeout: KILLS * 2000 },
    async () => {
      const seen = { kills: 0, commits: 0, unacknowledged: 0, before: 0 }
      const lane = async (share: number): Promise<void> => {
        using vault = new Lane()
        for (let i = 0; i < share; i++) {
          if (i % 25 === 24) vault.next()
          // Some die while they start, create or recover, most between two commits or in one.
          const early = i % 8 === 0
          const after = Math.floor(Math.random() * 12)
          const laterMs = Math.random() * 3
          let last = -1
          const ran = await vault.run({
            onStart: (kill) => {
              if (early) setTimeout(kill, 40 + Math.random() * 100)
            },
            onLine: (line, kill) => {
              last = Number(line)
              if (!early && last % 12 === after) setTimeout(kill, laterMs)
            },
          })
          expect(ran, JSON.stringify(ran)).toMatchObject({ signal: 'SIGKILL', stderr: '' })
          seen.kills++
          const found = vault.check()
          if (found < 0) seen.before++
          if (found > last && last >= 0) seen.unacknowledged++
          seen.commits += ran.lines.length
        }
      }
      const share = Math.ceil(KILLS / LANES)
      await Promise.all(Array.from({ length: LANES }, () => lane(share)))
      expect(seen.kills).toBeGreaterThanOrEqual(KILLS)
      expect(seen.commits).toBeGreaterThan(KILLS)
    },
  )
})
