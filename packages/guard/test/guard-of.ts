/** A guard with a vault in memory, two peers and a clock that stands still until it is told. */
import { randomFillSync } from 'node:crypto'

import { manualClock } from '@stronghold/testkit'
import type { ManualClock } from '@stronghold/testkit'
import { createVault, MemoryStore, sealTo } from '@stronghold/vault'
import type { OpenVault } from '@stronghold/vault'

import type { Answer, Asker, Guard, OwnerDoor, PeerRequest, PeerStep } from '../src/doors.ts'
import { openGuard } from '../src/guard.ts'
import type { GuardLimits } from '../src/limits.ts'
import { PEERS } from './rules/worlds.ts'

export const CI: Asker = { peer: PEERS['ci'] ?? '', connection: '/memory/1' }
export const BOX: Asker = { peer: PEERS['box'] ?? '', connection: '/memory/2' }
export const STRANGER: Asker = { peer: PEERS['eve'] ?? '', connection: '/memory/3' }
/** The peer id under which the vault is served. */
export const HOME = '12D3KooWHome1111111111111111111111111111111111111111'
export const PASSPHRASE: Uint8Array = new TextEncoder().encode('correct horse')

/** Signing with what is under `release`, for `ci`. */
export const SIGN: { peers: string[]; procedures: string[]; paths: string[] } = {
  peers: ['ci'],
  procedures: ['sign'],
  paths: ['release/**'],
}

/** A guard with one key at `release/app`, two known peers `ci` and `box`, no rule, and a clock that is moved. */
export interface SuiteGuard extends AsyncDisposable {
  readonly guard: Pick<Guard, 'network' | 'owner'>
  readonly clock: { advance(byMs: number): unknown }
}

/** What makes one for a suite. */
export type SuiteSetup = (init?: {
  limits?: Partial<GuardLimits>
  confirmApprovals?: boolean
}) => Promise<SuiteGuard>

/** The same with one rule about `SIGN`. */
export function withRuleOf(
  setup: SuiteSetup,
): (effect: 'allow' | 'ask' | 'deny', more?: object) => Promise<SuiteGuard> {
  return async (effect, more = {}) => {
    const all = await setup()
    await all.guard.owner.addRule({ ...SIGN, effect, ...more })
    return all
  }
}

/** Unlocks with the passphrase, sealed. */
export async function unlock(owner: OwnerDoor): Promise<void> {
  const sealed = sealTo(await owner.boxKey(), PASSPHRASE)
  await owner.unlock({ by: 'passphrase', passphrase: { sealed } })
}

/** A guard and what it guards. */
export interface Guarded extends AsyncDisposable {
  readonly guard: Guard
  readonly vault: OpenVault
  readonly store: MemoryStore
  readonly clock: ManualClock
}

/** A vault with one key at `release/app`, two known peers `ci` and `box`, no rule. */
export async function guarded(
  init: { limits?: Partial<GuardLimits>; store?: MemoryStore; confirmApprovals?: boolean } = {},
): Promise<Guarded> {
  const clock = manualClock(1_800_000_000_000)
  const store = init.store ?? new MemoryStore()
  const kdf = { memoryKiB: 19 * 1024, passes: 2 }
  const vault = await createVault(
    { at: store, credential: { passphrase: PASSPHRASE }, kdf },
    { clock },
  )
  const { limits = {}, confirmApprovals = false } = init
  const guard = openGuard({ vault, peer: HOME, limits, confirmApprovals }, { clock })
  await guard.owner.run([step('generate', { to: 'release/app', type: 'ed25519' })])
  await guard.owner.addPeer(CI.peer, 'ci')
  await guard.owner.addPeer(BOX.peer, 'box')
  return {
    guard,
    vault,
    store,
    clock,
    [Symbol.asyncDispose]: () => guard.close(),
  }
}

/** One step of the first version of a procedure. */
export function step(procedure: string, input: Readonly<Record<string, unknown>>): PeerStep {
  return { procedure, version: 1, input }
}

/** A request to sign a text at a path, as SSHSIG. */
export function signing(
  text: string,
  path = 'release/app',
  init: Partial<PeerRequest> = {},
): PeerRequest {
  const message = new TextEncoder().encode(text)
  return {
    id: randomFillSync(new Uint8Array(16)),
    steps: [step('sign', { key: path, message })],
    reason: '',
    timeoutMs: 60_000,
    receipt: false,
    ...init,
  }
}

/** What an answer says in one word, with its reason where it failed. */
export function told(answer: Answer): string {
  return answer.state === 'failed' ? `${answer.code} ${answer.reason ?? ''}`.trim() : answer.state
}
