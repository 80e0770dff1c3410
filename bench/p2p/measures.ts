/** What is measured, from the asking side. Knows of a contender no more than that it connects and answers. */
import type { Dialer, Line } from './contender.ts'

/** Numbers by name. */
export type Figures = Record<string, number>

/** What a measure may use. */
export interface Ground {
  dialer: Dialer
  /** A connection that stands for the whole run. */
  line: Line
  /** How long to go on. */
  forMs: number
  /** A proxy in front of the server that delays what passes, each way. */
  slow: { port: number; delayMs: number } | undefined
}

const SMALL_BYTES = 32
const BIG_BYTES = 1024 * 1024
const MEGABYTE = 1e6
/** Big requests under way at once. */
const BIG_AT_ONCE = 2
/** Handshakes under way at once. */
const HANDSHAKES_AT_ONCE = 8
/** Connections made through the delay, each from a slot that never connected before and knows no shorter way. */
const SLOW_CONNECTIONS = 5

/** By the name that `--measure` takes. */
export const MEASURES: Readonly<Record<string, (ground: Ground) => Promise<Figures>>> = {
  alone,
  inFlight64: (ground) => inFlight(ground, 64),
  inFlight256: (ground) => inFlight(ground, 256),
  bulk,
  besideBulk,
  opening,
  roundTrips,
  handshakes,
}

/** Slots of a dialer that the measures use: the standing line's, then those that come and go, then those used once. */
export const SLOTS: number = 1 + HANDSHAKES_AT_ONCE + SLOW_CONNECTIONS

/** 32 bytes, the next when the answer is there. */
async function alone({ line, forMs }: Ground): Promise<Figures> {
  const timesMs: number[] = []
  const seconds = await during(forMs, 1, () => timed(line, timesMs))
  return {
    answers: timesMs.length,
    perSecond: timesMs.length / seconds,
    p50Us: quantile(timesMs, 0.5) * 1000,
    p99Us: quantile(timesMs, 0.99) * 1000,
  }
}

/** 32 bytes, so many at once. */
async function inFlight({ line, forMs }: Ground, atOnce: number): Promise<Figures> {
  let answers = 0
  const body = small()
  const seconds = await during(forMs, atOnce, async () => {
    expect(await line.ask(body), SMALL_BYTES)
    answers += 1
  })
  return { answers, perSecond: answers / seconds }
}

/** A MiB there and back. What travels one way is counted. */
async function bulk({ line, forMs }: Ground): Promise<Figures> {
  const body = Buffer.alloc(BIG_BYTES, 7)
  let bytes = 0
  const seconds = await during(forMs, BIG_AT_ONCE, async () => {
    expect(await line.ask(body), BIG_BYTES)
    bytes += BIG_BYTES
  })
  return { megabytesPerSecond: bytes / MEGABYTE / seconds }
}

/** 32 bytes one at a time, on a connection that carries a MiB after the other. */
async function besideBulk({ line, forMs }: Ground): Promise<Figures> {
  const body = Buffer.alloc(BIG_BYTES, 7)
  const timesMs: number[] = []
  let bytes = 0
  let over = false
  const transfer = async (): Promise<void> => {
    while (!over) {
      expect(await line.ask(body), BIG_BYTES)
      bytes += BIG_BYTES
    }
  }
  const transfers = Array.from({ length: BIG_AT_ONCE }, transfer)
  const seconds = await during(forMs, 1, () => timed(line, timesMs))
  over = true
  await Promise.all(transfers)
  return {
    p50Ms: quantile(timesMs, 0.5),
    p99Ms: quantile(timesMs, 0.99),
    megabytesPerSecond: bytes / MEGABYTE / seconds,
  }
}

/** From nothing to the first answer on a new connection, one connection after the other. */
async function opening({ dialer, forMs }: Ground): Promise<Figures> {
  const timesMs: number[] = []
  await during(forMs, 1, async () => {
    timesMs.push(await open(dialer, 1))
  })
  return { p50Ms: quantile(timesMs, 0.5) }
}

/**
 * The same through a delay, less the time without one, in round trips. The proxy answers TCP's own handshake at once,
 * so that one is added.
 */
async function roundTrips({ dialer, slow }: Ground): Promise<Figures> {
  if (slow === undefined) throw new Error('there is nothing that delays')
  const near: number[] = []
  const far: number[] = []
  for (let slot = SLOTS - SLOW_CONNECTIONS; slot < SLOTS; slot++) {
    near.push(await open(dialer, 1))
    far.push(await open(dialer, slot, slow.port))
  }
  // What a busy machine adds is no round trip.
  const delayMs = Math.min(...far) - Math.min(...near)
  return { count: 1 + delayMs / (2 * slow.delayMs) }
}

/** Connections made and closed. */
async function handshakes({ dialer, forMs }: Ground): Promise<Figures> {
  let made = 0
  const seconds = await during(forMs, HANDSHAKES_AT_ONCE, async (worker) => {
    const line = await dialer.connect(1 + worker)
    made += 1
    await line.close()
  })
  return { perSecond: made / seconds }
}

async function open(dialer: Dialer, slot: number, port?: number): Promise<number> {
  const startedAtMs = performance.now()
  const line = await dialer.connect(slot, port)
  expect(await line.ask(small()), SMALL_BYTES)
  const tookMs = performance.now() - startedAtMs
  await line.close()
  return tookMs
}

async function timed(line: Line, timesMs: number[]): Promise<void> {
  const startedAtMs = performance.now()
  expect(await line.ask(small()), SMALL_BYTES)
  timesMs.push(performance.now() - startedAtMs)
}

/** Runs so many workers until the time is over. Gives the seconds it took. */
async function during(
  forMs: number,
  workers: number,
  step: (worker: number) => Promise<void>,
): Promise<number> {
  const startedAtMs = performance.now()
  const untilMs = startedAtMs + forMs
  const work = async (_: unknown, worker: number): Promise<void> => {
    do await step(worker)
    while (performance.now() < untilMs)
  }
  await Promise.all(Array.from({ length: workers }, work))
  return (performance.now() - startedAtMs) / 1000
}

function small(): Uint8Array {
  return Buffer.alloc(SMALL_BYTES, 7)
}

function expect(answer: Uint8Array, length: number): void {
  if (answer.byteLength === length && answer[length - 1] === 7) return
  throw new Error(`asked with ${length} bytes, answered with ${answer.byteLength}`)
}

function quantile(values: number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN
}
