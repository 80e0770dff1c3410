/** `encrypt`, `decrypt`, `random`. */
import { encodeUtf8 } from '@stronghold/core'

import { defineCommand } from '../command.ts'
import type { Command } from '../command.ts'
import { readWhole } from '../data.ts'
import { PRINTS } from '../deliver.ts'
import { parseTarget } from '../reference.ts'
import { ASKING, useVault } from '../use-vault.ts'
import { number } from './key.ts'
import { MAX_INPUT_BYTES } from '../limits.ts'

/** What an envelope may be longer than its plaintext, in bytes: well above what there is of it. */
const ENVELOPE_ROOM = 4096

const OPTIONS = {
  in: { value: 'FILE', says: 'default stdin' },
  out: { value: 'FILE', says: 'default stdout' },
  context: { value: 'TEXT', says: 'bound to it and not in it; the same is needed to decrypt' },
  ...ASKING,
} as const

const contextOf = (text: string | undefined): { context?: Uint8Array } =>
  text === undefined ? {} : { context: encodeUtf8(text) }

const encrypt = defineCommand({
  name: 'encrypt',
  says: 'Encrypt up to 64 KiB into an envelope that names its key',
  operands: '[PEER:]PATH',
  options: OPTIONS,
  unlocks: true,
  examples: [
    ['stronghold encrypt backup/db --in dump.sql --out dump.sealed', 'a file'],
    ['echo secret | stronghold encrypt home:backup/db --out note.sealed', 'with a key of home'],
  ],
  prints: PRINTS.envelope,
  async run(call) {
    const { operands, options } = call
    const { peer, reference: key } = parseTarget(operands[0] ?? '')
    const message = await readWhole(call, options.in)
    await useVault(call, {
      peer,
      steps: [{ procedure: 'encrypt', input: { key, message, ...contextOf(options.context) } }],
      delivery: { kind: 'envelope', out: options.out ?? null, as: null },
    })
  },
})

const decrypt = defineCommand({
  name: 'decrypt',
  says: 'Open an envelope; the plaintext goes to stdout or into a file of your own',
  operands: '[PEER:]PATH',
  options: OPTIONS,
  unlocks: true,
  examples: [
    ['stronghold decrypt backup/db --in dump.sealed --out dump.sql', 'into a file, 0600'],
    ['stronghold decrypt backup/db --in note.sealed | less', 'through a pipe'],
  ],
  prints: PRINTS.plaintext,
  async run(call) {
    const { operands, options } = call
    const { peer, reference: key } = parseTarget(operands[0] ?? '')
    const envelope = await readWhole(call, options.in, MAX_INPUT_BYTES + ENVELOPE_ROOM)
    await useVault(call, {
      peer,
      steps: [{ procedure: 'decrypt', input: { key, envelope, ...contextOf(options.context) } }],
      delivery: { kind: 'plaintext', out: options.out ?? null, as: null },
    })
  },
})

const random = defineCommand({
  name: 'random',
  says: 'Give random bytes',
  operands: '[PEER:]BYTES',
  options: {
    format: { value: 'FORMAT', says: 'default hex', choices: ['hex', 'base64', 'raw'] },
    out: { value: 'FILE', says: 'default stdout' },
    ...ASKING,
  },
  unlocks: true,
  examples: [
    ['stronghold random 32', '64 hex digits'],
    ['stronghold random 1024 --format raw --out seed.bin', 'bytes into a file'],
  ],
  prints: PRINTS.random,
  async run(call) {
    const { operands, options } = call
    const [, peer, count = ''] = /^(?:([^:]*):)?(.*)$/s.exec(operands[0] ?? '') ?? []
    await useVault(call, {
      peer,
      steps: [{ procedure: 'random', input: { length: number(count, 'BYTES') } }],
      delivery: { kind: 'random', out: options.out ?? null, as: options.format ?? 'hex' },
    })
  },
})

/** `encrypt`, `decrypt`, `random`. */
export const CIPHER_COMMANDS: readonly Command[] = [encrypt, decrypt, random]
