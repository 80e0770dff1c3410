/** `key`: records, made, shown, changed and taken away. Nothing here shows a secret. */
import { EGRESS, generate, RECORD_TYPES, revoke, rotate, USAGES } from '@stronghold/vault/catalog'
import type { Egress, RecordType, Usage } from '@stronghold/vault/catalog'
import { toHex } from '@stronghold/core'
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { Failure, quoted } from '../failure.ts'
import { fromHexOrNone, list } from '../lists.ts'
import { recordAt, recordJson, recordLine, recordShape, runOne, tellSteps } from '../procedures.ts'
import { parseOwn, pathOf } from '../reference.ts'
import { printMoment } from '../duration.ts'
import { peerTarget } from '../node/target.ts'
import { atPeer } from '../refusals.ts'
import { remote } from '../terminal.ts'

const LABELS = {
  egress: { value: 'LEVEL', says: 'the most that ever leaves', choices: EGRESS },
  sync: {
    value: 'yes|no',
    says: 'may it go to another Stronghold; default no',
    choices: ['yes', 'no'],
  },
  usage: { value: 'LIST', says: `what it may be used for: ${USAGES.join(', ')}`, many: true },
} as const

/** Labels as the catalog takes them; what is left out is the default of the type. */
function labelsOf(options: {
  readonly egress?: string
  readonly sync?: string
  readonly usage?: readonly string[]
}): { labels?: { egress?: Egress; sync?: boolean; usage?: Usage[] } } {
  const { egress, sync, usage } = options
  const labels = {
    ...(egress === undefined ? {} : { egress: egress as Egress }),
    ...(sync === undefined ? {} : { sync: sync === 'yes' }),
    ...(usage === undefined ? {} : { usage: list(usage, 'usage', USAGES) as Usage[] }),
  }
  return Object.keys(labels).length === 0 ? {} : { labels }
}

/** `key create` */
const create = defineCommand({
  name: 'key create',
  says: 'Make a key, a seed or an opaque secret from random bytes',
  operands: 'PATH',
  options: {
    type: { value: 'TYPE', says: 'default ed25519', choices: RECORD_TYPES },
    ...LABELS,
    length: { value: 'BYTES', says: 'of hmac-sha2, seed and opaque' },
  },
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold key create release/app', 'an Ed25519 key to sign with'],
    ['stronghold key create backup/db --type xchacha20-poly1305', 'a key to encrypt with'],
  ],
  prints: recordShape,
  async run(call) {
    const { operands, options, dryRun, terminal } = call
    const to = parseOwn(operands[0] ?? '')
    const type = (options.type ?? 'ed25519') as RecordType
    const length = options.length === undefined ? {} : { length: number(options.length, 'length') }
    const input = { type, to, ...labelsOf(options), ...length }
    if (dryRun) {
      await tellSteps(call, [{ procedure: 'generate', input }])
      return
    }
    await call.withOwner(async (owner) => {
      await runOne(owner, generate, input)
      const record = await recordAt(owner, to)
      await terminal.result(recordJson(record), recordLine(record))
    })
  },
})

/** What this machine may use of a record elsewhere. */
const usableShape = z.strictObject({
  path: z.string(),
  type: z.string(),
  version: z.int(),
  publicKey: z.string().nullable(),
  uses: z.array(z.strictObject({ use: z.string(), effect: z.enum(['allow', 'ask']) })),
})

/** `key list` */
const listKeys = defineCommand({
  name: 'key list',
  says: 'List the records of the own vault, or what this machine may use of another',
  operands: '[[PEER:]PATTERN]',
  unlocks: true,
  examples: [
    ['stronghold key list', 'everything'],
    ['stronghold key list home:', 'what home lets this machine use'],
  ],
  prints: z.object({ records: z.array(z.union([recordShape, usableShape])) }),
  async run(call) {
    const [text = ''] = call.operands
    const colon = text.indexOf(':')
    if (colon !== -1) {
      await listUsable(call, text.slice(0, colon), text.slice(colon + 1))
      return
    }
    const { operands, terminal, withOwner } = call
    await withOwner(async (owner) => {
      const records = await owner.records(operands[0])
      const rows = records.map(({ path, type, version, egress, sync, origin }) => [
        path,
        type,
        String(version),
        egress,
        sync ? 'yes' : 'no',
        origin,
      ])
      await terminal.result(
        { records: records.map(recordJson) },
        rows.length === 0
          ? ''
          : terminal.table(rows, ['PATH', 'TYPE', 'VERSION', 'EGRESS', 'SYNC', 'ORIGIN']),
      )
      if (rows.length === 0) await terminal.note('no record: stronghold key create PATH')
    })
  },
})

async function listUsable(
  { home, terminal, withNode }: Call,
  peer: string,
  pattern: string,
): Promise<void> {
  const target = peerTarget(home, peer)
  const about = {
    name: peer,
    what: 'the list of what may be used',
    again: `stronghold key list ${peer}:`,
  }
  const records = await atPeer({ home, ...about }, () =>
    withNode((node) => node.usable(target, pattern === '' ? '**' : pattern)),
  )
  const rows = records.map(({ path, type, version, uses }) => [
    remote(path),
    remote(type),
    String(version),
    uses.map(({ use, effect }) => `${remote(use)}${effect === 'ask' ? ' (asks)' : ''}`).join(', '),
  ])
  await terminal.result(
    {
      records: records.map(({ path, type, version, uses, publicKey }) => ({
        path,
        type,
        version,
        publicKey: publicKey === undefined ? null : toHex(publicKey),
        uses,
      })),
    },
    rows.length === 0 ? '' : terminal.table(rows, ['PATH', 'TYPE', 'VERSION', 'USES']),
  )
  // Whoever may do nothing, and whoever comes while it is locked, hears the same.
  if (rows.length === 0) {
    await terminal.note(`${peer} lets this machine use nothing there, or is locked`)
  }
}

/** `key show` */
const show = defineCommand({
  name: 'key show',
  says: 'Show all there is to know about a record, but the secret',
  operands: 'PATH',
  unlocks: true,
  examples: [
    ['stronghold key show release/app', 'type, labels, versions, public key'],
    ['stronghold key show release/app --json', 'the same for a program'],
  ],
  prints: recordShape,
  async run({ operands, terminal, withOwner }) {
    const path = pathOf(parseOwn(operands[0] ?? ''))
    await withOwner(async (owner) => {
      const record = await recordAt(owner, path)
      const { minimum, version, versions, usage, egress, sync, origin } = record
      const rows = [
        ['path', path],
        ['type', record.type],
        ['version', `${version}; ${versions} kept, from ${minimum} on usable`],
        ['usage', [...usage].sort().join(' ')],
        ['egress', `at most ${egress}`],
        ['sync', sync ? 'yes' : 'no'],
        ['origin', origin],
        ['created', printMoment(record.createdAtMs)],
        ['changed', printMoment(record.changedAtMs)],
        ['public', fromHexOrNone(record.publicKey)],
      ]
      await terminal.result(recordJson(record), terminal.table(rows))
    })
  },
})

/** `key rotate` */
const rotateKey = defineCommand({
  name: 'key rotate',
  says: 'Add a new version, which is the newest from now on',
  operands: 'PATH',
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold key rotate release/app', 'older versions stay usable'],
    ['stronghold key rotate release/app --dry-run', 'says what would be done'],
  ],
  prints: recordShape,
  async run(call) {
    const key = pathOf(parseOwn(call.operands[0] ?? ''))
    if (call.dryRun) {
      await tellSteps(call, [{ procedure: 'rotate', input: { key } }])
      return
    }
    await call.withOwner(async (owner) => {
      await recordAt(owner, key)
      await runOne(owner, rotate, { key })
      const record = await recordAt(owner, key)
      await call.terminal.result(recordJson(record), recordLine(record))
    })
  },
})

/** `key revoke` */
const revokeKey = defineCommand({
  name: 'key revoke',
  says: 'Remove a record with all its versions, for good',
  operands: 'PATH',
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold key revoke release/old', 'nobody uses it any more'],
    ['stronghold key revoke release/old --dry-run', 'says what would be removed'],
  ],
  prints: z.object({ path: z.string(), revoked: z.boolean() }),
  async run(call) {
    const record = pathOf(parseOwn(call.operands[0] ?? ''))
    if (call.dryRun) {
      await tellSteps(call, [{ procedure: 'revoke', input: { record } }])
      return
    }
    await call.withOwner(async (owner) => {
      const { version } = await recordAt(owner, record)
      await runOne(owner, revoke, { record })
      await call.terminal.result(
        { path: record, revoked: true },
        `${record}  revoked, with ${version === 1 ? 'its one version' : `versions up to ${version}`}`,
      )
    })
  },
})

/** A whole number of an option. @throws `Failure` `usage` for anything else */
export function number(text: string, name: string): number {
  if (/^[0-9]{1,9}$/.test(text)) return Number(text)
  throw new Failure('usage', `cannot use --${name}`, { reason: `${quoted(text)} is no number` })
}

/** What `key` knows, but `import`. */
export const KEY_COMMANDS: readonly Command[] = [create, listKeys, show, rotateKey, revokeKey]
