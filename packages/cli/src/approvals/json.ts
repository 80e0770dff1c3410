/** A pending request as `--json`, `watch` and `approvals.notify` print it. Pure. */
import { toHex } from '@stronghold/core'
import type { PendingApproval } from '@stronghold/guard'
import { z } from 'zod'

import { printMoment } from '../duration.ts'

/** The shape of it. Everything a peer said is escaped and cut. */
export const approvalShape: z.ZodType = z.object({
  id: z.string(),
  boundHash: z.string(),
  request: z.string(),
  peer: z.string(),
  peerName: z.string(),
  connection: z.string(),
  asked: z.string(),
  expires: z.string(),
  reason: z.string(),
  rule: z.object({ id: z.string(), sentence: z.string(), note: z.string() }),
  steps: z.array(
    z.object({
      procedure: z.string(),
      records: z.array(z.object({ role: z.string(), path: z.string(), version: z.int() })),
      format: z.string().optional(),
      blind: z.boolean(),
      title: z.string(),
      details: z.array(z.object({ name: z.string(), value: z.string() })),
    }),
  ),
  grantable: z.boolean(),
})

/** It as plain JSON: times as text, the hash as hex. */
export function approvalJson({
  boundHash,
  askedAtMs,
  expiresAtMs,
  ...rest
}: PendingApproval): Readonly<Record<string, unknown>> {
  const { id, request, peer, peerName, connection, reason, rule, steps, grantable } = rest
  return {
    id,
    boundHash: toHex(boundHash),
    request,
    peer,
    peerName,
    connection,
    asked: printMoment(askedAtMs),
    expires: printMoment(expiresAtMs),
    reason,
    rule,
    steps,
    grantable,
  }
}
