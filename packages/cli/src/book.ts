/**
 * The peer book of a home: names, ids and addresses, as JSON. It is no secret and gives no right, so it works while the
 * vault is locked; what gives rights lies in the vault.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'

import { z } from 'zod'

import { Failure, quoted } from './failure.ts'
import { makeHome } from './home.ts'
import type { Home } from './home.ts'
import { MAX_BOOK_ADDRESSES, MAX_BOOK_PEERS } from './limits.ts'

/** A peer as the book has it. */
export interface BookPeer {
  readonly peer: string
  readonly name: string
  readonly addresses: readonly string[]
  readonly blocked: boolean
}

const NAME = /^[a-z0-9][a-z0-9._-]{0,31}$/
const PEER_ID = /^[1-9A-HJ-NP-Za-km-z]{40,128}$/
const bookFile = z.strictObject({
  v: z.literal(1),
  peers: z
    .array(
      z.strictObject({
        peer: z.string().regex(PEER_ID),
        name: z.string().regex(NAME),
        addresses: z.array(z.string().max(1024)).max(MAX_BOOK_ADDRESSES),
        blocked: z.boolean(),
      }),
    )
    .max(MAX_BOOK_PEERS),
})

/** The peers of a home; none where there is no book yet. @throws `Failure` `usage` for a file that is no book */
export function readBook(home: Home): BookPeer[] {
  let text: string
  try {
    text = readFileSync(home.peers, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  try {
    return bookFile.parse(JSON.parse(text)).peers
  } catch (cause) {
    throw new Failure('usage', `cannot read ${quoted(home.peers)}`, {
      reason: 'it is no peer book',
      hint: `move it away: mv ${home.peers} ${home.peers}.old`,
      cause,
    })
  }
}

/** Writes a book, whole or not at all. */
export function writeBook(home: Home, peers: readonly BookPeer[]): void {
  if (peers.length > MAX_BOOK_PEERS) {
    throw new Failure('limit', 'cannot add the peer', {
      reason: `${MAX_BOOK_PEERS} are known already`,
    })
  }
  makeHome(home)
  const temporary = `${home.peers}.${process.pid}.tmp`
  try {
    writeFileSync(temporary, `${JSON.stringify({ v: 1, peers }, undefined, 2)}\n`, { mode: 0o600 })
    renameSync(temporary, home.peers)
  } finally {
    rmSync(temporary, { force: true })
  }
}

/**
 * Puts a peer that the vault knows now into the book, where there is room and the name is free; what the book has of it stays.
 * The vault's word does not depend on it.
 */
export function noteInBook(home: Home, { peer, name }: { peer: string; name: string }): void {
  const book = readBook(home)
  const before = inBook(book, peer)
  const isTaken = book.some((one) => one.name === name && one.peer !== peer)
  if (before?.name === name || isTaken || !NAME.test(name) || book.length >= MAX_BOOK_PEERS) return
  const { addresses = [], blocked = false } = before ?? {}
  const others = book.filter((one) => one.peer !== peer)
  writeBook(home, [...others, { peer, name, addresses, blocked }])
}

/** The peer that a name or an id means; `undefined` for none. */
export function inBook(peers: readonly BookPeer[], text: string): BookPeer | undefined {
  return peers.find(({ peer, name }) => name === text || peer === text)
}

/** Whether a text has the form of a peer id. */
export function isPeerId(text: string): boolean {
  return PEER_ID.test(text)
}

/**
 * Nobody known is called so: where to look, and how to make somebody known.
 *
 * @param where - what has none of that name
 */
export function unknownPeer(text: string, where = 'there is none of that name or id'): Failure {
  const name = NAME.test(text) ? text : 'NAME'
  return new Failure('not_found', `cannot find peer ${quoted(text)}`, {
    reason: where,
    hint: `stronghold peer list; to make it known: stronghold pair new ${name}, or: stronghold peer add ${name} PEER-ID|ADDRESS`,
  })
}

/** @throws `Failure` `usage` for what is no name of a peer */
export function assertPeerName(name: string): void {
  if (NAME.test(name) && name !== 'known') return
  throw new Failure('usage', 'cannot name the peer', {
    reason: `${quoted(name)} is no word of a to z, 0 to 9, '.', '_' and '-'`,
  })
}
