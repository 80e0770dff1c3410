/** Starts a keeper's thread. What its ports carry it does not know. */
import { MessageChannel, Worker } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'

import { DoorError, errorOf } from './messages.ts'
import type { KeeperData, KeeperState } from './worker.ts'

/** What of a thread is needed here. */
export interface Thread {
  once(event: 'message' | 'error' | 'exit', listener: (value: unknown) => void): unknown
  postMessage(value: unknown): void
}

/** What tests hold. */
export interface KeeperSeams {
  /** Starts a thread that runs `runKeeper`. Default: a worker. */
  thread?(data: KeeperData, transferList: MessagePort[]): Thread
}

/** A thread whose doors are open. */
export interface KeeperThread {
  readonly network: MessagePort
  readonly owner: MessagePort
  /** Settles when the thread is gone: with nothing after `close`, else with why. */
  readonly ended: Promise<DoorError | undefined>
  /** Closes the doors and waits. Again does nothing more. */
  close(): Promise<void>
}

/**
 * Starts the thread and waits until its doors are open.
 *
 * @throws `DoorError` with what kept it from opening
 */
export async function startKeeper(
  data: Omit<KeeperData, 'network' | 'owner'>,
  seams: KeeperSeams = {},
): Promise<KeeperThread> {
  const network = new MessageChannel()
  const owner = new MessageChannel()
  const workerData: KeeperData = { ...data, network: network.port2, owner: owner.port2 }
  const worker = (seams.thread ?? startThread)(workerData, [network.port2, owner.port2])
  let closing = false
  let broken: Error | undefined
  worker.once('error', (error) => {
    broken = error instanceof Error ? error : new Error('thrown')
  })
  const ended = new Promise<DoorError | undefined>((resolve) => {
    worker.once('exit', (status) => {
      resolve(closing && status === 0 ? undefined : gone(broken))
    })
  })
  const state = await Promise.race([
    new Promise<KeeperState>((resolve) => {
      worker.once('message', (value) => {
        resolve(value as KeeperState)
      })
    }),
    ended,
  ])
  if (state instanceof Error || state === undefined) throw state ?? gone(undefined)
  if (!state.ready) {
    await ended
    throw errorOf(state.fault)
  }
  return {
    network: network.port1,
    owner: owner.port1,
    ended,
    close: async () => {
      if (!closing) worker.postMessage('close')
      closing = true
      await ended
    },
  }
}

function startThread(workerData: KeeperData, transferList: MessagePort[]): Thread {
  // Not relative to this file: in `dist` and in `src` it has another ending.
  const main = new URL(import.meta.resolve('@stronghold/guard/keeper-worker'))
  return new Worker(main, { name: 'keeper', workerData, transferList })
}

/** What it died of stays here as the cause: it may say more than those who wait may know. */
function gone(cause: Error | undefined): DoorError {
  const error = new DoorError('unavailable', 'Cannot reach keeper: its thread has ended', 'maybe')
  if (cause !== undefined) error.cause = cause
  return error
}
