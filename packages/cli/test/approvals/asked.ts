/** Pending requests for tests that show them. */
import type { PendingApproval } from '@stronghold/guard'
import { approvalId } from '@stronghold/guard'

/** When everything here was asked, in milliseconds since the epoch. */
export const ASKED_AT_MS = 1_800_000_000_000

/** A request of `ci` to sign a text, `n` telling it from others. It waits for ten minutes. */
export function asked(n: number, other: Partial<PendingApproval> = {}): PendingApproval {
  const boundHash = new Uint8Array(32).fill(n)
  return {
    id: approvalId(boundHash),
    boundHash,
    request: 'q-7f3a0000000000000000000000000000',
    peer: '12D3KooWCi111111111111111111111111111111111111111111',
    peerName: 'ci',
    connection: '/ip4/192.0.2.7/tcp/40112',
    askedAtMs: ASKED_AT_MS,
    expiresAtMs: ASKED_AT_MS + 600_000,
    reason: 'v2.4.0',
    rule: { id: 'r2', sentence: 'ci may, after a person agreed, use sign', note: '' },
    steps: [
      {
        procedure: 'sign',
        records: [{ role: 'key', path: 'release/app', version: 1 }],
        format: 'sshsig:file',
        blind: false,
        title: 'sign text for file',
        details: [{ name: 'namespace', value: 'file' }],
      },
    ],
    grantable: true,
    ...other,
  }
}
