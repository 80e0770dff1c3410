/** `sign`, `verify`, `pub`: what people come for. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'

import { encodeUtf8 } from '@stronghold/core'
import type { OwnerDoor } from '@stronghold/guard'
import {
  pub as pubProcedure,
  sign as signProcedure,
  verify as verifyProcedure,
} from '@stronghold/vault/catalog'
import type { Vault } from '@stronghold/vault'
import type { InputOf } from '@stronghold/vault/catalog'
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Command } from '../command.ts'
import { HASHES, readInput, readWhole, tooLong, writeOutput } from '../data.ts'
import type { Input } from '../data.ts'
import { Failure, quoted } from '../failure.ts'
import { list, toBase64 } from '../lists.ts'
import { runOne } from '../procedures.ts'
import { readPublicKey } from '../public-key.ts'
import { parseOwn, pathOf } from '../reference.ts'
import { MAX_SIGNATURE_BYTES } from '../limits.ts'

const FORMATS = [
  'sshsig',
  'git',
  'raw',
  'der',
  'jws',
  'compact',
  'recoverable',
  'ethereum',
  'digest',
] as const
const KINDS = ['eip191', 'eip712', 'transaction'] as const
const ENCODINGS = ['compact', 'recoverable', 'der'] as const

const FORMAT_OPTIONS = {
  format: { value: 'FORMAT', says: 'default sshsig', choices: FORMATS },
  namespace: { value: 'NAME', says: 'what an SSHSIG is for; default file' },
  kind: { value: 'KIND', says: 'of an Ethereum signature', choices: KINDS },
  encoding: { value: 'ENCODING', says: 'of a signed digest; default compact', choices: ENCODINGS },
} as const

type SignAs = InputOf<typeof signProcedure>['as']
interface FormatValues {
  readonly format?: string
  readonly namespace?: string
  readonly kind?: string
  readonly encoding?: string
}

/** How to sign, as the catalog takes it; `undefined` for what is usual for the key. */
function signAs({ format, namespace, kind, encoding }: FormatValues): SignAs {
  const stray = (name: string, of: string): Failure =>
    new Failure('usage', `cannot use --${name}`, { reason: `it belongs to --format ${of}` })
  if (namespace !== undefined && (format ?? 'sshsig') !== 'sshsig') {
    throw stray('namespace', 'sshsig')
  }
  if (kind !== undefined && format !== 'ethereum') throw stray('kind', 'ethereum')
  if (encoding !== undefined && format !== 'digest') throw stray('encoding', 'digest')
  switch (format as (typeof FORMATS)[number] | undefined) {
    case undefined:
      return namespace === undefined ? undefined : { format: 'sshsig', namespace }
    case 'sshsig':
      return { format: 'sshsig', namespace: namespace ?? 'file' }
    case 'ethereum':
      if (kind === undefined) {
        throw new Failure('usage', 'cannot sign for Ethereum', {
          reason: 'it is not said what is signed',
          hint: `name a --kind: ${KINDS.join(', ')}`,
        })
      }
      return { format: 'ethereum', kind: kind as (typeof KINDS)[number] }
    case 'digest':
      return {
        format: 'digest',
        ...(encoding === undefined ? {} : { encoding: encoding as (typeof ENCODINGS)[number] }),
      }
    default:
      return { format: format as 'raw' | 'der' | 'jws' | 'git' | 'compact' | 'recoverable' }
  }
}

/** Message and format of an input: what is too large to be handed over goes by its digest, where the format allows it. */
function messageOf(
  input: Input,
  as: SignAs,
  file: string | undefined,
  hash: (typeof HASHES)[number] = 'sha512',
): { message: Uint8Array; as?: NonNullable<SignAs> } {
  if (input.kind === 'whole') return { message: input.bytes, ...(as === undefined ? {} : { as }) }
  const asked = as ?? { format: 'sshsig' as const, namespace: 'file' }
  if (asked.format !== 'sshsig') {
    const { reason } = tooLong(file)
    throw new Failure('limit', `cannot sign as ${asked.format}`, {
      reason: `the input is too large: ${reason ?? ''}`,
      hint: 'sign it as sshsig, which hashes it here: --format sshsig',
    })
  }
  return { message: input.digests[hash], as: { ...asked, hash, digested: true } }
}

const sign = defineCommand({
  name: 'sign',
  says: 'Sign a file, in a format that says what is signed',
  operands: 'PATH',
  options: {
    in: { value: 'FILE', says: 'what to sign; default stdin' },
    out: { value: 'FILE', says: 'where the signature goes; default stdout' },
    ...FORMAT_OPTIONS,
  },
  changes: true,
  unlocks: true,
  examples: [
    [
      'stronghold sign release/app --in app.tgz --out app.tgz.sig',
      'an SSH signature, which ssh-keygen -Y verify accepts',
    ],
    [
      'stronghold sign release/jwt --format jws --in claims.json',
      'a JSON Web Signature, on stdout',
    ],
  ],
  prints: z.object({
    version: z.int(),
    bytes: z.int(),
    out: z.string().nullable(),
    signature: z.string().nullable(),
  }),
  async run(call) {
    const { operands, options, terminal, json, dryRun } = call
    const key = parseOwn(operands[0] ?? '')
    const as = signAs(options)
    const asked = messageOf(await readInput(call, options.in), as, options.in)
    if (dryRun) {
      const would = `sign:key ${pathOf(key)}`
      await terminal.result({ dryRun: true, would: [would] }, `would run ${would}`)
      return
    }
    const { signature, version } = await call.withOwner((owner) =>
      runOne(owner, signProcedure, { key, ...asked }),
    )
    const { out } = options
    if (out !== undefined || !json) await writeOutput(call, out, signature)
    if (json) {
      await terminal.result(
        {
          version,
          bytes: signature.byteLength,
          out: out ?? null,
          signature: out === undefined ? toBase64(signature) : null,
        },
        '',
      )
    } else if (out !== undefined) await terminal.note(`wrote ${out}`)
  },
})

const verify = defineCommand({
  name: 'verify',
  says: 'Check a signature, with a record of the vault or with a public key that is given',
  operands: '[PATH]',
  options: {
    sig: { value: 'FILE', says: 'the signature' },
    in: { value: 'FILE', says: 'what was signed; default stdin' },
    key: { value: 'FILE', says: 'a public key: OpenSSH, PEM or JWK; needs no vault' },
    ...FORMAT_OPTIONS,
  },
  unlocks: true,
  examples: [
    ['stronghold verify release/app --sig app.tgz.sig --in app.tgz', 'with a record of the vault'],
    ['stronghold verify --key app.pub --sig app.tgz.sig --in app.tgz', 'without a vault'],
  ],
  prints: z.object({ valid: z.boolean() }),
  async run(call) {
    const { operands, options, terminal, io } = call
    const { sig, key: keyFile } = options
    const [path] = operands
    if ((path === undefined) === (keyFile === undefined)) {
      throw new Failure('usage', 'cannot run verify', {
        reason: 'it needs either a PATH or a --key FILE',
        hint: 'stronghold verify --help',
      })
    }
    if (sig === undefined) {
      throw new Failure('usage', 'cannot run verify', {
        reason: 'it is not said where the signature is',
        hint: 'name it by --sig FILE',
      })
    }
    const as = signAs(options)
    const signature = await readWhole(call, sig, MAX_SIGNATURE_BYTES)
    const input = await readInput(call, options.in)
    const by =
      keyFile === undefined
        ? { key: parseOwn(path ?? '') }
        : { publicKey: readPublicKey(readFileSync(resolve(io.cwd, keyFile))) }
    const asked = HASHES.slice(0, input.kind === 'whole' ? 1 : HASHES.length).map((hash) => ({
      ...by,
      signature,
      ...messageOf(input, as, options.in, hash),
    }))
    const check = async (
      run: (input: InputOf<typeof verifyProcedure>) => Promise<{ valid: boolean }>,
    ): Promise<boolean> => {
      for (const one of asked) if ((await run(one)).valid) return true
      return false
    }
    const valid =
      keyFile === undefined
        ? await call.withOwner((owner: OwnerDoor) =>
            check((one) => runOne(owner, verifyProcedure, one)),
          )
        : await withoutVault((vault) => check((one) => vault.run(verifyProcedure, one)))
    if (!valid) {
      throw new Failure('verification_failed', `cannot verify ${quoted(sig)}`, {
        reason: `it is no signature of this key over ${options.in === undefined ? 'the input' : quoted(options.in)} in this format`,
      })
    }
    await terminal.result({ valid }, 'valid')
  },
})

/** A vault of nothing, in memory, for what needs none of its secrets. */
async function withoutVault<T>(use: (vault: Vault) => Promise<T>): Promise<T> {
  const { createVault, MemoryStore } = await import('@stronghold/vault')
  const keyFile = crypto.getRandomValues(new Uint8Array(32))
  await using vault = await createVault({ at: new MemoryStore(), credential: { keyFile } })
  return await use(vault)
}

const PUBLIC_FORMATS = ['raw', 'spki', 'jwk', 'ssh', 'allowed-signers', 'peer-id', 'evm'] as const

const pub = defineCommand({
  name: 'pub',
  says: 'Show the public key of a record',
  operands: 'PATH',
  options: {
    format: { value: 'FORMAT', says: 'default ssh', choices: PUBLIC_FORMATS },
    principal: { value: 'NAME', says: 'of allowed-signers; default the path' },
    namespace: { value: 'LIST', says: 'of allowed-signers: what it may sign', many: true },
    out: { value: 'FILE', says: 'where it goes; default stdout' },
  },
  unlocks: true,
  examples: [
    ['stronghold pub release/app', 'a line for authorized_keys'],
    ['stronghold pub release/app --format allowed-signers > signers', 'for ssh-keygen -Y verify'],
  ],
  prints: z.object({
    type: z.string(),
    version: z.int(),
    format: z.string(),
    key: z.string(),
    thumbprint: z.string().nullable(),
  }),
  async run(call) {
    const { operands, options, terminal, json, withOwner } = call
    const key = parseOwn(operands[0] ?? '')
    const format = (options.format ?? 'ssh') as (typeof PUBLIC_FORMATS)[number]
    const as = publicAs(format, pathOf(key), options)
    const shown = await withOwner((owner) => runOne(owner, pubProcedure, { key, as }))
    const { type, version, publicKey, text, thumbprint } = shown
    if (json) {
      const written = text ?? (publicKey === undefined ? '' : toBase64(publicKey))
      await terminal.result(
        { type, version, format, key: written, thumbprint: thumbprint ?? null },
        '',
      )
      return
    }
    const bytes = publicKey ?? encodeUtf8(text?.endsWith('\n') === true ? text : `${text ?? ''}\n`)
    await writeOutput(call, options.out, bytes)
  },
})

function publicAs(
  format: (typeof PUBLIC_FORMATS)[number],
  path: string,
  { principal, namespace }: { readonly principal?: string; readonly namespace?: readonly string[] },
): NonNullable<InputOf<typeof pubProcedure>['as']> {
  if (format === 'ssh') return { format: 'openssh', comment: path }
  if (format !== 'allowed-signers') return { format }
  return {
    format,
    principal: principal ?? path,
    ...(namespace === undefined ? {} : { namespaces: list(namespace, 'namespace') }),
  }
}

/** `sign`, `verify`, `pub`. */
export const SIGNING_COMMANDS: readonly Command[] = [sign, verify, pub]
