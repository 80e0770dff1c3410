/**
 * The highest head that each vault elsewhere has shown, from one run to the next: a vault behind it has been put back. One
 * small file of the home, read once and written whole. It verifies nothing.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'

import { DoorError } from '@stronghold/guard/socket'
import { z } from 'zod'

import { makeHome } from '../home.ts'
import type { Home } from '../home.ts'
import { MAX_HEADS } from '../limits.ts'
import { toBase64 } from '../lists.ts'

const file = z.strictObject({
  v: z.literal(1),
  heads: z.record(z.string().regex(/^[1-9A-HJ-NP-Za-km-z]{40,128}$/), z.base64().max(2048)),
})

/** The head of a peer's vault as an earlier run saw it. @throws `DoorError` `invalid_argument` for a file that holds no heads */
export function readHead(home: Home, peer: string): Uint8Array | undefined {
  const text = readHeads(home)[peer]
  return text === undefined ? undefined : new Uint8Array(Buffer.from(text, 'base64'))
}

/** Keeps the head of a peer's vault, whole or not at all; of too many peers the one seen longest ago is forgotten. */
export function writeHead(home: Home, peer: string, head: Uint8Array): void {
  const text = toBase64(head)
  // Read again each time: another run of this program may have written meanwhile.
  const { [peer]: before, ...others } = readHeads(home)
  if (before === text) return
  const kept = [...Object.entries(others).slice(1 - MAX_HEADS), [peer, text] as const]
  makeHome(home)
  const temporary = `${home.heads}.${process.pid}.tmp`
  try {
    writeFileSync(temporary, `${JSON.stringify({ v: 1, heads: Object.fromEntries(kept) })}\n`, {
      mode: 0o600,
    })
    renameSync(temporary, home.heads)
  } finally {
    rmSync(temporary, { force: true })
  }
}

function readHeads(home: Home): Readonly<Record<string, string>> {
  let text: string
  try {
    text = readFileSync(home.heads, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
  try {
    return file.parse(JSON.parse(text)).heads
  } catch {
    const place = JSON.stringify(home.heads.slice(-64))
    throw new DoorError(
      'invalid_argument',
      `Cannot read ${place}: it holds no heads of vaults, move it away`,
      'no',
    )
  }
}
