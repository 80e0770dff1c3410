/**
 * `npm run check`: everything CI looks at without running the tests. Each check is one line; what failed shows its
 * output. `npm run check -- lint format` runs those alone. Ends as `npm test` does, with the two lines that count.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { report } from './tally.ts'
import type { Tally } from './tally.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SOURCE = 'node --conditions=@stronghold/source'

interface Check {
  name: string
  command: string
  /** Why it cannot run here; else it runs. */
  skip?: () => string | undefined
}

/** In order: what breaks most often first; `build` before what reads `dist`. */
const CHECKS: readonly Check[] = [
  { name: 'build', command: 'tsc -b' },
  { name: 'types', command: 'tsc -p tsconfig.check.json' },
  {
    name: 'interop-types',
    command: 'tsc -p interop',
    skip: () =>
      existsSync(join(ROOT, 'interop/node_modules')) ? undefined : 'interop is not installed',
  },
  { name: 'lint', command: 'eslint --max-warnings 0 .' },
  { name: 'format', command: 'prettier --check --log-level warn .' },
  { name: 'imports', command: 'depcruise --config .dependency-cruiser.cjs packages' },
  {
    name: 'imports-browser',
    command: 'depcruise --config .dependency-cruiser.browser.cjs packages',
  },
  { name: 'unused', command: 'knip' },
  { name: 'api', command: `${SOURCE} scripts/api.ts` },
  { name: 'reference', command: 'typedoc --emit none' },
  { name: 'limits', command: `${SOURCE} scripts/check-limits.ts` },
  { name: 'docs', command: `${SOURCE} scripts/check-docs.ts` },
  { name: 'files', command: `${SOURCE} scripts/check-files.ts` },
  { name: 'browser', command: `${SOURCE} scripts/check-browser.ts` },
  { name: 'packages', command: `${SOURCE} scripts/check-packages.ts` },
]

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !CHECKS.some((check) => check.name === name))
if (unknown.length > 0) {
  console.error(`check: error: no check is called ${unknown.join(', ')}`)
  console.error(`check: hint: ${CHECKS.map(({ name }) => name).join(' ')}`)
  process.exit(2)
}
const tally: Tally = { passed: 0, failed: [], skipped: [] }
for (const check of CHECKS) {
  if (wanted.length > 0 && !wanted.includes(check.name)) continue
  const reason = check.skip?.()
  if (reason !== undefined) {
    tally.skipped.push(`${check.name}: ${reason}`)
    continue
  }
  const startedAtMs = Date.now()
  const { code, output } = await run(check.command)
  const took = `${((Date.now() - startedAtMs) / 1000).toFixed(1)} s`
  console.log(`  ${code === 0 ? '✓' : '✗'} ${check.name.padEnd(16)} ${took}`)
  if (code === 0) {
    tally.passed += 1
  } else {
    console.log(output.replaceAll(/^/gm, '      ').trimEnd())
    tally.failed.push(`${check.name}: ${check.command}`)
  }
}
report(tally)

/** Runs a command of plain words to its end and keeps what it says. */
function run(command: string): Promise<{ code: number; output: string }> {
  const [file = '', ...args] = command.split(' ')
  const PATH = [join(ROOT, 'node_modules/.bin'), process.env['PATH']].join(delimiter)
  const child = spawn(file, args, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH },
  })
  let output = ''
  const keep = (text: string): void => {
    output += text
  }
  child.stdout.setEncoding('utf8').on('data', keep)
  child.stderr.setEncoding('utf8').on('data', keep)
  return new Promise((resolve) => {
    child.on('error', (error) => {
      resolve({ code: 1, output: error.message })
    })
    child.on('close', (code) => {
      resolve({ code: code ?? 1, output })
    })
  })
}
