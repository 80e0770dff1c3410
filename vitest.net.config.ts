/** `npm run test:net`: what needs root and networks of its own. The ordinary run leaves it alone. */
import { defineConfig, mergeConfig } from 'vitest/config'

import base from './vitest.config.ts'

export default mergeConfig(
  defineConfig({ ...base, test: { ...base.test, include: [] } }),
  defineConfig({ test: { include: ['packages/*/test/net/*.net.ts'], maxWorkers: 1 } }),
)
