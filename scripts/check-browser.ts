/**
 * The entries that promise to run in a browser, bundled as a browser would get them: no module of Node.js anywhere in
 * the graph, dependencies included, and a size within the budget.
 */
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

import { rolldown } from 'rolldown'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** Entry and budget in bytes, minified and compressed: what a web page pays for it. */
const ENTRIES: readonly [entry: string, maxBytes: number][] = [
  ['packages/core/src/index.ts', 12 * 1024],
  ['packages/p2p/src/index.ts', 220 * 1024],
  ['packages/remote/src/connect.ts', 120 * 1024],
]

let failed = false
for (const [entry, maxBytes] of ENTRIES) {
  const builtins = new Set<string>()
  const bundle = await rolldown({
    input: entry,
    cwd: ROOT,
    platform: 'browser',
    logLevel: 'silent',
    resolve: { conditionNames: ['@stronghold/source', 'browser', 'module', 'import', 'default'] },
    external: (id, importer) => {
      if (!id.startsWith('node:')) return false
      builtins.add(`${id} from ${importer?.replace(ROOT, '') ?? '?'}`)
      return true
    },
  })
  const { output } = await bundle.generate({ format: 'esm', minify: true })
  await bundle.close()
  const chunks = new Map(
    output.flatMap((one) => (one.type === 'chunk' ? [[one.fileName, one]] : [])),
  )
  const loaded = new Set([...chunks.values()].filter((one) => one.isEntry))
  // What is only loaded when it is asked for, a page need not pay for.
  for (const { imports } of loaded) {
    for (const name of imports) {
      const chunk = chunks.get(name)
      if (chunk !== undefined) loaded.add(chunk)
    }
  }
  const code = [...loaded].map((chunk) => chunk.code).join('\n')
  const bytes = gzipSync(code).byteLength
  console.log(`${entry}: ${kib(bytes)} of ${kib(maxBytes)}`)
  for (const builtin of builtins) console.log(`${entry}: reaches ${builtin}`)
  if (bytes > maxBytes) console.log(`${entry}: larger than its budget`)
  failed ||= bytes > maxBytes || builtins.size > 0
}
process.exitCode = failed ? 1 : 0

function kib(bytes: number): string {
  return `${(bytes / 1024).toFixed(1)} KiB`
}
