/**
 * How fast is the channel, beside what else could carry requests between two processes? Everyone is measured in the
 * same run, one after the other, round after round, so that a machine that is busy for a while is so for all of them.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { drawBars } from './chart.ts'
import type { BenchOptions } from './options.ts'
import { CONTENDERS, REFERENCE } from './p2p/contenders.ts'
import { MEASURES } from './p2p/measures.ts'
import type { Figures, Ground } from './p2p/measures.ts'
import { startPair } from './p2p/pair.ts'
import type { Pair } from './p2p/pair.ts'
import { PANELS } from './p2p/panels.ts'
import { slowProxy } from './p2p/slow-proxy.ts'
import type { SlowProxy } from './p2p/slow-proxy.ts'
import { table } from './p2p/table.ts'
import { circumstances, summarize } from './results.ts'
import type { Circumstances, Results } from './results.ts'

/** How much is measured. */
interface Extent {
  rounds: number
  /** How long one measure of one contender goes on in one round. */
  forMs: number
  /** The same before the first round. What runs for the first time is slow. */
  warmMs: number
  /** Connections made before memory is looked at, for what the first ones leave behind for good. */
  firstConnections: number
  connections: number
}

const FULL: Extent = {
  rounds: 5,
  forMs: 600,
  warmMs: 600,
  firstConnections: 400,
  connections: 1000,
}
const QUICK: Extent = {
  rounds: 2,
  forMs: 150,
  warmMs: 150,
  firstConnections: 100,
  connections: 100,
}

/** Each way: long beside what a handshake costs a processor, short beside the patience of a handshake. */
const DELAY_MS = 20
const MEMORY = 'memory'
/** Deterministic, and slow by intent: once is enough. */
const ONCE = new Set(['roundTrips'])
const WARM = ['alone', 'inFlight64', 'bulk', 'opening', 'handshakes']

const PACKAGES = [
  '@grpc/grpc-js',
  'hyperdht',
  'protomux-rpc',
  'libp2p',
  '@libp2p/noise',
  '@libp2p/tls',
  '@libp2p/yamux',
]

/** Measures, prints, writes the results down and draws them. */
export async function run(options: BenchOptions): Promise<void> {
  const names = pick('contender', Object.keys(CONTENDERS), options.only)
  const measures = pick('measure', [...Object.keys(MEASURES), MEMORY], options.measures)
  const extent = options.quick ? QUICK : FULL
  const about = circumstances(options.command, PACKAGES)
  const rounds = new Rounds()
  const inRounds = measures.filter((measure) => measure !== MEMORY)
  if (inRounds.length > 0) await measureInRounds(names, inRounds, extent, rounds, options.profile)
  if (measures.includes(MEMORY)) await measureMemory(names, extent, rounds)
  const results = rounds.results(names)
  console.log(`\n${table(results)}\n`)
  for (const failure of rounds.failures) console.log(`failed: ${failure}`)
  if (rounds.failures.length > 0) process.exitCode = 1
  const partial =
    options.quick ||
    options.only !== undefined ||
    options.measures !== undefined ||
    options.profile !== undefined
  keep(about, extent, results, rounds.failures, partial)
}

function pick(what: string, all: string[], wanted: string[] | undefined): string[] {
  const unknown = wanted?.filter((name) => !all.includes(name)) ?? []
  if (unknown.length > 0) {
    throw new Error(`no ${what} is called ${unknown.join(', ')}; there is ${all.join(', ')}`)
  }
  return all.filter((name) => wanted === undefined || wanted.includes(name))
}

/** What was found, round by round. */
class Rounds {
  readonly failures: string[] = []
  readonly #found: { round: number; name: string; measure: string; figures: Figures }[] = []

  add(round: number, name: string, measure: string, figures: Figures): void {
    this.#found.push({ round, name, measure, figures })
  }

  fail(name: string, measure: string, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error)
    this.failures.push(`${name}, ${measure}: ${reason.split('\n')[0] ?? ''}`)
  }

  results(names: readonly string[]): Results {
    const results: Results = {}
    for (const name of names) {
      const mine = this.#found.filter((one) => one.name === name)
      const byMeasure = (results[name] ??= {})
      for (const measure of new Set(mine.map((one) => one.measure))) {
        const found = mine.filter((one) => one.measure === measure)
        const byFigure = (byMeasure[measure] ??= {})
        for (const figure of Object.keys(found[0]?.figures ?? {})) {
          const values = found.map(({ figures }) => figures[figure] ?? Number.NaN)
          const ratios = found.map(
            ({ round, figures }) =>
              (figures[figure] ?? Number.NaN) / this.#reference(round, measure, figure),
          )
          byFigure[figure] = {
            ...summarize(values),
            ...(ratios.every(Number.isFinite) ? { ratio: summarize(ratios) } : {}),
          }
        }
      }
    }
    return results
  }

  #reference(round: number, measure: string, figure: string): number {
    const found = this.#found.find(
      (one) => one.round === round && one.name === REFERENCE && one.measure === measure,
    )
    const value = found?.figures[figure] ?? Number.NaN
    // Memory can come out as less than nothing; a ratio to that would say nothing.
    return value > 0 ? value : Number.NaN
  }
}

interface Standing {
  name: string
  pair: Pair
  slow: SlowProxy | undefined
}

async function measureInRounds(
  names: readonly string[],
  measures: readonly string[],
  extent: Extent,
  rounds: Rounds,
  profile: string | undefined,
): Promise<void> {
  const standing: Standing[] = []
  try {
    for (const name of names) {
      progress(`starting ${name}`)
      try {
        const pair = await startPair(name)
        const { port } = pair.address
        const slow = port === undefined ? undefined : await slowProxy(port, DELAY_MS)
        standing.push({ name, pair, slow })
      } catch (error) {
        rounds.fail(name, 'start', error)
      }
    }
    for (const measure of WARM.filter((one) => measures.includes(one))) {
      for (const one of standing) {
        progress(`warming up: ${measure} ${one.name}`)
        await measureOne(one, measure, extent.warmMs).catch(() => {})
      }
    }
    for (let round = 0; round < extent.rounds; round++) {
      // Each round begins with another, so that nobody always follows the same one.
      const turn = [
        ...standing.slice(round % names.length),
        ...standing.slice(0, round % names.length),
      ]
      for (const measure of measures) {
        if (round > 0 && ONCE.has(measure)) continue
        for (const one of turn) {
          if (CONTENDERS[one.name]?.leaves?.[measure] !== undefined) continue
          progress(`round ${round + 1} of ${extent.rounds}: ${measure} ${one.name}`)
          try {
            const figures = await profiled(one, measure, profile, () =>
              measureOne(one, measure, extent.forMs),
            )
            rounds.add(round, one.name, measure, figures)
          } catch (error) {
            rounds.fail(one.name, measure, error)
          }
        }
      }
    }
  } finally {
    progress('')
    await Promise.all(standing.map(({ pair }) => pair.stop()))
    for (const { slow } of standing) slow?.stop()
  }
}

/** One measure, and what processor time an answer took on both sides together. */
async function measureOne(one: Standing, name: string, forMs: number): Promise<Figures> {
  const { pair, slow } = one
  const before = await cpuOf(pair)
  const via: Ground['slow'] =
    slow === undefined ? undefined : { port: slow.port, delayMs: slow.delayMs }
  const figures = await pair.client({ do: 'measure', name, forMs, slow: via })
  const { answers, ...rest } = figures
  if (answers === undefined) return rest
  return { ...rest, cpuUs: ((await cpuOf(pair)) - before) / answers }
}

/** With a profile of both sides, when one is asked for. That of the last round stays. */
async function profiled(
  { name, pair }: Standing,
  measure: string,
  folder: string | undefined,
  run: () => Promise<Figures>,
): Promise<Figures> {
  if (folder === undefined) return run()
  mkdirSync(folder, { recursive: true })
  await Promise.all([pair.client({ do: 'profile' }), pair.server({ do: 'profile' })])
  const figures = await run()
  const file = `${folder}/${name}-${measure}`
  await pair.client({ do: 'endProfile', file: `${file}-ask.cpuprofile` })
  await pair.server({ do: 'endProfile', file: `${file}-serve.cpuprofile` })
  return figures
}

async function cpuOf({ client, server }: Pair): Promise<number> {
  const both = await Promise.all([client({ do: 'cpu' }), server({ do: 'cpu' })])
  return both.reduce((sum, { us = 0 }) => sum + us, 0)
}

/** In new processes, so that nothing lies around from before. */
async function measureMemory(
  names: readonly string[],
  { firstConnections, connections }: Extent,
  rounds: Rounds,
): Promise<void> {
  for (const name of names) {
    if (CONTENDERS[name]?.leaves?.[MEMORY] !== undefined) continue
    progress(`memory of ${connections} connections: ${name}`)
    try {
      const pair = await startPair(name)
      try {
        await pair.client({ do: 'hold', connections: firstConnections })
        const before = await pair.server({ do: 'memory' })
        await pair.client({ do: 'hold', connections: firstConnections + connections })
        const after = await pair.server({ do: 'memory' })
        const each = (what: string): number =>
          ((after[what] ?? Number.NaN) - (before[what] ?? Number.NaN)) / connections / 1000
        rounds.add(0, name, MEMORY, { rssKb: each('rss'), heapKb: each('heap') })
      } finally {
        await pair.stop()
      }
    } catch (error) {
      rounds.fail(name, MEMORY, error)
    }
  }
  progress('')
}

function keep(
  about: Circumstances,
  extent: Extent,
  results: Results,
  failures: readonly string[],
  partial: boolean,
): void {
  // What is shown is what somebody measured in full.
  const folder = fileURLToPath(new URL(partial ? 'results/local/' : 'results/', import.meta.url))
  mkdirSync(folder, { recursive: true })
  const json = { ...about, extent, delayMs: DELAY_MS, reference: REFERENCE, results, failures }
  writeFileSync(`${folder}p2p.json`, `${JSON.stringify(json, rounded, 2)}\n`)
  writeFileSync(`${folder}p2p.svg`, draw(about, extent, results))
  console.log(`wrote ${folder}p2p.json and p2p.svg`)
}

function draw(about: Circumstances, { rounds }: Extent, results: Results): string {
  const groups = PANELS.filter(({ chart }) => chart).map(
    ({ measure, figure, title, unit, better }) => ({
      title,
      subtitle: `${unit}, ${better} is better`,
      bars: Object.entries(results).flatMap(([name, byMeasure]) => {
        const found = byMeasure[measure]?.[figure]
        const kind = name.startsWith('stronghold')
          ? 'own'
          : name === REFERENCE
            ? 'reference'
            : 'other'
        return found === undefined
          ? []
          : [{ ...found, label: CONTENDERS[name]?.label ?? name, kind } as const]
      }),
    }),
  )
  const { machine, runtime, command, date } = about
  const notes = [
    `Two processes on loopback, requests of 32 bytes unless said otherwise. Bars: median of ${rounds} interleaved rounds; lines: from the least to the most.`,
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GB, ${machine.system} · Node.js ${runtime.node} · ${date} · ${command}`,
  ]
  return drawBars(
    'Requests between two processes',
    groups.filter(({ bars }) => bars.length > 0),
    notes,
  )
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' && Number.isFinite(value) ? Number(value.toPrecision(4)) : value
}

/** One line that is written over. */
function progress(what: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${what}`)
}
