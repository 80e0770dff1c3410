/** The worked example of `docs/sync.md §11`, computed again: what another implementation would have to come to. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

import { concat, encodeUtf8, fromHex, toHex } from '@stronghold/core'
import { describe, expect, it } from 'vitest'

import { bucketsOf, entriesOf } from '../../src/sync/difference.ts'
import { decodeBody, encodeBody } from '../../src/sync/messages.ts'
import type { SentState, SyncBody } from '../../src/sync/messages.ts'
import { channelInfo } from '../../src/sync/run.ts'
import { contentOf, digestOf } from '../../src/sync/state.ts'

const DOC = readFileSync(new URL('../../../../docs/sync.md', import.meta.url), 'utf8')
const [, EXAMPLE = ''] = DOC.split('## 11. Worked example')

const ID = '5252525252525252525252525252525252525252525252525252525252525252'.slice(0, 32)
const SECRET = new Uint8Array(32).fill(0x53)
const VERSION = createHash('sha256')
  .update(
    concat([
      encodeUtf8('stronghold/sync/version/1'),
      fromHex(ID),
      Uint8Array.of(0, 0, 0, 1),
      SECRET,
    ]),
  )
  .digest('hex')
  .slice(0, 32)
const RECORD: SentState & { kind: 'stands' } = {
  kind: 'stands',
  id: ID,
  path: 'release/app',
  type: 'hmac-sha2',
  usage: ['mac', 'mac-verify'],
  egress: 'public',
  sync: true,
  createdAtMs: 1_795_262_400_000,
  minimum: 1,
  versions: [
    {
      number: 1,
      createdAtMs: 1_795_262_400_000,
      digest: VERSION,
      length: 32,
      sealed: new Uint8Array(72).fill(0xee),
    },
  ],
}
const GRAVE: SentState = {
  kind: 'removed',
  id: ID,
  path: 'release/app',
  removedAtMs: 1_795_262_400_001,
  version: 1,
  last: VERSION,
}
const ENTRIES = entriesOf([[ID, digestOf(RECORD)]])
const MARK = concat([Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1), new Uint8Array(8).fill(0xaa)])
const side = (peer: string, byte: number) => ({ peer, vault: new Uint8Array(16).fill(byte) })

const BODIES: Readonly<Record<string, SyncBody>> = {
  get: { kind: 'get', ids: [ID], secrets: true },
  put: { kind: 'put', mark: MARK, records: [RECORD] },
  'put of a removal': { kind: 'put', mark: MARK, records: [GRAVE] },
  entries: {
    kind: 'entries',
    mark: MARK,
    differ: Uint8Array.of(0x80),
    entries: ENTRIES,
    more: false,
  },
  results: { kind: 'results', results: [[ID, 'written', digestOf(RECORD)]] },
}

const VALUES: Readonly<Record<string, string>> = {
  'digest of the version': VERSION,
  'content of the record': contentOf(RECORD),
  'digest of the record': digestOf(RECORD),
  'content of its tombstone': contentOf(GRAVE),
  'the one entry': toHex(ENTRIES),
  'hash of its bucket': toHex(bucketsOf(ENTRIES, 0)),
  info: toHex(
    channelInfo(side('12D3KooWA', 0xa0), side('12D3KooWB', 0xb0), new Uint8Array(32).fill(1)),
  ),
  ...Object.fromEntries(
    Object.entries(BODIES).map(([name, body]) => [name, toHex(encodeBody(body))]),
  ),
}

/** The example as it stands in the document. */
function printed(): string {
  return Object.entries(VALUES)
    .map(([name, hex]) => `${name}\n${hex.replace(/.{1,64}/g, '  $&\n')}`)
    .join('')
}

describe('the worked example', () => {
  it('is what this program computes', () => {
    expect(EXAMPLE).toContain(printed())
  })

  it('is read back as it was written', () => {
    for (const body of Object.values(BODIES)) {
      expect(decodeBody(encodeBody(body))).toEqual(body)
    }
  })

  it('is no message with a byte less, more or other', () => {
    for (const body of Object.values(BODIES)) {
      const bytes = encodeBody(body)
      expect(() => decodeBody(bytes.subarray(1))).toThrow()
      expect(() => decodeBody(concat([bytes, Uint8Array.of(0)]))).toThrow()
      for (let at = 0; at < bytes.byteLength; at++) {
        const other = Uint8Array.from(bytes)
        other[at] = 0xff
        try {
          expect(encodeBody(decodeBody(other))).toEqual(other)
        } catch (error) {
          expect(error instanceof SyntaxError || error instanceof RangeError, String(error)).toBe(
            true,
          )
        }
      }
    }
  })
})
