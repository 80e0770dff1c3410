/**
 * What every guard does, wherever it runs: in this thread, in a thread of its own, and with its owner at a socket. A suite
 * for `openGuard()`, `openKeeper()` and `connectOwner()`.
 */
import type { SuiteSetup } from './guard-of.ts'
import { approvalsSuite } from './guard-suite-approvals.ts'
import { auditSuite } from './guard-suite-audit.ts'
import { lockedSuite } from './guard-suite-locked.ts'
import { peersSuite } from './guard-suite-peers.ts'
import { requestsSuite } from './guard-suite-requests.ts'

/** The suite. */
export function guardSuite({ setup }: { setup: SuiteSetup }): void {
  requestsSuite(setup)
  approvalsSuite(setup)
  lockedSuite(setup)
  auditSuite(setup)
  peersSuite(setup)
}
