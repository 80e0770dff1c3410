/**
 * Promises about the files themselves: lock files name no place to download from, runtime dependencies are the ones
 * that docs/ARCHITECTURE.md justifies, no unfinished marks without an issue, every module begins with what it is for.
 */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const problems: string[] = []

for (const file of ['package-lock.json', 'interop/package-lock.json', 'bench/package-lock.json']) {
  if (/"resolved": "[a-z+]+:\/\//.test(read(file))) {
    problems.push(`${file} names a place to download from; .npmrc forbids that`)
  }
}

const [, reasons = ''] = read('docs/ARCHITECTURE.md').split('## Runtime dependencies')
for (const file of find('packages/*/package.json')) {
  const manifest = JSON.parse(read(file)) as {
    name: string
    private?: boolean
    dependencies?: Record<string, string>
  }
  if (manifest.private === true) continue
  for (const name of Object.keys(manifest.dependencies ?? {})) {
    if (name.startsWith('@stronghold/') || reasons.includes(`\`${name}\``)) continue
    problems.push(`${file}: docs/ARCHITECTURE.md gives no reason for ${name}`)
  }
}

// Spelled so that this file does not find itself.
const MARK = /\b(TO[D]O|FIX[M]E)\b(?!\(#\d+\))/
for (const file of find(
  '{packages/*/{src,test},examples,scripts,interop/suites,bench}/**/*.{ts,js}',
)) {
  const text = read(file)
  if (MARK.test(text)) problems.push(`${file}: an unfinished mark without an issue`)
  if (/\/src\/.*\.ts$/.test(file) && !/^\s*(\/\*\*|\/\/)/.test(text) && !file.endsWith('.d.ts')) {
    problems.push(`${file}: does not begin with what it is for`)
  }
  if (/(^|\/)(utils|helpers|common)\.ts$/.test(file)) {
    problems.push(`${file}: a helper belongs to the word it serves`)
  }
}

for (const problem of problems) console.log(problem)
process.exitCode = problems.length > 0 ? 1 : 0

function find(pattern: string): string[] {
  const exclude = (path: string): boolean => /node_modules|dist/.test(path)
  return globSync(pattern, { cwd: ROOT, exclude }).sort()
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
}
