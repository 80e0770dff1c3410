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
    all.store.commit = () => {
      throw new VaultError('resource_exhausted', 'Cannot write: disk full', { reason: 'disk_full' })
    }
    const request = signing('x')
    expect(told(await all.guard.network.submit(CI, request))).toBe(
      'resource_exhausted audit_unavailable',
    )
    all.store.commit = commit
    expect(told(await all.guard.network.submit(CI, request))).toBe('done')
    expect((await all.guard.owner.verifyAudit()).faults).toEqual([])
  })
})
