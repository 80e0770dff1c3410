/** Addresses in the order in which somebody elsewhere is best told them. Pure but for what it loads. */
import type { Address } from '@stronghold/p2p'

/**
 * Addresses that lead far first, one through a relay among the first four, those of this machine last.
 *
 * @param addresses - each with or without a peer id at its end
 */
export async function bestFirst(addresses: readonly string[]): Promise<Address[]> {
  const { parseAddress, scopeOf } = await import('@stronghold/p2p')
  const rank = { public: 0, private: 1, local: 3 } as const
  const ranked = addresses.map((text) => {
    const address = parseAddress(text)
    return { address, rank: address.includes('/p2p-circuit') ? 2 : rank[scopeOf(address)] }
  })
  const direct = ranked.filter((one) => one.rank < 2).sort((a, b) => a.rank - b.rank)
  const relayed = ranked.filter((one) => one.rank === 2)
  const local = ranked.filter((one) => one.rank === 3)
  const [first] = relayed
  const front = first === undefined ? direct : [...direct.slice(0, 3), first, ...direct.slice(3)]
  return [...front, ...relayed.slice(1), ...local].map(({ address }) => address)
}
