/**
 * Making a peer known: a name and addresses in the book, and its standing in the vault where that opens without anybody being
 * asked. It gives no right. Whoever runs in this home hears that the book was written.
 */
import { existsSync } from 'node:fs'

import { inBook, readBook, writeBook } from './book.ts'
import type { BookPeer } from './book.ts'
import type { Call } from './command.ts'
import { Failure, quoted } from './failure.ts'
import { peerOf, socketsOf } from './home.ts'
import { MAX_BOOK_ADDRESSES } from './limits.ts'

/** Who is to be known. */
export interface Acquaintance {
  readonly peer: string
  readonly name: string
  /** Before those that the book has, of which the oldest go where there are too many; without the peer id. */
  readonly addresses: readonly string[]
  readonly tags?: readonly string[]
}

/** @throws `Failure` `conflict` where another peer of the book is called so */
export function assertNameIsFree(book: readonly BookPeer[], name: string, peer?: string): void {
  const other = book.find((one) => one.name === name && one.peer !== peer)
  if (other === undefined) return
  throw new Failure('conflict', `cannot add peer ${quoted(name)}`, {
    reason: `${other.peer} is called so`,
    hint: `stronghold peer rename ${name} ANOTHER-NAME`,
  })
}

/**
 * This Stronghold is no peer of its own.
 *
 * @param cannot - what was to be done
 * @throws `Failure` `usage` for its own id
 */
export async function assertNotOurselves(
  home: Call['home'],
  peer: string,
  cannot: string,
): Promise<void> {
  if (!existsSync(home.identity) || (await peerOf(home)) !== peer) return
  throw new Failure('usage', cannot, {
    reason: 'that is this Stronghold itself',
    hint: 'do it on the other machine: stronghold pair join TICKET',
  })
}

/**
 * Makes a peer known, or says more of one that is.
 *
 * @returns its entry, and whether the vault has it now
 * @throws `Failure` `conflict` for a name that another has, `limit` for too many addresses at once
 */
export async function makeKnown(
  call: Pick<Call, 'home' | 'io' | 'withOwnerAtHand' | 'runningNode'>,
  { peer, name, addresses, tags = [] }: Acquaintance,
): Promise<{ entry: BookPeer; isKnown: boolean }> {
  const { home } = call
  const book = readBook(home)
  assertNameIsFree(book, name, peer)
  const before = inBook(book, peer)
  if (new Set(addresses).size > MAX_BOOK_ADDRESSES) {
    throw new Failure('limit', `cannot add peer ${quoted(name)}`, {
      reason: `it would have more than ${MAX_BOOK_ADDRESSES} addresses`,
    })
  }
  // Whoever moves often is where it was said last.
  const all = [...new Set([...addresses, ...(before?.addresses ?? [])])]
  const entry = {
    peer,
    name,
    addresses: all.slice(0, MAX_BOOK_ADDRESSES),
    blocked: before?.blocked ?? false,
  }
  const isKnown = await call.withOwnerAtHand(async (owner) => {
    if (owner === undefined) return false
    const known = (await owner.peers()).find((one) => one.peer === peer)
    if (known === undefined) await owner.addPeer(peer, name, tags)
    else {
      if (known.name !== name) await owner.renamePeer(peer, name)
      if (tags.length > 0) await owner.tagPeer(peer, tags)
    }
    return true
  })
  writeBook(home, [...readBook(home).filter((one) => one.peer !== peer), entry])
  await bookChanged(call)
  return { entry, isKnown }
}

/** Tells whoever runs in this home that the book was written. */
export async function bookChanged(call: Pick<Call, 'home' | 'io' | 'runningNode'>): Promise<void> {
  if (isServed(call)) await (await call.runningNode())?.bookChanged()
}

/** Whether something may run in this home: looking for a socket is quicker than loading what would call it. */
export function isServed({ home, io }: Pick<Call, 'home' | 'io'>): boolean {
  return existsSync(socketsOf(home, io.env).control)
}
