import { VaultError } from '@stronghold/vault'
import { describe, expect, it } from 'vitest'

import { CI, guarded, SIGN, signing, told } from './guard-of.ts'
import { guardSuite } from './guard-suite.ts'

describe('openGuard()', () => {
  guardSuite({ setup: guarded })
})

describe('the audit', () => {
  it('that cannot be written answers nothing and changes nothing', async () => {
    await using all = await guarded()
    await all.guard.owner.addRule({ ...SIGN, effect: 'allow' })
    const commit = all.store.commit.bind(all.store)
    for (const [reason, code, ran] of [
      ['disk_full', 'resource_exhausted', 'no'],
      ['disk_failed', 'unavailable', 'maybe'],
    ] as const) {
      all.store.commit = () => {
        throw new VaultError('unavailable', 'Cannot write: it does not go', { reason })
      }
      const request = signing('x')
      expect(await all.guard.network.submit(CI, request)).toMatchObject({
        ...{ state: 'failed', code, reason: 'audit_unavailable', ran },
      })
      all.store.commit = commit
      expect(told(await all.guard.network.submit(CI, request))).toBe('done')
    }
    expect((await all.guard.owner.verifyAudit()).faults).toEqual([])
  })
})
