/** `encrypt`, `decrypt`, `random`. */
import {
  decrypt as decryptProcedure,
  encrypt as encryptProcedure,
  random as randomProcedure,
} from '@stronghold/vault/catalog'
import { encodeUtf8, toHex } from '@stronghold/core'
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Command } from '../command.ts'
import { readWhole, writeOutput } from '../data.ts'
import { toBase64 } from '../lists.ts'
import { runOne } from '../procedures.ts'
import { parseOwn } from '../reference.ts'
import { number } from './key.ts'
import { MAX_INPUT_BYTES } from '../limits.ts'

/** What an envelope may be longer than its plaintext, in bytes: well above what there is of it. */
const ENVELOPE_ROOM = 4096

const OPTIONS = {
  in: { value: 'FILE', says: 'default stdin' },
  out: { value: 'FILE', says: 'default stdout' },
  context: { value: 'TEXT', says: 'bound to it and not in it; the same is needed to decrypt' },
} as const

const contextOf = (text: string | undefined): { context?: Uint8Array } =>
  text === undefined ? {} : { context: encodeUtf8(text) }

const encrypt = defineCommand({
  name: 'encrypt',
  says: 'Encrypt up to 64 KiB into an envelope that names its key',
  operands: 'PATH',
  options: OPTIONS,
  unlocks: true,
  examples: [
    ['stronghold encrypt backup/db --in dump.sql --out dump.sealed', 'a file'],
    ['echo secret | stronghold encrypt backup/db --out note.sealed', 'from a pipe'],
  ],
  prints: z.object({ envelope: z.string().nullable(), bytes: z.int(), out: z.string().nullable() }),
  async run(call) {
    const { operands, options, terminal, json, withOwner } = call
    const key = parseOwn(operands[0] ?? '')
    const message = await readWhole(call, options.in)
    const { envelope } = await withOwner((owner) =>
      runOne(owner, encryptProcedure, { key, message, ...contextOf(options.context) }),
    )
    const { out } = options
    if (out !== undefined || !json) await writeOutput(call, out, envelope)
    if (json) {
      const shown = out === undefined ? toBase64(envelope) : null
      await terminal.result({ envelope: shown, bytes: envelope.byteLength, out: out ?? null }, '')
    }
  },
})

const decrypt = defineCommand({
  name: 'decrypt',
  says: 'Open an envelope; the plaintext goes to stdout or into a file of your own',
  operands: 'PATH',
  options: OPTIONS,
  unlocks: true,
  examples: [
    ['stronghold decrypt backup/db --in dump.sealed --out dump.sql', 'into a file, 0600'],
    ['stronghold decrypt backup/db --in note.sealed | less', 'through a pipe'],
  ],
  prints: z.object({ message: z.string().nullable(), bytes: z.int(), out: z.string().nullable() }),
  async run(call) {
    const { operands, options, terminal, json, withOwner } = call
    const key = parseOwn(operands[0] ?? '')
    const envelope = await readWhole(call, options.in, MAX_INPUT_BYTES + ENVELOPE_ROOM)
    const { message } = await withOwner((owner) =>
      runOne(owner, decryptProcedure, { key, envelope, ...contextOf(options.context) }),
    )
    try {
      const { out } = options
      if (out !== undefined || !json) await writeOutput(call, out, message, 0o600)
      if (json) {
        const shown = out === undefined ? toBase64(message) : null
        await terminal.result({ message: shown, bytes: message.byteLength, out: out ?? null }, '')
      }
    } finally {
      message.fill(0)
    }
  },
})

const random = defineCommand({
  name: 'random',
  says: 'Give random bytes',
  operands: 'BYTES',
  options: {
    format: { value: 'FORMAT', says: 'default hex', choices: ['hex', 'base64', 'raw'] },
    out: { value: 'FILE', says: 'default stdout' },
  },
  unlocks: true,
  examples: [
    ['stronghold random 32', '64 hex digits'],
    ['stronghold random 1024 --format raw --out seed.bin', 'bytes into a file'],
  ],
  prints: z.object({ bytes: z.string() }),
  async run(call) {
    const { operands, options, terminal, json, withOwner } = call
    const length = number(operands[0] ?? '', 'BYTES')
    const { bytes } = await withOwner((owner) => runOne(owner, randomProcedure, { length }))
    const { format = 'hex' } = options
    const text = format === 'base64' ? toBase64(bytes) : toHex(bytes)
    if (json) await terminal.result({ bytes: toBase64(bytes) }, '')
    else if (format === 'raw') await writeOutput(call, options.out, bytes, 0o600)
    else await writeOutput(call, options.out, encodeUtf8(`${text}\n`), 0o600)
  },
})

/** `encrypt`, `decrypt`, `random`. */
export const CIPHER_COMMANDS: readonly Command[] = [encrypt, decrypt, random]
