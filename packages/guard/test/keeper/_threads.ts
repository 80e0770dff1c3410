/**
 * A thread that runs one keeper after the other, each with a clock that its test moves: loading the modules once is most of
 * what a keeper's start costs.
 */
import { BroadcastChannel, parentPort } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'

import { manualClock } from '@stronghold/testkit'

import { runKeeper } from '../../src/keeper/worker.ts'
import type { KeeperData } from '../../src/keeper/worker.ts'

async function run(data: KeeperData, control: MessagePort): Promise<void> {
  const clock = manualClock(1_800_000_000_000)
  const channel = new BroadcastChannel(data.vault.at)
  channel.onmessage = (event) => {
    clock.advance((event as { data: number }).data)
    // What fell due is carried out at the end of this turn.
    setImmediate(() => {
      channel.postMessage('done')
    })
  }
  await runKeeper(data, control, { clock })
  channel.close()
  control.close()
}

parentPort?.on('message', ({ data, control }: { data: KeeperData; control: MessagePort }) => {
  void run(data, control)
})
