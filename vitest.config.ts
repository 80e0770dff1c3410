import { defineConfig } from 'vitest/config'

const conditions = ['@stronghold/source']
// What is given much more input may take long: then a limit is there for what hangs alone.
const timeoutMs = process.env['STRONGHOLD_LONG'] === '1' ? 3_600_000 : 20_000

export default defineConfig({
  resolve: { conditions: [...conditions, 'node', 'module', 'import', 'default'] },
  ssr: { resolve: { conditions: [...conditions, 'node', 'module', 'import', 'default'] } },
  test: {
    include: ['packages/*/test/**/*.test.ts', 'examples/**/*.test.ts', 'scripts/**/*.test.ts'],
    exclude: ['**/*.browser.test.ts', '**/node_modules/**'],
    pool: 'threads',
    maxWorkers: 2,
    // Files of one worker share their modules: nothing here has state of its own, and loading libp2p takes longest.
    isolate: false,
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
  },
})
