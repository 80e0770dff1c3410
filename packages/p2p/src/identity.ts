/** Peer ids, addresses and the key behind them. */
declare const brand: unique symbol

/** A peer id as text, in its one canonical form (base58btc of the multihash). Compares, keys maps, prints as JSON. */
export type PeerId = string & { readonly [brand]: 'PeerId' }

/** A multiaddr as text, in its one canonical form. */
export type Address = string & { readonly [brand]: 'Address' }
