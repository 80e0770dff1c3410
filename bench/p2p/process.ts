/**
 * One side of one contender, in a process of its own: `process.ts serve NAME` or `process.ts ask NAME`. It does what
 * it is told by messages and tells what it found.
 */
import { CONTENDERS } from './contenders.ts'
import type { Dialer, Line, ServedAddress } from './contender.ts'
import { MEASURES, SLOTS } from './measures.ts'
import type { Figures, Ground } from './measures.ts'
import { startProfile } from './profile.ts'

/** What a process can be told. */
export type Order =
  | { do: 'serve' }
  | { do: 'prepare'; address: ServedAddress }
  | { do: 'measure'; name: string; forMs: number; slow: Ground['slow'] }
  | { do: 'hold'; connections: number }
  | { do: 'memory' }
  | { do: 'cpu' }
  | { do: 'profile' }
  | { do: 'endProfile'; file: string }

/** What it says then. */
export type Told = { address: ServedAddress } | { figures: Figures } | { error: string }

/** Connections opened at once when many are to be held. */
const OPENED_AT_ONCE = 8
/** For whatever a new connection still does by itself. */
const SETTLE_MS = 1_000

const [, , , name = ''] = process.argv
const entry = CONTENDERS[name]
if (entry === undefined) throw new Error(`no contender is called ${name}`)
const contender = await entry.load()
let dialer: Dialer | undefined
let line: Line | undefined
let endProfile: ((file: string) => Promise<void>) | undefined
const held: Line[] = []

process.on('message', (order: Order) => {
  obey(order).then(tell, (error: unknown) => {
    tell({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  })
})
process.on('disconnect', () => process.exit(0))

async function obey(order: Order): Promise<Told> {
  switch (order.do) {
    case 'serve':
      return { address: (await contender.serve()).address }
    case 'prepare':
      dialer = await contender.dialer(order.address)
      await dialer.prepare(SLOTS)
      line = await dialer.connect(0)
      return { figures: {} }
    case 'measure': {
      const measure = MEASURES[order.name]
      if (measure === undefined || dialer === undefined || line === undefined) {
        throw new Error(`cannot measure ${order.name}`)
      }
      return { figures: await measure({ ...order, dialer, line }) }
    }
    case 'hold':
      await hold(order.connections)
      return { figures: {} }
    case 'memory':
      return { figures: await memory() }
    case 'profile':
      endProfile = await startProfile()
      return { figures: {} }
    case 'endProfile':
      await endProfile?.(order.file)
      return { figures: {} }
    case 'cpu': {
      const { user, system } = process.cpuUsage()
      return { figures: { us: user + system } }
    }
  }
}

/** Makes it so many connections that were used once and are idle now. */
async function hold(connections: number): Promise<void> {
  if (dialer === undefined) throw new Error('there is no dialer')
  await dialer.prepare(SLOTS + connections)
  const dial = dialer
  await Promise.all(held.splice(connections).map((one) => one.close()))
  let next = held.length
  const work = async (): Promise<void> => {
    while (next < connections) {
      const slot = next++
      const one = await dial.connect(SLOTS + slot)
      await one.ask(Buffer.alloc(32))
      held.push(one)
    }
  }
  await Promise.all(Array.from({ length: OPENED_AT_ONCE }, work))
}

async function memory(): Promise<Figures> {
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS / 3))
    globalThis.gc?.()
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  return { rss, heap: heapUsed + external }
}

function tell(told: Told): void {
  process.send?.(told)
}
