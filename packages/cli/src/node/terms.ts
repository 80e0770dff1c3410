/** The terms of a relay, on a node that serves as one. Knows no file and no door. */
import type { Node, RelayQuota } from '@stronghold/p2p'

import type { RelayTerms } from '../relay-terms.ts'

/** What of the terms differs counts from now on. */
export async function applyTerms(node: Node, before: RelayTerms, now: RelayTerms): Promise<void> {
  const { parsePeerId } = await import('@stronghold/p2p')
  const { relay } = node
  if (now.everybody !== before.everybody) relay[now.everybody ? 'allow' : 'deny']('everybody')
  for (const peer of now.allowed) {
    if (!before.allowed.includes(peer)) relay.allow(parsePeerId(peer))
  }
  for (const peer of now.denied) {
    if (!before.denied.includes(peer)) relay.deny(parsePeerId(peer))
  }
  if (!isSame(before.quota, now.quota)) relay.setQuota('everybody', now.quota)
  const peers = new Set([...Object.keys(before.quotas), ...Object.keys(now.quotas)])
  for (const peer of peers) {
    if (isSame(before.quotas[peer], now.quotas[peer])) continue
    relay.setQuota(parsePeerId(peer), now.quotas[peer])
  }
}

function isSame(a: RelayQuota | undefined, b: RelayQuota | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
