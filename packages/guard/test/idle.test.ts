/** A vault that nobody uses locks itself, and the guard in front of it knows. */
import { manualClock } from '@stronghold/testkit'
import { createVault, MemoryStore } from '@stronghold/vault'
import type { Clock, OpenVault } from '@stronghold/vault'
import { expect, test } from 'vitest'

import { allApprovals } from '../src/all-approvals.ts'
import { openGuard } from '../src/guard.ts'
import { CI, HOME, signing, told } from './guard-of.ts'

const CREDENTIAL = { keyFile: new Uint8Array(32).fill(7) }

/** A vault that locks itself after a minute without use. */
function locking(clock: Clock): Promise<OpenVault> {
  return createVault(
    { at: new MemoryStore(), credential: CREDENTIAL, autoLockMs: 60_000 },
    { clock },
  )
}

test('who asks after an idle time is told that it is locked, and the audit says by what', async () => {
  const clock = manualClock(1_800_000_000_000)
  const vault = await locking(clock)
  await using guard = openGuard({ vault, peer: HOME }, { clock })
  await guard.owner.addPeer(CI.peer, 'ci')
  await guard.owner.addRule({
    peers: ['ci'],
    procedures: ['sign'],
    paths: ['**'],
    effect: 'allow',
  })
  clock.advance(59_999)
  expect((await guard.owner.status()).locked).toBe(false)
  clock.advance(60_000)
  await expect.poll(async () => (await guard.owner.status()).locked).toBe(true)
  expect(told(await guard.network.submit(CI, signing('x')))).toBe('pending')
  await vault.unlock(CREDENTIAL)
  await using again = openGuard({ vault, peer: HOME }, { clock })
  const events = (await again.owner.auditEntries()).map(({ event, facts }) => [event, facts['by']])
  expect(events).toContainEqual(['locked', 'idle'])
})

test('what waits for a person keeps no vault open, and waits for it to be unlocked', async () => {
  const clock = manualClock(1_800_000_000_000)
  const vault = await locking(clock)
  await using guard = openGuard({ vault, peer: HOME }, { clock })
  const input = { to: 'release/app', type: 'ed25519' }
  await guard.owner.run([{ procedure: 'generate', version: 1, input }])
  await guard.owner.addPeer(CI.peer, 'ci')
  await guard.owner.addRule({ peers: ['ci'], procedures: ['sign'], paths: ['**'], effect: 'ask' })
  const request = { ...signing('x'), timeoutMs: 3_600_000 }
  expect(told(await guard.network.submit(CI, request))).toBe('pending')
  for (let second = 0; second < 61; second++) {
    clock.advance(1000)
    await Promise.resolve()
  }
  await expect.poll(async () => (await guard.owner.status()).locked).toBe(true)
  await vault.unlock(CREDENTIAL)
  await using again = openGuard({ vault, peer: HOME }, { clock })
  expect(await allApprovals(again.owner)).toHaveLength(1)
})

test('to ask how things stand is no use: whoever looks every second keeps no vault open', async () => {
  const clock = manualClock(1_800_000_000_000)
  const vault = await locking(clock)
  await using guard = openGuard({ vault, peer: HOME }, { clock })
  const { head } = await guard.owner.status()
  for (let second = 0; second < 60; second++) {
    clock.advance(1000)
    await guard.owner.syncList()
    // Nothing was written: the head is the same, byte by byte.
    if (second < 50) expect((await guard.owner.status()).head).toEqual(head)
  }
  clock.advance(1000)
  await expect.poll(async () => (await guard.owner.status()).locked).toBe(true)
})
