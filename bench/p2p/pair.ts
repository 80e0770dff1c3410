/** The two processes of a contender, and the orders they are given. Knows nothing of what is measured. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

import type { ServedAddress } from './contender.ts'
import type { Figures } from './measures.ts'
import type { Order, Told } from './process.ts'

const SIDE = fileURLToPath(new URL('process.ts', import.meta.url))
/** Longest one order may take. */
const PATIENCE_MS = 120_000

/** A server and a client. */
export interface Pair {
  readonly address: ServedAddress
  server(order: Order): Promise<Figures>
  client(order: Order): Promise<Figures>
  stop(): Promise<void>
}

/** Starts both. */
export async function startPair(name: string): Promise<Pair> {
  const server = start('serve', name)
  const client = start('ask', name)
  const pair: Pair = {
    address: {},
    server: (order) => give(server, order).then(figuresOf),
    client: (order) => give(client, order).then(figuresOf),
    async stop() {
      await Promise.all([client, server].map(end))
    },
  }
  try {
    const told = await give(server, { do: 'serve' })
    if (!('address' in told)) throw new Error(`${name} has no address`)
    await give(client, { do: 'prepare', address: told.address })
    return { ...pair, address: told.address }
  } catch (error) {
    await pair.stop()
    throw error
  }
}

function start(role: string, name: string): ChildProcess {
  return fork(SIDE, [role, name], {
    execArgv: ['--conditions=@stronghold/source', '--expose-gc', '--no-deprecation'],
  })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  if (child.connected) child.disconnect()
  await ended
}

function figuresOf(told: Told): Figures {
  return 'figures' in told ? told.figures : {}
}

/** Gives an order and waits for what is told. */
function give(child: ChildProcess, order: Order): Promise<Told> {
  return new Promise((resolve, reject) => {
    const over = (then: () => void): void => {
      clearTimeout(timer)
      child.off('message', onMessage).off('exit', onExit)
      then()
    }
    const onMessage = (told: unknown): void => {
      over(() => {
        const answer = told as Told
        if ('error' in answer) reject(new Error(answer.error))
        else resolve(answer)
      })
    }
    const onExit = (): void => {
      over(() => {
        reject(new Error(`the process ended while it had to ${order.do}`))
      })
    }
    const timer = setTimeout(() => {
      child.kill()
      over(() => {
        reject(new Error(`it took longer than ${PATIENCE_MS / 1000} s to ${order.do}`))
      })
    }, PATIENCE_MS)
    child.on('message', onMessage).on('exit', onExit)
    child.send(order)
  })
}
