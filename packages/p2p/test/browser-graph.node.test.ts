/** Bundles entries as a browser's bundler does, and looks at every import on the way, used or not. */
import { existsSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { fileURLToPath } from 'node:url'

import { build } from 'vite'
import { expect, test } from 'vitest'

const SOURCE = fileURLToPath(new URL('../src/', import.meta.url))
const BROWSER = ['@stronghold/source', 'browser', 'module', 'import', 'default']
const NODE = ['@stronghold/source', 'node', 'module', 'import', 'default']

/** What of the module graph only Node.js has, each with the module that asks for it. */
async function nodeImports(entry: string, conditions = BROWSER): Promise<string[]> {
  const found = new Set<string>()
  await build({
    configFile: false,
    logLevel: 'silent',
    resolve: { conditions },
    build: { write: false, minify: false, lib: { entry, formats: ['es'] } },
    plugins: [
      {
        name: 'node-imports',
        enforce: 'pre',
        resolveId(id, importer) {
          if (isBuiltin(id) || id === 'ws') found.add(`${id} in ${importer ?? 'the entry'}`)
          return undefined
        },
      },
    ],
  })
  return [...found].map((text) => text.replace(/ in .*\/(packages|node_modules)\//, ' in '))
}

for (const name of ['index.ts', 'testing.ts', 'libp2p.ts', 'runtime/browser.ts']) {
  const entry = SOURCE + name
  const title = `the module graph of ${name} holds nothing of Node.js in a browser`
  test.skipIf(!existsSync(entry))(title, { timeout: 60_000 }, async () => {
    expect(await nodeImports(entry)).toEqual([])
  })
}

test('what Node.js has is seen where it is imported', { timeout: 60_000 }, async () => {
  const found = await nodeImports(`${SOURCE}runtime/node.ts`, NODE)
  expect(found.some((text) => text.startsWith('node:net in p2p/src/transports/tcp.ts'))).toBe(true)
  expect(found.some((text) => text.startsWith('ws in p2p/src/transports/'))).toBe(true)
})
