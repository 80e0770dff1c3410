import { defineConfig } from 'vitest/config'

const conditions = ['@stronghold/source']

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
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
})
