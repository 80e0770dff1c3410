/**
 * What does a vault cost beside the libraries and the disk it stands on? Ours and the raw thing are measured in turn, round
 * after round, so that a machine that is busy for a while is so for both.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { createVault } from '@stronghold/vault'

import { drawBars } from './chart.ts'
import type { BenchOptions } from './options.ts'
import { circumstances, short, summarize } from './results.ts'
import type { Circumstances, Figure, Results } from './results.ts'
import { durable } from './vault/durable.ts'
import { openingOf, unlocking } from './vault/opening.ts'
import { perSecond } from './vault/side.ts'
import type { Measure } from './vault/side.ts'
import { using } from './vault/using.ts'

/** How much is measured. */
interface Extent {
  rounds: number
  /** How long one side of one measure goes on in one round. */
  forMs: number
  /** Vaults of so many records are opened. */
  sizes: readonly number[]
}

const FULL: Extent = { rounds: 5, forMs: 500, sizes: [100, 10_000, 100_000] }
const QUICK: Extent = { rounds: 2, forMs: 80, sizes: [100, 2000] }

/** What one measure is called in the table and in the chart. */
interface Row {
  title: string
  unit: string
  beside?: string
}

/** Measures, prints, writes the results down and draws them. */
export async function run(options: BenchOptions): Promise<void> {
  const extent = options.quick ? QUICK : FULL
  const about = circumstances(options.command, [])
  // Beside the results and not in the directory for temporary files, which may lie in memory.
  const results = fileURLToPath(new URL('results/local/', import.meta.url))
  mkdirSync(results, { recursive: true })
  const folder = mkdtempSync(join(results, 'vault-'))
  try {
    const found = await measure(folder, extent, options.measures)
    console.log(`\n${found.table()}\n`)
    const partial = options.quick || options.measures !== undefined
    keep(about, extent, found, partial)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** What was found, in the order in which it is shown. */
class Findings {
  readonly rows = new Map<string, Row>()
  readonly results: Results = { ours: {}, raw: {} }

  add(name: string, row: Row, ours: readonly number[], raw?: readonly number[]): void {
    this.rows.set(name, row)
    const ratio =
      raw === undefined ? {} : { ratio: summarize(ours.map((one, i) => one / (raw[i] ?? NaN))) }
    this.results['ours'] = {
      ...this.results['ours'],
      [name]: { value: { ...summarize(ours), ...ratio } },
    }
    if (raw === undefined) return
    this.results['raw'] = { ...this.results['raw'], [name]: { value: summarize(raw) } }
  }

  figure(side: 'ours' | 'raw', name: string): Figure | undefined {
    return this.results[side]?.[name]?.['value']
  }

  table(): string {
    const lines = [...this.rows].map(([name, { title, unit, beside }]) => {
      const ours = this.figure('ours', name)
      const raw = this.figure('raw', name)
      const against =
        raw === undefined || ours?.ratio === undefined
          ? ''
          : `${short(raw.median).padStart(10)} ${beside ?? ''}, × ${short(ours.ratio.median)} (${short(ours.ratio.min)}–${short(ours.ratio.max)})`
      return `${title.padEnd(42)} ${short(ours?.median ?? NaN).padStart(10)} ${unit.padEnd(16)}${against}`
    })
    return [
      ...lines,
      '',
      '× is ours to the other in the same round; in brackets the range over all rounds.',
    ].join('\n')
  }
}

async function measure(
  folder: string,
  { rounds, forMs, sizes }: Extent,
  wanted: readonly string[] | undefined,
): Promise<Findings> {
  const findings = new Findings()
  const credential = { keyFile: new Uint8Array(32).fill(1) }
  await using vault = await createVault({ at: join(folder, 'vault'), credential })
  const { measures, close } = durable(vault, folder)
  try {
    const all = [...(await using(vault)), ...measures]
    for (const one of all.filter(({ name }) => wanted?.includes(name) ?? true)) {
      const { ours, raw } = await inRounds(one, rounds, forMs)
      const { title, beside } = one
      findings.add(one.name, { title, beside, unit: 'per second' }, ours, raw)
    }
  } finally {
    close()
  }
  if (wanted?.includes('unlock') ?? true) {
    const found = []
    for (let round = 0; round < rounds; round++) found.push(await unlocking(folder, round))
    const row = { title: 'Unlocking with a passphrase', beside: 'Argon2id', unit: 'ms' }
    findings.add(
      'unlock',
      row,
      found.map(({ ours }) => ours),
      found.map(({ raw }) => raw),
    )
  }
  for (const size of (wanted?.includes('open') ?? true) ? sizes : []) {
    const { openMs, bytesPerRecord } = await openingOf(folder, size)
    const of = size.toLocaleString('en')
    findings.add(`open${size}`, { title: `Opening ${of} records`, unit: 'ms' }, [openMs])
    // Of few records it would be what a vault takes by itself.
    if (size !== sizes.at(-1)) continue
    const title = `Memory per record, of ${of}`
    findings.add(`memory${size}`, { title, unit: 'bytes' }, [bytesPerRecord])
  }
  return findings
}

async function inRounds(
  { ours, raw }: Measure,
  rounds: number,
  forMs: number,
): Promise<{ ours: number[]; raw: number[] }> {
  await perSecond(ours, forMs / 2)
  await perSecond(raw, forMs / 4)
  const found = { ours: [] as number[], raw: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    found.ours.push(await perSecond(ours, forMs))
    found.raw.push(await perSecond(raw, forMs))
  }
  return found
}

function keep(about: Circumstances, extent: Extent, found: Findings, partial: boolean): void {
  // What is shown is what somebody measured in full.
  const folder = fileURLToPath(new URL(partial ? 'results/local/' : 'results/', import.meta.url))
  mkdirSync(folder, { recursive: true })
  const json = { ...about, extent, rows: Object.fromEntries(found.rows), results: found.results }
  writeFileSync(`${folder}vault.json`, `${JSON.stringify(json, rounded, 2)}\n`)
  writeFileSync(`${folder}vault.svg`, draw(about, extent, found))
  console.log(`wrote ${folder}vault.json and vault.svg`)
}

function draw(
  { machine, runtime, date, command }: Circumstances,
  { rounds }: Extent,
  found: Findings,
): string {
  const groups = [...found.rows].flatMap(([name, { title, unit, beside }]) => {
    const ours = found.figure('ours', name)
    const raw = found.figure('raw', name)
    if (ours === undefined || raw === undefined) return []
    const better = unit === 'ms' ? 'less' : 'more'
    return [
      {
        title,
        subtitle: `${unit}, ${better} is better`,
        bars: [
          { ...ours, label: 'stronghold', kind: 'own' as const },
          { ...raw, label: beside ?? 'raw', kind: 'reference' as const },
        ],
      },
    ]
  })
  return drawBars('A vault beside what it stands on', groups, [
    `Messages and values of 32 bytes. Bars: median of ${rounds} rounds in turn; lines: from the least to the most.`,
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GB, ${machine.system}, load ${machine.loadAverage.join(' ')} · Node.js ${runtime.node} · ${date} · ${command}`,
  ])
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' && Number.isFinite(value) ? Number(value.toPrecision(4)) : value
}
