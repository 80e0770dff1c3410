/** `key import`: a secret that exists already, read straight into locked memory and sealed on its way to the vault. */
import { closeSync, openSync, readSync } from 'node:fs'
import { resolve } from 'node:path'

import { equalBytes } from '@stronghold/core'
import { EGRESS, RECORD_TYPES } from '@stronghold/vault/catalog'
import type { Egress } from '@stronghold/vault/catalog'
import type { Secret, Slab } from '@stronghold/vault'

import { defineCommand } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { Failure, quoted } from '../failure.ts'
import { recordAt, recordJson, recordLine, recordShape, runAll } from '../procedures.ts'
import { parseOwn } from '../reference.ts'
import { MAX_SECRET_BYTES } from '../limits.ts'

const FORMATS = ['raw', 'pkcs8', 'jwk', 'openssh', 'bip39'] as const
const SLAB_BYTES = 256 * 1024

/** `key import` */
export const keyImport: Command = defineCommand({
  name: 'key import',
  says: 'Take a secret that exists already; it is read into locked memory and never shown again',
  operands: 'PATH',
  options: {
    in: { value: 'FILE', says: 'where it stands; default stdin' },
    format: { value: 'FORMAT', says: 'default: as the file begins', choices: FORMATS },
    type: { value: 'TYPE', says: 'what a raw secret or a symmetric JWK is', choices: RECORD_TYPES },
    'secret-passphrase-file': { value: 'FILE', says: 'of an encrypted OpenSSH key, or of BIP-39' },
    'ask-secret-passphrase': { says: 'ask for it on the terminal' },
    egress: { value: 'LEVEL', says: 'the most that ever leaves', choices: EGRESS },
    sync: {
      value: 'yes|no',
      says: 'may it go to another Stronghold; default no',
      choices: ['yes', 'no'],
    },
  },
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold key import release/app --in ~/.ssh/id_ed25519', 'an OpenSSH key'],
    ['stronghold key import db/password --in secret.txt --format raw --type opaque', 'any bytes'],
  ],
  prints: recordShape,
  async run(call) {
    const { operands, options, terminal, dryRun, withOwner } = call
    const to = parseOwn(operands[0] ?? '')
    const { sealTo, Slab } = await import('@stronghold/vault')
    using slab = new Slab({ bytes: SLAB_BYTES })
    using secret = readSecret(call, slab, options.in)
    using passphrase = await readOwnPassphrase(call, slab)
    const as = formatOf(secret.bytes, options)
    if (dryRun) {
      const would = `import:to ${to}`
      await terminal.result({ dryRun: true, would: [would] }, `would run ${would}`)
      return
    }
    await withOwner(async (owner) => {
      const key = await owner.boxKey()
      const { egress, sync } = options
      const labels = {
        ...(egress === undefined ? {} : { egress: egress as Egress }),
        ...(sync === undefined ? {} : { sync: sync === 'yes' }),
      }
      const input = {
        to,
        as,
        secret: { sealed: sealTo(key, secret.bytes) },
        ...(Object.keys(labels).length === 0 ? {} : { labels }),
        ...(passphrase === undefined
          ? {}
          : { passphrase: { sealed: sealTo(key, passphrase.bytes) } }),
      }
      await runAll(owner, [{ procedure: 'import', input }])
      const record = await recordAt(owner, to)
      await terminal.result(recordJson(record), recordLine(record))
    })
  },
})

/** The bytes of a file or of stdin, in locked memory from the first. */
function readSecret({ io }: Pick<Call, 'io'>, slab: Slab, file: string | undefined): Secret {
  const isStdin = file === undefined || file === '-'
  const descriptor = isStdin ? io.stdin.descriptor : openSync(resolve(io.cwd, file), 'r')
  if (descriptor === undefined || (isStdin && io.stdin.isTerminal)) {
    throw new Failure('usage', 'cannot read the secret', {
      reason: 'a terminal would show it',
      hint: 'name a file by --in FILE, or send it through a pipe',
    })
  }
  try {
    using room = slab.take(MAX_SECRET_BYTES + 1)
    let length = 0
    for (;;) {
      const read = readSync(descriptor, room.bytes, length, room.length - length, null)
      if (read === 0) break
      length += read
      if (length > MAX_SECRET_BYTES) {
        throw new Failure('limit', 'cannot read the secret', {
          reason: `it is longer than ${MAX_SECRET_BYTES} bytes`,
        })
      }
    }
    if (length === 0)
      throw new Failure('usage', 'cannot read the secret', { reason: 'it is empty' })
    return slab.copy(room.bytes.subarray(0, length))
  } finally {
    if (!isStdin) closeSync(descriptor)
  }
}

async function readOwnPassphrase(
  {
    io,
    options,
  }: {
    readonly io: Call['io']
    readonly options: {
      readonly 'secret-passphrase-file'?: string
      readonly 'ask-secret-passphrase'?: boolean
    }
  },
  slab: Slab,
): Promise<Secret | undefined> {
  const file = options['secret-passphrase-file']
  if (file !== undefined) {
    const { passphraseAt } = await import('../passphrase.ts')
    return await passphraseAt(resolve(io.cwd, file), slab)
  }
  if (options['ask-secret-passphrase'] !== true) return undefined
  const { ask } = await import('../passphrase.ts')
  return ask(io, slab, 'Passphrase of the secret: ', {
    cannot: 'cannot import the secret',
    hint: 'name a --secret-passphrase-file',
  })
}

const BEGINNINGS: readonly (readonly [string, (typeof FORMATS)[number]])[] = [
  ['-----BEGIN OPENSSH', 'openssh'],
  ['-----BEGIN ', 'pkcs8'],
  ['{', 'jwk'],
]

/** How a secret is to be read, as the catalog takes it. */
function formatOf(
  secret: Uint8Array,
  { format, type }: { readonly format?: string; readonly type?: string },
): Readonly<Record<string, unknown>> {
  const begins = BEGINNINGS.find(([text]) =>
    equalBytes(secret.subarray(0, text.length), new TextEncoder().encode(text)),
  )
  const as = format ?? begins?.[1]
  switch (as) {
    case undefined:
      throw new Failure('usage', 'cannot read the secret', {
        reason: 'its beginning does not say what it is',
        hint: 'name it: --format raw --type TYPE, or --format bip39',
      })
    case 'raw':
      if (type === undefined) {
        throw new Failure('usage', 'cannot read the secret', {
          reason: 'raw bytes do not say what they are for',
          hint: `name a --type: ${RECORD_TYPES.join(', ')}`,
        })
      }
      return { format: as, type }
    case 'jwk':
      return { format: as, ...(type === undefined ? {} : { type }) }
    case 'bip39':
      return { format: as, language: 'english' }
    default:
      if (type !== undefined) {
        throw new Failure('usage', `cannot use --type ${quoted(type)}`, {
          reason: `a file in format ${as} says itself what it is`,
        })
      }
      return { format: as }
  }
}
