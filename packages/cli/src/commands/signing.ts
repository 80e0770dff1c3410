/** `sign`, `verify`, `pub`: what people come for. */
import { basename } from 'node:path'

import { toHex } from '@stronghold/core'
import { verify as verifyProcedure } from '@stronghold/vault/catalog'
import type { Vault } from '@stronghold/vault'
import type { InputOf, pub as pubProcedure, sign as signProcedure } from '@stronghold/vault/catalog'

import { defineCommand } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { HASHES, readInput, readWhole, tooLong } from '../data.ts'
import type { Input } from '../data.ts'
import { deliver, PRINTS } from '../deliver.ts'
import { Failure, quoted } from '../failure.ts'
import { list } from '../lists.ts'
import { readPublicKey } from '../public-key.ts'
import { parseTarget, pathOf } from '../reference.ts'
import { ASKING, useVault } from '../use-vault.ts'
import { MAX_INPUT_BYTES, MAX_PUBLIC_KEY_BYTES, MAX_SIGNATURE_BYTES } from '../limits.ts'

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

/** What is signed: by its digest where it is too large to be handed over and the format allows that, else read no further. */
async function inputOf(
  call: Pick<Call, 'io' | 'terminal'>,
  file: string | undefined,
  as: SignAs,
): Promise<Input> {
  if (as === undefined || as.format === 'sshsig') return await readInput(call, file)
  const refused = (): Failure =>
    new Failure('limit', `cannot sign as ${as.format}`, {
      reason: `the input is too large: ${tooLong(file).reason ?? ''}`,
      hint: 'sign it as sshsig, which hashes it here: --format sshsig',
    })
  return { kind: 'whole', bytes: await readWhole(call, file, MAX_INPUT_BYTES, refused) }
}

/** Message and format of an input. */
function messageOf(
  input: Input,
  as: SignAs,
  hash: (typeof HASHES)[number] = 'sha512',
): { message: Uint8Array; as?: NonNullable<SignAs> } {
  if (input.kind === 'whole') return { message: input.bytes, ...(as === undefined ? {} : { as }) }
  const namespace = as?.format === 'sshsig' ? as.namespace : 'file'
  const asked = { format: 'sshsig', namespace, hash, digested: true } as const
  return { message: input.digests[hash], as: asked }
}

/** The same with what is said of the file: whoever is asked about a digest sees no more of it than that. */
function withClaims(
  { message, as }: ReturnType<typeof messageOf>,
  input: Input,
  file: string | undefined,
): ReturnType<typeof messageOf> {
  if (input.kind === 'whole' || as?.format !== 'sshsig') {
    return { message, ...(as === undefined ? {} : { as }) }
  }
  const name = file === undefined || file === '-' ? {} : { name: basename(file).slice(0, 255) }
  const claimed = { ...name, bytes: input.length, sha256: toHex(input.digests.sha256) }
  return { message, as: { ...as, claimed } }
}

const sign = defineCommand({
  name: 'sign',
  says: 'Sign a file, in a format that says what is signed',
  operands: '[PEER:]PATH',
  options: {
    in: { value: 'FILE', says: 'what to sign; default stdin' },
    out: { value: 'FILE', says: 'where the signature goes; default stdout' },
    ...FORMAT_OPTIONS,
    ...ASKING,
  },
  changes: true,
  unlocks: true,
  examples: [
    [
      'stronghold sign release/app --in app.tgz --out app.tgz.sig',
      'an SSH signature, which ssh-keygen -Y verify accepts',
    ],
    [
      'stronghold sign home:release/app --in app.tgz --out app.tgz.sig --reason v2.4.0 --receipt r.json',
      'with a key of home, where a person may be asked',
    ],
  ],
  prints: PRINTS.signature,
  async run(call) {
    const { operands, options } = call
    const { peer, reference: key } = parseTarget(operands[0] ?? '')
    const as = signAs(options)
    const input = await inputOf(call, options.in, as)
    const asked = withClaims(messageOf(input, as), input, options.in)
    await useVault(call, {
      peer,
      steps: [{ procedure: 'sign', input: { key, ...asked } }],
      delivery: { kind: 'signature', out: options.out ?? null, as: null },
    })
  },
})

const verify = defineCommand({
  name: 'verify',
  says: 'Check a signature, with a record of the vault or with a public key that is given',
  operands: '[[PEER:]PATH]',
  options: {
    sig: { value: 'FILE', says: 'the signature' },
    in: { value: 'FILE', says: 'what was signed; default stdin' },
    key: { value: 'FILE', says: 'a public key: OpenSSH, PEM or JWK; needs no vault' },
    ...FORMAT_OPTIONS,
    ...ASKING,
  },
  unlocks: true,
  examples: [
    ['stronghold verify release/app --sig app.tgz.sig --in app.tgz', 'with a record of the vault'],
    ['stronghold verify --key app.pub --sig app.tgz.sig --in app.tgz', 'without a vault'],
  ],
  prints: PRINTS.verdict,
  async run(call) {
    const { operands, options } = call
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
    const input = await inputOf(call, options.in, as)
    // Which hash a signature is over, it says itself; of what was hashed here, each is tried.
    const asked = HASHES.slice(0, input.kind === 'whole' ? 1 : HASHES.length).map((hash) => ({
      signature,
      ...messageOf(input, as, hash),
    }))
    const delivery = { kind: 'verdict', out: null, as: quoted(sig) } as const
    if (keyFile === undefined) {
      const { peer, reference: key } = parseTarget(path ?? '')
      const steps = asked.map((one) => ({ procedure: 'verify', input: { key, ...one } }))
      await useVault(call, { peer, steps, delivery })
      return
    }
    const publicKey = readPublicKey(await readWhole(call, keyFile, MAX_PUBLIC_KEY_BYTES))
    const outputs = await withoutVault((vault) =>
      Promise.all(asked.map((one) => vault.run(verifyProcedure, { publicKey, ...one }))),
    )
    await deliver(call, { ...delivery, receipt: null }, { outputs }, { peer: null, request: null })
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
  operands: '[PEER:]PATH',
  options: {
    format: { value: 'FORMAT', says: 'default ssh', choices: PUBLIC_FORMATS },
    principal: { value: 'NAME', says: 'of allowed-signers; default the path' },
    namespace: { value: 'LIST', says: 'of allowed-signers: what it may sign', many: true },
    out: { value: 'FILE', says: 'where it goes; default stdout' },
    ...ASKING,
  },
  unlocks: true,
  examples: [
    ['stronghold pub release/app', 'a line for authorized_keys'],
    ['stronghold pub home:release/app --format allowed-signers > signers', 'for ssh-keygen'],
  ],
  prints: PRINTS['public-key'],
  async run(call) {
    const { operands, options } = call
    const { peer, reference: key } = parseTarget(operands[0] ?? '')
    const format = (options.format ?? 'ssh') as (typeof PUBLIC_FORMATS)[number]
    await useVault(call, {
      peer,
      steps: [{ procedure: 'pub', input: { key, as: publicAs(format, pathOf(key), options) } }],
      delivery: { kind: 'public-key', out: options.out ?? null, as: format },
    })
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
