/** Where a keeper's thread begins. In the main thread it does nothing. */
import { parentPort, workerData } from 'node:worker_threads'

import { runKeeper } from './worker.ts'
import type { KeeperData } from './worker.ts'

if (parentPort !== null) {
  await runKeeper(workerData as KeeperData, parentPort)
  process.exit() // of this thread alone
}
