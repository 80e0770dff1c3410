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
  },
})
