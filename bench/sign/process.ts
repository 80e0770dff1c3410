/**
 * One of the two processes: `process.ts serve FOLDER` holds the key, `process.ts ask` wants signatures. It does what it is told
 * by messages and tells what it found.
 */
import { startProfile } from '../p2p/profile.ts'
import type { Asked } from './asked.ts'
import { pace } from './inflight.ts'
import type { Pace } from './inflight.ts'

/** Where the serving side is: a port, a peer id, a socket. */
export type Address = Readonly<Record<string, string>>

/** What a process can be told. */
export type Order =
  | { do: 'serve' }
  /** Gets ready to ask; the serving side is told who will. */
  | { do: 'meet' }
  | { do: 'admit'; peer: string }
  | { do: 'reach'; address: Address }
  | { do: 'measure'; whom: string; atOnce: number; forMs: number }
  /** The same, and how long a ping takes meanwhile. */
  | { do: 'ping'; whom: string; atOnce: number; forMs: number }
  /** Stretches passphrases, one after the other. */
  | { do: 'stretch'; forMs: number }
  | { do: 'cpu' }
  | { do: 'profile' }
  | { do: 'endProfile'; file: string }

/** What it says then. */
export type Told =
  | { address: Address }
  | { peer: string }
  | { pace: Pace; ping?: Pace }
  | { us: number }
  | { done: true }
  | { error: string }

/** A peer that pings all the time is cut off. */
const PING_PAUSE_MS = 50

const [, , role = '', folder = ''] = process.argv
const { asker, server } =
  role === 'serve'
    ? { asker: undefined, server: await (await import('./served.ts')).serve(folder) }
    : { asker: await (await import('./asked.ts')).meet(), server: undefined }
const asked: Asked = asker?.asked ?? server?.asked ?? {}
let endProfile: ((file: string) => Promise<void>) | undefined

process.on('message', (order: Order) => {
  obey(order).then(tell, (error: unknown) => {
    tell({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  })
})
process.on('disconnect', () => {
  void server?.close().finally(() => process.exit(0))
  if (server === undefined) process.exit(0)
})

async function obey(order: Order): Promise<Told> {
  switch (order.do) {
    case 'serve':
      return { address: server?.address ?? {} }
    case 'meet':
      return { peer: asker?.peer ?? '' }
    case 'admit':
      await server?.admit(order.peer)
      return { done: true }
    case 'reach':
      asker?.reach(order.address)
      return { done: true }
    case 'measure': {
      const ask = asked[order.whom]
      if (ask === undefined) throw new Error(`nobody is called ${order.whom}`)
      return { pace: await pace(ask, order.atOnce, order.forMs) }
    }
    case 'ping': {
      const { whom, atOnce, forMs } = order
      const ask = asked[whom]
      if (ask === undefined || asker === undefined) throw new Error(`nobody asks ${whom}`)
      const [found, ping] = await Promise.all([
        pace(ask, atOnce, forMs),
        pace(() => asker.ping(), 1, forMs, PING_PAUSE_MS),
      ])
      return { pace: found, ping }
    }
    case 'stretch': {
      if (server === undefined) throw new Error('nothing is stretched here')
      return { pace: await pace(() => server.stretch(), 1, order.forMs) }
    }
    case 'cpu': {
      const { user, system } = process.cpuUsage()
      return { us: user + system }
    }
    case 'profile':
      endProfile = await startProfile()
      return { done: true }
    case 'endProfile':
      await endProfile?.(order.file)
      return { done: true }
  }
}

function tell(told: Told): void {
  process.send?.(told)
}
