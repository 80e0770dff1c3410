/**
 * What does it cost to keep two Strongholds in step: the first time, again with nothing new, and with ten keys changed? Over TCP on
 * loopback, each message sealed, decided, audited and synced on both sides. Beside it, in the same run, `rsync` over `ssh` of as
 * many files with as many bytes: it moves files as they are, and neither seals, decides nor writes an audit.
 */
import { randomFillSync } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { openGuard } from '@stronghold/guard'
import type { Guard } from '@stronghold/guard'
import { createNode } from '@stronghold/p2p'
import type { Node } from '@stronghold/p2p'
import { fetchSyncKey, runSync, serveSync } from '@stronghold/remote'
import { createVault } from '@stronghold/vault'

import { drawBars } from './chart.ts'
import type { BenchOptions } from './options.ts'
import { circumstances } from './results.ts'
import type { Circumstances, Summary } from './results.ts'
import { startRsync } from './sync/rsync.ts'

const CHANGED = 10
const STEPS = 16
const FIRST = 'The first time'
const AGAIN = 'Again, nothing new'
const SOME = `Again, ${CHANGED} changed`

/** One line of the table. */
interface Line {
  readonly who: 'Stronghold' | 'rsync over ssh'
  /** What was done, in the same words for both. */
  readonly step: string
  readonly ms: number
  readonly bytes: number
  readonly roundTrips?: number
  /** Of this process, which is both sides. */
  readonly cpuMs?: number
}

/** One of the two. */
interface Side {
  readonly name: string
  readonly node: Node
  readonly guard: Guard
}

/** Measures, prints and writes the results down. */
export async function run(options: BenchOptions): Promise<void> {
  const count = options.quick ? 500 : 10_000
  const about = circumstances(options.command, [])
  const results = fileURLToPath(new URL('results/local/', import.meta.url))
  mkdirSync(results, { recursive: true })
  const folder = mkdtempSync(join(results, 'sync-'))
  try {
    const lines = await ours(folder, count)
    const beside = await theirs(folder, count, (lines[0]?.bytes ?? 0) / count)
    const all = Array.isArray(beside) ? [...lines, ...beside] : lines
    for (const row of [['', '', 'kB', 'trips', 'ms', 'CPU ms'], ...all.map(cells)]) {
      console.log(row.map((cell, at) => (at < 2 ? cell.padEnd(26) : cell.padStart(9))).join(''))
    }
    if (!Array.isArray(beside)) console.log(`left out: rsync over ssh: no ${beside.missing}`)
    const into = options.quick ? results : fileURLToPath(new URL('results/', import.meta.url))
    writeFileSync(
      `${into}sync.json`,
      `${JSON.stringify({ ...about, count, lines: all }, null, 2)}\n`,
    )
    writeFileSync(`${into}sync.svg`, drawn(about, count, all))
    console.log(`wrote ${into}sync.json and sync.svg`)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function cells({ who, step, ms, bytes, roundTrips, cpuMs }: Line): string[] {
  const cpu = cpuMs === undefined ? '' : String(Math.round(cpuMs))
  return [step, who, (bytes / 1000).toFixed(1), String(roundTrips ?? ''), ms.toFixed(0), cpu]
}

function drawn(
  { machine, runtime, date, command }: Circumstances,
  count: number,
  lines: readonly Line[],
): string {
  const once = (value: number): Summary => ({ median: value, min: value, max: value })
  const steps = [...new Set(lines.map(({ step }) => step))]
  const groups = steps.flatMap((step) =>
    (['ms', 'kB'] as const).map((unit) => ({
      title: step,
      subtitle: `${unit}, less is better`,
      bars: lines
        .filter((line) => line.step === step)
        .map(({ who, ms, bytes }) => ({
          label: who,
          kind: who === 'Stronghold' ? ('own' as const) : ('other' as const),
          ...once(unit === 'ms' ? ms : bytes / 1000),
        })),
    })),
  )
  return drawBars(`Two Strongholds in step, ${count.toLocaleString('en')} keys`, groups, [
    'Stronghold: each record sealed from vault to vault, decided by rules, audited and synced on both sides, in one process.',
    'rsync over ssh: as many files with as many bytes, as they are, synced. All on loopback, once, one after the other.',
    `${machine.cores} × ${machine.cpu}, ${machine.system}, Node.js ${runtime.node}, ${date}: ${command}`,
  ])
}

async function ours(folder: string, count: number): Promise<Line[]> {
  const home = await side(folder, 'home')
  const away = await side(folder, 'away')
  const closing = [home, away].map(({ node, guard }) => serveSync(node, guard))
  for (const [one, other] of [
    [home, away],
    [away, home],
  ] as const) {
    await one.guard.owner.addPeer(other.node.peer, other.name)
    await one.guard.owner.addRule({
      peers: ['known'],
      procedures: ['sync:send', 'sync:receive', 'sync:remove'],
      paths: ['**'],
      effect: 'allow',
    })
  }
  for (const [one, other] of [
    [home, away],
    [away, home],
  ] as const) {
    const { vault, key } = await fetchSyncKey(one.node, other.node.addresses)
    await one.guard.owner.syncAdd({ name: other.name, peer: other.name, vault, key })
  }
  for (let at = 0; at < count; at += STEPS) {
    const steps = Array.from({ length: Math.min(STEPS, count - at) }, (_, index) => ({
      procedure: 'generate',
      version: 1,
      input: { to: `key/${at + index}`, type: 'ed25519', labels: { sync: true } },
    }))
    await home.guard.owner.run(steps)
  }
  const lines = [await timed(FIRST, home), await timed(AGAIN, home)]
  for (let at = 0; at < CHANGED; at++) {
    const input = { key: `key/${at * Math.floor(count / CHANGED)}` }
    await home.guard.owner.run([{ procedure: 'rotate', version: 1, input }])
  }
  lines.push(await timed(SOME, home))
  for (const one of closing) one[Symbol.dispose]()
  for (const { node, guard } of [home, away]) {
    await node.stop()
    await guard.close()
  }
  return lines
}

async function side(folder: string, name: string): Promise<Side> {
  const vault = await createVault({
    at: join(folder, name),
    credential: { keyFile: randomFillSync(new Uint8Array(32)) },
  })
  const node = await createNode({ listen: ['/ip4/127.0.0.1/tcp/0'] })
  return { name, node, guard: openGuard({ vault, peer: node.peer }) }
}

async function timed(step: string, { node, guard }: Side): Promise<Line> {
  const startMs = performance.now()
  const before = process.cpuUsage()
  const { roundTrips, bytes, inStep } = await runSync(node, guard, 'away')
  const { user, system } = process.cpuUsage(before)
  if (!inStep) throw new Error(`${step}: not in step`)
  const ms = performance.now() - startMs
  return { who: 'Stronghold', step, ms, bytes, roundTrips, cpuMs: (user + system) / 1000 }
}

async function theirs(
  folder: string,
  count: number,
  bytesEach: number,
): Promise<Line[] | { readonly missing: string }> {
  const rsync = await startRsync(join(folder, 'ssh'))
  if ('missing' in rsync) return rsync
  const [from, to] = [join(folder, 'from'), join(folder, 'to')]
  const file = (index: number): string => join(from, `key-${index}`)
  const fill = (): Uint8Array => randomFillSync(new Uint8Array(Math.round(bytesEach)))
  try {
    for (const one of [from, to]) mkdirSync(one)
    for (let index = 0; index < count; index++) writeFileSync(file(index), fill())
    const lines: Line[] = []
    const add = async (step: string): Promise<void> => {
      lines.push({ who: 'rsync over ssh', step, ...(await rsync.run(from, to)) })
    }
    await add(FIRST)
    await add(AGAIN)
    for (let at = 0; at < CHANGED; at++) {
      writeFileSync(file(at * Math.floor(count / CHANGED)), fill())
    }
    await add(SOME)
    return lines
  } finally {
    rsync.close()
  }
}
