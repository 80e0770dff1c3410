/**
 * What does a relay cost, and how long until somebody who was found has signed? Both ends are ours; between them stand our
 * relay, that of js-libp2p and a forwarder that knows nothing, each in a process of its own, round after round in one run.
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { drawBars } from './chart.ts'
import type { BenchOptions } from './options.ts'
import { RELAY_REFERENCE, RELAYS } from './relay/relays.ts'
import type { Measure, Order, Told } from './relay/side.ts'
import { circumstances, short, summarize } from './results.ts'
import type { Figure, Results } from './results.ts'

const SIDE = fileURLToPath(new URL('relay/side.ts', import.meta.url))
const FULL = { rounds: 5, forMs: 800, warmMs: 600, finds: 5 }
const QUICK = { rounds: 2, forMs: 150, warmMs: 150, finds: 1 }
const PATIENCE_MS = 90_000

const PANELS = [
  {
    measure: 'inFlight64',
    figure: 'perSecond',
    title: '64 requests in flight',
    unit: 'requests a second',
  },
  {
    measure: 'inFlight64',
    figure: 'relayUs',
    title: 'processor time of the relay, 64 in flight',
    unit: 'µs a request',
  },
  {
    measure: 'alone',
    figure: 'p50Ms',
    title: 'one request at a time, half are quicker',
    unit: 'ms',
  },
  { measure: 'bulk', figure: 'mbPerSecond', title: 'one download', unit: 'MB a second' },
  {
    measure: 'find',
    figure: 'answerMs',
    title: 'from a new node to the first signed answer',
    unit: 'ms',
  },
  {
    measure: 'find',
    figure: 'processMs',
    title: 'the same, from the start of its process',
    unit: 'ms',
  },
] as const
const WAYS = ['address', 'relay', 'mdns', 'rendezvous', 'kademlia'] as const
const WAY_LABELS: Readonly<Record<string, string>> = {
  address: 'by address',
  relay: 'through a relay',
  mdns: 'by mDNS',
  rendezvous: 'by rendezvous',
  kademlia: 'by Kademlia',
}

type Found = { round: number; name: string; measure: string; figures: Record<string, number> }

/** Measures, prints, writes the results down and draws them. */
export async function run(options: BenchOptions): Promise<void> {
  const all = [...Object.keys(RELAYS), ...WAYS]
  const unknown = options.only?.filter((name) => !all.includes(name)) ?? []
  if (unknown.length > 0) {
    throw new Error(`nothing is called ${unknown.join(', ')}; there is ${all.join(', ')}`)
  }
  const names = all.filter((name) => options.only?.includes(name) !== false)
  const extent = options.quick ? QUICK : FULL
  const packages = ['libp2p', '@libp2p/circuit-relay-v2', '@libp2p/noise', '@libp2p/yamux']
  const about = circumstances(options.command, packages)
  const found: Found[] = []
  const failures: string[] = []
  const fail = (name: string, error: unknown): void => {
    failures.push(`${name}: ${error instanceof Error ? error.message : String(error)}`)
  }
  await throughRelays(names, extent, options.measures, found, fail)
  await byEachWay(names, extent, found, fail)
  const results = resultsOf(names, found)
  console.log(`\n${table(results)}\n`)
  for (const failure of failures) console.log(`failed: ${failure}`)
  if (failures.length > 0) process.exitCode = 1
  const partial = options.quick || options.only !== undefined || options.measures !== undefined
  const folder = fileURLToPath(new URL(partial ? 'results/local/' : 'results/', import.meta.url))
  mkdirSync(folder, { recursive: true })
  const json = { ...about, extent, reference: RELAY_REFERENCE, results, failures }
  writeFileSync(`${folder}relay.json`, `${JSON.stringify(json, rounded, 2)}\n`)
  const { machine, runtime, command, date } = about
  const notes = [
    `Both ends Stronghold, in processes of their own on loopback. Bars: median of ${extent.rounds} interleaved rounds; lines: from the least to the most.`,
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGb} GB, ${machine.system} · Node.js ${runtime.node} · ${date} · ${command}`,
  ]
  writeFileSync(`${folder}relay.svg`, drawBars('Through a relay', groups(results), notes))
  console.log(`wrote ${folder}relay.json and relay.svg`)
}

interface Standing {
  name: string
  relay: Side
  home: Side
  away: Side
}

async function throughRelays(
  names: readonly string[],
  extent: typeof FULL,
  wanted: readonly string[] | undefined,
  found: Found[],
  fail: (name: string, error: unknown) => void,
): Promise<void> {
  const standing: Standing[] = []
  try {
    for (const name of names) {
      const entry = RELAYS[name]
      if (entry === undefined) continue
      const one = { name, relay: new Side(), home: new Side(), away: new Side() }
      standing.push(one)
      try {
        await connect(one, entry.forwards)
      } catch (error) {
        fail(name, error)
        standing.pop()
        await end(one)
      }
    }
    const measures = (['inFlight64', 'alone', 'bulk'] as const).filter(
      (name) => wanted?.includes(name) !== false,
    )
    for (let round = -1; round < extent.rounds; round++) {
      // Each round begins with another, so that nobody always follows the same one.
      const from = Math.max(round, 0) % Math.max(standing.length, 1)
      for (const name of measures) {
        for (const one of [...standing.slice(from), ...standing.slice(0, from)]) {
          try {
            const figures = await measure(one, name, round < 0 ? extent.warmMs : extent.forMs)
            if (round >= 0) found.push({ round, name: one.name, measure: name, figures })
          } catch (error) {
            fail(`${one.name}, ${name}`, error)
          }
        }
      }
    }
  } finally {
    await Promise.all(standing.map(end))
  }
}

async function connect({ name, relay, home, away }: Standing, forwards: boolean): Promise<void> {
  const punch = { relay: { punch: false } }
  if (forwards) {
    const there = await home.tell({
      do: 'home',
      init: { ...punch, listen: ['/ip4/127.0.0.1/tcp/0'] },
    })
    const to = Number(/\/tcp\/(\d+)/.exec(there.address)?.[1])
    const port = (await relay.tell({ do: 'relay', name, to })).address
    await away.tell({ do: 'away', address: `/ip4/127.0.0.1/tcp/${port}/p2p/${there.peer ?? ''}` })
  } else {
    const { address } = await relay.tell({ do: 'relay', name, to: 0 })
    const through = `${address}/p2p-circuit`
    const there = await home.tell({ do: 'home', init: { ...punch, listen: [through] } })
    await away.tell({ do: 'away', address: `${through}/p2p/${there.peer ?? ''}` })
  }
}

async function measure(
  { relay, away }: Standing,
  name: Measure,
  forMs: number,
): Promise<Record<string, number>> {
  const before = (await relay.tell({ do: 'cpu' })).figures['us'] ?? 0
  const { answers, ...figures } = (await away.tell({ do: 'measure', name, forMs })).figures
  const spent = ((await relay.tell({ do: 'cpu' })).figures['us'] ?? 0) - before
  return answers === undefined ? figures : { ...figures, relayUs: spent / answers }
}

async function end({ away, home, relay }: Standing): Promise<void> {
  for (const side of [away, home, relay]) await side.end()
}

/** Each time by a process that has only just begun. */
async function byEachWay(
  names: readonly string[],
  { finds }: typeof FULL,
  found: Found[],
  fail: (name: string, error: unknown) => void,
): Promise<void> {
  const ways = WAYS.filter((way) => names.includes(way))
  if (ways.length === 0) return
  const [point, home] = [new Side(), new Side()]
  const listen = ['/ip4/0.0.0.0/tcp/0']
  // Beside the results and not in the directory for temporary files, which may lie in memory.
  const local = fileURLToPath(new URL('results/local/', import.meta.url))
  mkdirSync(local, { recursive: true })
  const folder = mkdtempSync(join(local, 'relay-'))
  try {
    const find = { rendezvous: { serve: true }, kademlia: true }
    const { address } = await point.tell({
      do: 'home',
      init: { listen: ['/ip4/127.0.0.1/tcp/0'], relay: { serve: true }, find },
    })
    const by = {
      address: {},
      relay: {},
      mdns: { mdns: true },
      rendezvous: { rendezvous: { points: [address] } },
      kademlia: { kademlia: { bootstrap: [address] } },
    }
    const everywhere = { ...by.mdns, ...by.rendezvous, ...by.kademlia }
    const seeker = join(folder, 'seeker')
    const through = `${address}/p2p-circuit`
    const there = await home.tell({
      do: 'vault',
      init: { listen: [...listen, through], find: everywhere },
      folder,
      seeker,
    })
    const peer = there.peer ?? ''
    const targets = { address: there.address, relay: `${through}/p2p/${peer}` }
    for (let round = 0; round < finds; round++) {
      for (const way of ways) {
        const away = new Side()
        const target = way === 'address' || way === 'relay' ? targets[way] : peer
        try {
          const init = { identity: seeker, listen, find: by[way] }
          const { figures } = await away.tell({ do: 'seek', init, target })
          found.push({ round, name: way, measure: 'find', figures })
        } catch (error) {
          fail(way, error)
        } finally {
          await away.end()
        }
      }
    }
  } catch (error) {
    fail('finding', error)
  } finally {
    await Promise.all([home.end(), point.end()])
    rmSync(folder, { recursive: true })
  }
}

/** A process, and what it is told. */
class Side {
  readonly #child: ChildProcess = fork(SIDE, {
    execArgv: ['--conditions=@stronghold/source', '--no-deprecation'],
  })

  tell(order: Order): Promise<{ address: string; peer?: string; figures: Record<string, number> }> {
    return new Promise((resolve, reject) => {
      const over = (then: () => void): void => {
        clearTimeout(timer)
        this.#child.off('message', onMessage).off('exit', onExit)
        then()
      }
      const onMessage = (told: unknown): void => {
        over(() => {
          const answer = told as Told | { error: string }
          if ('error' in answer) reject(new Error(answer.error))
          else resolve({ address: '', figures: {}, ...answer })
        })
      }
      const onExit = (): void => {
        over(() => {
          reject(new Error(`the process ended while it had to ${order.do}`))
        })
      }
      const timer = setTimeout(() => {
        over(() => {
          reject(new Error(`it took longer than ${PATIENCE_MS / 1000} s to ${order.do}`))
        })
      }, PATIENCE_MS)
      this.#child.on('message', onMessage).on('exit', onExit)
      this.#child.send(order)
    })
  }

  async end(): Promise<void> {
    const child = this.#child
    if (child.exitCode !== null || child.signalCode !== null) return
    await new Promise<void>((resolve) => {
      child.once('exit', () => {
        resolve()
      })
      if (child.connected) child.disconnect()
    })
  }
}

function resultsOf(names: readonly string[], found: readonly Found[]): Results {
  const results: Results = {}
  for (const name of names) {
    const byMeasure = (results[name] ??= {})
    for (const { measure: kind, figure } of PANELS) {
      const mine = found.filter((one) => one.name === name && one.measure === kind)
      if (mine.length === 0) continue
      const values = mine.map(({ figures }) => figures[figure] ?? Number.NaN)
      if (!values.every(Number.isFinite)) continue
      const ratios = mine.map(({ round, figures }) => {
        const other = found.find(
          (one) => one.round === round && one.name === RELAY_REFERENCE && one.measure === kind,
        )
        return (figures[figure] ?? Number.NaN) / (other?.figures[figure] ?? Number.NaN)
      })
      const ratio = ratios.every(Number.isFinite) ? { ratio: summarize(ratios) } : {}
      ;(byMeasure[kind] ??= {})[figure] = { ...summarize(values), ...ratio }
    }
  }
  return results
}

function labelOf(name: string): string {
  return RELAYS[name]?.label ?? WAY_LABELS[name] ?? name
}

function table(results: Results): string {
  const names = Object.keys(results)
  const width = Math.max(...names.map((name) => labelOf(name).length))
  const blocks = PANELS.flatMap(({ measure: kind, figure, title, unit }) => {
    const rows = names.flatMap((name) => {
      const one = results[name]?.[kind]?.[figure]
      return one === undefined ? [] : [`  ${labelOf(name).padEnd(width)}  ${row(one)}`]
    })
    return rows.length === 0 ? [] : [`${title}, ${unit}`, ...rows, '']
  })
  const reference = `× is the ratio to ${labelOf(RELAY_REFERENCE)} in the same round; in brackets the range over all rounds.`
  return [...blocks, reference].join('\n')
}

function row({ median, min, max, ratio }: Figure): string {
  const range = min === max ? '' : `(${short(min)}–${short(max)})`
  const whole = `${short(median).padStart(9)} ${range.padEnd(20)}`
  return ratio === undefined ? whole : `${whole} × ${short(ratio.median)}`
}

function groups(results: Results): Parameters<typeof drawBars>[1] {
  const all = PANELS.map(({ measure: kind, figure, title, unit }) => ({
    title,
    subtitle: `${unit}, ${unit.endsWith('second') ? 'more' : 'less'} is better`,
    bars: Object.entries(results).flatMap(([name, byMeasure]) => {
      const one = byMeasure[kind]?.[figure]
      const kindOf =
        name === 'stronghold' || WAY_LABELS[name] !== undefined
          ? 'own'
          : name === RELAY_REFERENCE
            ? 'reference'
            : 'other'
      return one === undefined ? [] : [{ ...one, label: labelOf(name), kind: kindOf } as const]
    }),
  }))
  return all.filter(({ bars }) => bars.length > 0)
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' && Number.isFinite(value) ? Number(value.toPrecision(4)) : value
}
