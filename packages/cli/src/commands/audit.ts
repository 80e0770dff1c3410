/** `audit`: what happened, shown, searched, verified, written out, cut. */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { resolve } from 'node:path'

import { fromHex, toHex } from '@stronghold/core'
import type { AuditEntry, AuditVerdict, OwnerDoor } from '@stronghold/guard'
import { decodeHead } from '@stronghold/guard/proofs'
import { z } from 'zod'

import { fileLines } from '../audit-file.ts'
import { inBook, isPeerId, readBook } from '../book.ts'
import { defineCommand } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { readWhole } from '../data.ts'
import { parseMoment, printMoment } from '../duration.ts'
import { Failure, quoted } from '../failure.ts'
import { MAX_RECEIPT_FILE_BYTES } from '../limits.ts'
import { remote } from '../terminal.ts'
import type { Home } from '../home.ts'
import { number } from './key.ts'

/** Entries that are asked for at once. */
const PAGE = 1000
/** Characters of a fact that are shown. */
const MAX_FACT = 80

const entryShape = z.object({
  position: z.int(),
  at: z.string(),
  event: z.string(),
  facts: z.record(z.string(), z.unknown()),
})

const tail = defineCommand({
  name: 'audit tail',
  says: 'Show the last entries of the audit',
  options: { count: { value: 'N', says: 'default 20' } },
  unlocks: true,
  examples: [
    ['stronghold audit tail', 'the last twenty'],
    ['stronghold audit tail --count 100 --json', 'the last hundred, for a program'],
  ],
  prints: z.object({ entries: z.array(entryShape) }),
  async run({ options, terminal, withOwner }) {
    const count = options.count === undefined ? 20 : number(options.count, 'count')
    const { entries, names } = await withOwner(async (owner) => ({
      entries: await owner.auditEntries({ count }),
      names: await namesOf(owner),
    }))
    await terminal.result({ entries: entries.map(asJson) }, table(terminal, entries, names))
  },
})

const query = defineCommand({
  name: 'audit query',
  says: 'Search the audit',
  options: {
    event: { value: 'EVENT', says: 'request, decision, owner, rule, peer …' },
    peer: { value: 'PEER', says: 'name or id; of one that was removed, its id' },
    path: { value: 'PATH', says: 'a record that was used' },
    outcome: { value: 'WORD', says: 'executed, denied, asked …' },
    since: { value: 'TIME', says: '2027-01-31T12:00:00Z, or how long ago: 24h' },
  },
  unlocks: true,
  examples: [
    ['stronghold audit query --peer ci --outcome denied', 'what ci was refused'],
    ['stronghold audit query --path release/app --since 24h', 'who used a key since yesterday'],
  ],
  prints: z.object({ entries: z.array(entryShape) }),
  async run({ options, terminal, io, home, withOwner }) {
    const nowMs = io.clock.nowMs()
    const { since, event, path, outcome } = options
    const fromMs = since === undefined ? 0 : moment(since, nowMs)
    const { found, names } = await withOwner(async (owner) => {
      const names = await namesOf(owner)
      const peer = options.peer === undefined ? undefined : idOf(options.peer, names, home)
      const found: AuditEntry[] = []
      for await (const entry of allEntries(owner)) {
        const { facts } = entry
        const uses = Array.isArray(facts['use']) ? (facts['use'] as unknown[][]) : []
        const fits =
          entry.atMs >= fromMs &&
          (event === undefined || entry.event === event) &&
          (peer === undefined || facts['peer'] === peer) &&
          (outcome === undefined || facts['outcome'] === outcome) &&
          (path === undefined || uses.some((use) => use[2] === path))
        if (fits) found.push(entry)
      }
      return { found, names }
    })
    await terminal.result({ entries: found.map(asJson) }, table(terminal, found, names))
    if (found.length === 0) await terminal.note('no entry fits')
  },
})

const verify = defineCommand({
  name: 'audit verify',
  says: 'Check the whole chain, and that it did not go back behind heads and receipts at hand',
  options: {
    witness: { value: 'FILE', says: 'a signed head or a receipt, as raw bytes', many: true },
    from: { value: 'FILE', says: 'an export, in the place of the vault; needs no vault' },
    key: { value: 'HEX', says: "of an export: the vault's key, where it is known from elsewhere" },
  },
  unlocks: true,
  examples: [
    ['stronghold audit verify --witness head.bin', 'every entry, and nothing older than this head'],
    ['stronghold audit verify --from audit.jsonl', 'what was exported, wherever it is'],
  ],
  prints: z.object({
    entries: z.int(),
    signed: z.boolean(),
    head: z.string(),
    faults: z.array(z.string()),
  }),
  async run(call) {
    const { options, terminal, io, withOwner } = call
    const { from, key } = options
    if (key !== undefined && from === undefined) {
      throw new Failure('usage', 'cannot use --key', { reason: 'it belongs to --from FILE' })
    }
    const witnesses: Uint8Array[] = []
    for (const file of options.witness ?? []) {
      witnesses.push(await readWhole(call, file, MAX_RECEIPT_FILE_BYTES))
    }
    const { entries, head, signed, faults } =
      from === undefined
        ? await withOwner((owner) => owner.verifyAudit({ witnesses }))
        : await verifyFile(resolve(io.cwd, from), witnesses, key)
    if (faults.length > 0) {
      for (const fault of faults) await terminal.note(remote(fault, 200))
      throw new Failure('verification_failed', 'cannot verify the audit', {
        reason: `${faults.length} ${faults.length === 1 ? 'fault' : 'faults'}, first: ${faults[0] ?? ''}`,
        hint: 'keep a copy of the home, then compare it with a backup',
      })
    }
    await terminal.result(
      { entries, signed, head: toHex(head), faults },
      `${entries} entries, none missing, changed or moved${signed ? '; the head is signed' : ''}`,
    )
    if (from !== undefined && key === undefined && witnesses.length === 0) {
      const { publicKey } = decodeHead(head)
      await terminal.note(
        `signed by ${toHex(publicKey)}: whether that is the vault you meant, you decide; or name it by --key`,
      )
    }
  },
})

/** Verifies an export, from the file alone. @throws `SyntaxError` for a witness that is none */
async function verifyFile(
  path: string,
  witnesses: readonly Uint8Array[],
  key: string | undefined,
): Promise<AuditVerdict> {
  const { readWitness, verifyExport } = await import('@stronghold/guard')
  let last = ''
  const lines = {
    *[Symbol.iterator](): Generator<string> {
      for (last of fileLines(path)) yield last
    },
  }
  const report = verifyExport(lines, {
    witnesses: witnesses.map((bytes) => readWitness(bytes)),
    ...(key === undefined ? {} : { keys: [fromHex(key)] }),
  })
  // Where there is no fault, the last line is that of the head.
  const { signed = '' } =
    report.faults.length > 0 ? {} : (JSON.parse(last) as { readonly signed?: string })
  return { ...report, head: new Uint8Array(Buffer.from(signed, 'base64')) }
}

const exportAudit = defineCommand({
  name: 'audit export',
  says: 'Write the audit as JSON lines, which anybody can verify without the vault',
  options: { out: { value: 'FILE', says: 'default stdout' } },
  unlocks: true,
  examples: [
    [
      'stronghold audit export --out audit.jsonl',
      'an entry a line, and the signed head; audit verify --from reads it',
    ],
    ['stronghold audit export | jq \'select(.event == "request")\'', 'for a program'],
  ],
  prints: z.union([
    z.object({ position: z.int(), at: z.int(), event: z.string(), entry: z.string() }),
    z.object({ position: z.int(), entry: z.string().optional() }),
    z.object({ head: z.record(z.string(), z.unknown()), signed: z.string() }),
  ]),
  async run({ options, terminal, io, withOwner }) {
    const { exportLines } = await import('@stronghold/guard/owner')
    const file = options.out === undefined ? undefined : resolve(io.cwd, options.out)
    const stream = file === undefined ? undefined : createWriteStream(file, { mode: 0o600 })
    let count = 0
    await withOwner(async (owner) => {
      for await (const line of exportLines(owner)) {
        count += 1
        if (stream === undefined) await io.stdout.write(`${line}\n`)
        else if (!stream.write(`${line}\n`)) await once(stream, 'drain')
      }
    })
    if (stream !== undefined) {
      await new Promise<void>((resolve, reject) => {
        stream.on('error', reject)
        stream.end(resolve)
      })
      await terminal.note(`wrote ${count - 1} entries and the signed head to ${options.out ?? ''}`)
    }
  },
})

const cut = defineCommand({
  name: 'audit cut',
  says: 'Cut off the oldest entries; the chain goes on from a signed checkpoint',
  options: {
    before: {
      value: 'TIME',
      says: '2027-01-31T12:00:00Z, or how long ago: 90d; default all; cuts at the checkpoint before',
    },
  },
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold audit cut --before 90d --dry-run', 'says how many entries would go'],
    ['stronghold audit cut', 'all; export them before: stronghold audit export'],
  ],
  prints: z.object({ entries: z.int(), from: z.int(), dryRun: z.boolean() }),
  async run({ options, terminal, io, dryRun, withOwner }) {
    const { before } = options
    const at = before === undefined ? {} : { before: moment(before, io.clock.nowMs()) }
    const { entries, from } = await withOwner((owner) => owner.cutAudit({ ...at, dryRun }))
    const told = `${entries} ${entries === 1 ? 'entry' : 'entries'}`
    await terminal.result(
      { entries, from, dryRun },
      `${told} ${dryRun ? 'would be cut off' : 'cut off'}; the first that is left is ${from}`,
    )
  },
})

/** A moment, or how long ago. */
function moment(text: string, nowMs: number): number {
  return /^\d{4}-/.test(text) ? parseMoment(text, nowMs) : 2 * nowMs - parseMoment(text, nowMs)
}

async function* allEntries(owner: OwnerDoor): AsyncGenerator<AuditEntry> {
  for (let from = 0; ;) {
    const entries = await owner.auditEntries({ from, count: PAGE })
    yield* entries
    const last = entries.at(-1)
    if (last === undefined || entries.length < PAGE) return
    from = last.position + 1
  }
}

async function namesOf(owner: OwnerDoor): Promise<ReadonlyMap<string, string>> {
  return new Map((await owner.peers()).map(({ peer, name }) => [peer, name]))
}

/**
 * Whom a name means, or an id, which may be that of a peer that was removed.
 *
 * @throws `Failure` `not_found` for a name that nobody has
 */
function idOf(text: string, names: ReadonlyMap<string, string>, home: Home): string {
  const known =
    [...names].find(([, name]) => name === text)?.[0] ?? inBook(readBook(home), text)?.peer
  if (known !== undefined) return known
  if (isPeerId(text)) return text
  throw new Failure('not_found', `cannot find peer ${quoted(text)}`, {
    reason: 'there is none of that name or id',
    hint: 'stronghold peer list; one that was removed is found by its id: stronghold audit query --event peer',
  })
}

function asJson({ position, atMs, event, facts }: AuditEntry): z.infer<typeof entryShape> {
  return { position, at: printMoment(atMs), event, facts: plain(facts) as Record<string, unknown> }
}

/** Bytes as hex, so that JSON holds them. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return toHex(value)
  if (typeof value === 'bigint') return value.toString()
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]))
}

function table(
  terminal: Call['terminal'],
  entries: readonly AuditEntry[],
  names: ReadonlyMap<string, string>,
): string {
  return terminal.table(
    entries.map(({ position, atMs, event, facts }) => [
      String(position),
      printMoment(atMs),
      event,
      line(facts, names),
    ]),
  )
}

/** The facts of an entry in one line: what happened first, then what was used in words; hashes are cut. */
function line(facts: AuditEntry['facts'], names: ReadonlyMap<string, string>): string {
  const rank = (name: string): number => (LEADING.includes(name) ? LEADING.indexOf(name) : 9)
  return Object.entries(facts)
    .filter(([name]) => name !== 'name' || !names.has(String(facts['peer'])))
    .sort(([a], [b]) => rank(a) - rank(b))
    .flatMap(([name, value]) => {
      if (name === 'use' && Array.isArray(value)) return (value as unknown[][]).map(useText)
      if (value instanceof Uint8Array) return `${name} ${toHex(value.subarray(0, 4))}…`
      const text = typeof value === 'string' ? value : JSON.stringify(plain(value))
      if (name === 'peer') return remote(names.get(text) ?? text, MAX_FACT)
      return LEADING.includes(name) ? remote(text, MAX_FACT) : `${name} ${remote(text, MAX_FACT)}`
    })
    .join(', ')
}

/** Facts that need no name in front. */
const LEADING: readonly string[] = ['outcome', 'change', 'peer']

function useText([procedure, role, path]: readonly unknown[]): string {
  const what = role === '-' ? String(procedure) : `${String(procedure)}:${String(role)}`
  return remote(`${what} ${role === '-' ? '' : String(path)}`.trim(), MAX_FACT)
}

/** What `audit` knows. */
export const AUDIT_COMMANDS: readonly Command[] = [tail, query, verify, exportAudit, cut]
