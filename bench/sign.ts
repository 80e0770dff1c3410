/**
 * How fast is a signature by a key that stays elsewhere: decided by a rule, its audit entry on the disk before the answer
 * leaves? Beside the channel without a vault, the keeper without a network, the primitive alone, and an ssh-agent forwarded by
 * sshd, all in one run, round after round, so that a machine that is busy for a while is so for all of them. At the end,
 * whether the doors still answer beside all of it (`--only responsive`).
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { drawBars } from './chart.ts'
import type { BenchOptions } from './options.ts'
import { circumstances, short, summarize } from './results.ts'
import type { Figure, Results } from './results.ts'
import { forwardAgent } from './sign/forwarded-agent.ts'
import type { Order, Told } from './sign/process.ts'
import { linesOf, responsive } from './sign/responsive.ts'
import type { Responsive } from './sign/responsive.ts'

/** How much is measured. */
interface Extent {
  rounds: number
  /** How long one measure of one way goes on in one round. */
  forMs: number
  /** The same before the first round. */
  warmMs: number
  /** How long it is measured whether the doors still answer. */
  besideMs: number
}

const FULL: Extent = { rounds: 5, forMs: 1500, warmMs: 3000, besideMs: 6000 }
const QUICK: Extent = { rounds: 2, forMs: 300, warmMs: 600, besideMs: 2000 }

/** So many in flight. */
const AT_ONCE = [1, 64, 256]

/** Ways to a signature, in the order of the table. */
const WAYS: Readonly<Record<string, { label: string; at: 'ask' | 'serve'; atOnce?: number[] }>> = {
  stronghold: { label: 'stronghold: rule, audit', at: 'ask' },
  receipts: { label: 'stronghold: rule, audit, receipt', at: 'ask' },
  keeper: { label: 'its keeper, no network', at: 'serve' },
  channel: { label: 'its channel, no vault', at: 'ask' },
  sodium: { label: 'libsodium, no process', at: 'serve', atOnce: [1] },
  agent: { label: 'ssh-agent, forwarded by sshd', at: 'ask' },
}
/** All ratios are to this one. */
const REFERENCE = 'stronghold'

const FIGURES: Readonly<Record<string, string>> = {
  perSecond: 'per second',
  p50Ms: 'ms, half within',
  p99Ms: 'ms, 99 % within',
  cpuUs: 'µs of processor time, both sides',
}

/** Measures, prints, writes the results down and draws them. */
export async function run(options: BenchOptions): Promise<void> {
  const extent = options.quick ? QUICK : FULL
  const about = circumstances(options.command, [])
  const ways = Object.keys(WAYS).filter((name) => options.only?.includes(name) ?? true)
  // Beside the results and not in the directory for temporary files, which may lie in memory.
  const results = fileURLToPath(new URL('sign/', new URL('results/local/', import.meta.url)))
  mkdirSync(results, { recursive: true })
  const folder = mkdtempSync(join(results, 'sign-'))
  try {
    const isBeside = options.only?.includes('responsive') ?? true
    const { found, left, beside } = await measure(folder, { ...options, ways, extent, isBeside })
    console.log(`\n${table(found)}\n`)
    if (beside !== undefined) console.log(`${linesOf(beside)}\n`)
    for (const why of left) console.log(`left out: ${why}`)
    const partial = options.quick || options.only !== undefined || options.profile !== undefined
    const into = fileURLToPath(new URL(partial ? 'results/local/' : 'results/', import.meta.url))
    const json = {
      ...about,
      extent,
      reference: REFERENCE,
      left,
      results: found,
      responsive: beside,
    }
    writeFileSync(`${into}sign.json`, `${JSON.stringify(json, rounded, 2)}\n`)
    writeFileSync(
      `${into}sign.svg`,
      draw(found, [
        `Ed25519 over 32 bytes, two processes on loopback; every audit entry is synced before its answer leaves.`,
        `Bars: median of ${extent.rounds} interleaved rounds; lines: from the least to the most.`,
        `${about.machine.cpu}, ${about.machine.cores} cores, ${about.machine.memoryGb} GB, ${about.machine.system}, load ${about.machine.loadAverage.join(' ')} · Node.js ${about.runtime.node} · ${about.date} · ${about.command}`,
      ]),
    )
    console.log(`wrote ${into}sign.json and sign.svg`)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

type Pair = Readonly<Record<'ask' | 'serve', (order: Order) => Promise<Told>>>

interface Measuring {
  readonly ways: readonly string[]
  readonly extent: Extent
  readonly profile: string | undefined
  readonly isBeside: boolean
}

async function measure(
  folder: string,
  { ways, extent, profile, isBeside }: Measuring,
): Promise<{ found: Results; left: string[]; beside: Responsive | undefined }> {
  const left: string[] = []
  const children: ChildProcess[] = []
  const start = (role: 'ask' | 'serve'): ((order: Order) => Promise<Told>) => {
    const child = fork(fileURLToPath(new URL('sign/process.ts', import.meta.url)), [role, folder], {
      execArgv: ['--conditions=@stronghold/source', '--no-deprecation'],
    })
    children.push(child)
    return (order) => give(child, order)
  }
  const agent = ways.includes('agent') ? await forwardAgent(folder) : { missing: 'agent' }
  if ('missing' in agent && ways.includes('agent')) {
    left.push(`ssh-agent, forwarded by sshd: there is no ${agent.missing}`)
  }
  const pair: Pair = { serve: start('serve'), ask: start('ask') }
  try {
    const { address } = (await pair.serve({ do: 'serve' })) as { address: Record<string, string> }
    const { peer } = (await pair.ask({ do: 'meet' })) as { peer: string }
    await pair.serve({ do: 'admit', peer })
    const socket = 'socket' in agent ? { agent: agent.socket } : {}
    await pair.ask({ do: 'reach', address: { ...address, ...socket } })
    const present = ways.filter((name) => name !== 'agent' || 'socket' in agent)
    const found = await inRounds(pair, present, extent, profile)
    const at = { socket: address['socket'] ?? '', token: address['token'] ?? '' }
    const beside = isBeside ? await responsive(pair, at, extent.besideMs) : undefined
    return { found, left, beside }
  } finally {
    for (const child of children.toReversed()) {
      const ended = once(child, 'exit')
      if (child.connected) child.disconnect()
      if (child.exitCode === null && child.signalCode === null) await ended
    }
    if ('close' in agent) agent.close()
  }
}

async function inRounds(
  pair: Pair,
  ways: readonly string[],
  { rounds, forMs, warmMs }: Extent,
  profile: string | undefined,
): Promise<Results> {
  const values: Record<string, Record<string, Record<string, number[]>>> = {}
  for (const name of ways) await one(pair, name, 64, warmMs)
  for (let round = 0; round < rounds; round++) {
    for (const atOnce of AT_ONCE) {
      for (const name of ways) {
        if (WAYS[name]?.atOnce?.includes(atOnce) === false) continue
        const isLast = profile !== undefined && round === rounds - 1
        const found = await (isLast
          ? profiled(pair, `${profile}/${name}-${atOnce}`, () => one(pair, name, atOnce, forMs))
          : one(pair, name, atOnce, forMs))
        const into = ((values[name] ??= {})[`inFlight${atOnce}`] ??= {})
        for (const [figure, value] of Object.entries(found)) (into[figure] ??= []).push(value)
      }
    }
  }
  const results: Results = {}
  for (const [name, measures] of Object.entries(values)) {
    results[name] = {}
    for (const [measure, figures] of Object.entries(measures)) {
      results[name][measure] = {}
      for (const [figure, all] of Object.entries(figures)) {
        const reference = values[REFERENCE]?.[measure]?.[figure]
        const ratio =
          reference === undefined
            ? {}
            : { ratio: summarize(all.map((value, i) => value / (reference[i] ?? Number.NaN))) }
        results[name][measure][figure] = { ...summarize(all), ...ratio }
      }
    }
  }
  return results
}

/** One measure, and what processor time an answer took on both sides together. */
async function one(
  pair: Pair,
  whom: string,
  atOnce: number,
  forMs: number,
): Promise<Record<string, number>> {
  const before = await cpuOf(pair)
  const at = WAYS[whom]?.at ?? 'ask'
  const told = await pair[at]({ do: 'measure', whom, atOnce, forMs })
  if (!('pace' in told)) throw new Error('it told no pace')
  const { answers, ...pace } = told.pace
  // What an agent and sshd take is not ours to count.
  return whom === 'agent' ? pace : { ...pace, cpuUs: ((await cpuOf(pair)) - before) / answers }
}

async function cpuOf({ ask, serve }: Pair): Promise<number> {
  const both = await Promise.all([ask({ do: 'cpu' }), serve({ do: 'cpu' })])
  return both.reduce((sum, told) => sum + ('us' in told ? told.us : 0), 0)
}

async function profiled<T>(pair: Pair, file: string, work: () => Promise<T>): Promise<T> {
  mkdirSync(join(file, '..'), { recursive: true })
  await Promise.all([pair.ask({ do: 'profile' }), pair.serve({ do: 'profile' })])
  const result = await work()
  await pair.ask({ do: 'endProfile', file: `${file}-ask.cpuprofile` })
  await pair.serve({ do: 'endProfile', file: `${file}-serve.cpuprofile` })
  return result
}

function give(child: ChildProcess, order: Order): Promise<Told> {
  return new Promise((resolve, reject) => {
    const onExit = (): void => {
      reject(new Error(`the process ended while it had to ${order.do}`))
    }
    child.once('exit', onExit)
    child.once('message', (told: Told) => {
      child.off('exit', onExit)
      if ('error' in told) reject(new Error(told.error))
      else resolve(told)
    })
    child.send(order)
  })
}

function table(results: Results): string {
  const width = Math.max(...Object.values(WAYS).map(({ label }) => label.length))
  const blocks = AT_ONCE.flatMap((atOnce) =>
    Object.entries(FIGURES).flatMap(([figure, unit]) => {
      const rows = Object.entries(results).flatMap(([name, measures]) => {
        const found = measures[`inFlight${atOnce}`]?.[figure]
        if (found === undefined) return []
        return [`  ${(WAYS[name]?.label ?? name).padEnd(width)}  ${row(found)}`]
      })
      return rows.length === 0 ? [] : [`${atOnce} in flight, ${unit}`, ...rows, '']
    }),
  )
  return [
    ...blocks,
    `× is the ratio to ${WAYS[REFERENCE]?.label ?? REFERENCE} in the same round; in brackets the range over all rounds.`,
  ].join('\n')
}

function row({ median, min, max, ratio }: Figure): string {
  const found = `${short(median).padStart(9)} ${`(${short(min)}–${short(max)})`.padEnd(20)}`
  return ratio === undefined
    ? found
    : `${found} × ${short(ratio.median)} (${short(ratio.min)}–${short(ratio.max)})`
}

function draw(results: Results, notes: readonly string[]): string {
  const groups = [
    { figure: 'perSecond', atOnce: 64, subtitle: 'per second, more is better' },
    { figure: 'p50Ms', atOnce: 1, subtitle: 'ms, half within, less is better' },
    { figure: 'perSecond', atOnce: 256, subtitle: 'per second, more is better' },
    { figure: 'p99Ms', atOnce: 64, subtitle: 'ms, 99 % within, less is better' },
  ].map(({ figure, atOnce, subtitle }) => ({
    title: atOnce === 1 ? 'One signature at a time' : `${atOnce} signatures in flight`,
    subtitle,
    bars: Object.entries(results).flatMap(([name, measures]) => {
      const found = measures[`inFlight${atOnce}`]?.[figure]
      const kind =
        name === 'agent' ? 'other' : WAYS[name]?.label.startsWith('its') ? 'reference' : 'own'
      if (found === undefined) return []
      return [
        {
          ...found,
          label: WAYS[name]?.label ?? name,
          kind: name === 'sodium' ? 'reference' : kind,
        } as const,
      ]
    }),
  }))
  return drawBars('A signature by a key that stays elsewhere', groups, notes)
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' && Number.isFinite(value) ? Number(value.toPrecision(4)) : value
}
