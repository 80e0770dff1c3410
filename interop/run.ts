/**
 * Runs the suites of `interop/suites` with mocha: other people's suites on our parts, and foreign peers beside ours.
 * Each suite file has a process of its own, so that what a foreign peer leaves open ends with it.
 *
 *   node --conditions=@stronghold/source interop/run.ts [--json FILE] [--verbose] [--grep TEXT] [SUITE…]
 *
 * SUITE is a file name without its ending (`muxer`); default all. Exit code 1 when anything failed.
 */
import { fork } from 'node:child_process'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const SUITES = fileURLToPath(new URL('suites/', import.meta.url))
/** Longest one suite file may take. */
const SUITE_TIMEOUT_MS = 180_000
/** Longest one test may take unless its suite says otherwise. */
const TEST_TIMEOUT_MS = 60_000
/** Suites at the same time: they wait more than they work. */
const LANES = 2
/** What takes longest begins first. */
const SLOW: readonly string[] = ['transports', 'libp2p-interop']

/** What one suite file came to. */
interface Result {
  suite: string
  passed: number
  failed: { title: string; message: string }[]
  skipped: string[]
  ms: number
}

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    grep: { type: 'string' },
    child: { type: 'boolean', default: false },
  },
})

if (flags.child) await runSuite(positionals[0] ?? '')
else await runAll()

async function runAll(): Promise<void> {
  const suites = positionals.length > 0 ? positionals : listSuites()
  const results: Result[] = []
  const lane = async (): Promise<void> => {
    for (let suite = suites.shift(); suite !== undefined; suite = suites.shift()) {
      const result = await spawnSuite(suite)
      results.push(result)
      tell(result)
    }
  }
  // What is told in full is told one suite at a time.
  await Promise.all(Array.from({ length: flags.verbose ? 1 : LANES }, lane))
  const passed = results.reduce((sum, result) => sum + result.passed, 0)
  const failed = results.reduce((sum, result) => sum + result.failed.length, 0)
  const skipped = results.flatMap((result) => result.skipped.map((s) => `${result.suite}: ${s}`))
  if (flags.json !== undefined) writeFileSync(flags.json, JSON.stringify(results, undefined, 1))
  for (const name of skipped) console.log(`  - pending: ${name}`)
  console.log(`  interop: ${passed} passing, ${failed} failing, ${skipped.length} pending`)
  process.exitCode = failed > 0 ? 1 : 0
}

function tell({ suite, passed, failed, skipped, ms }: Result): void {
  const counts = `${passed} passing, ${failed.length} failing, ${skipped.length} pending`
  console.log(`  ${failed.length > 0 ? '✗' : '✓'} interop/${suite}: ${counts} (${seconds(ms)})`)
  for (const failure of failed) {
    console.log(`      ✗ ${failure.title}\n${indent(failure.message)}`)
  }
}

function listSuites(): string[] {
  if (!existsSync(SUITES)) return []
  const files = readdirSync(SUITES).filter((name) => name.endsWith('.ts') && !name.startsWith('_'))
  const suites = files.map((name) => basename(name, '.ts')).sort()
  return [
    ...SLOW.filter((name) => suites.includes(name)),
    ...suites.filter((name) => !SLOW.includes(name)),
  ]
}

async function spawnSuite(suite: string): Promise<Result> {
  const startedAtMs = Date.now()
  const args = ['--child', suite]
  if (flags.verbose) args.push('--verbose')
  if (flags.grep !== undefined) args.push('--grep', flags.grep)
  const child = fork(fileURLToPath(import.meta.url), args, {
    execArgv: ['--conditions=@stronghold/source'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  let result: Result | undefined
  child.on('message', (message) => {
    result = message as Result
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), SUITE_TIMEOUT_MS)
  const code = await new Promise<number | null>((resolve) => {
    child.on('exit', resolve)
  })
  clearTimeout(timer)
  const ms = Date.now() - startedAtMs
  if (result !== undefined) return { ...result, ms }
  const message =
    ms >= SUITE_TIMEOUT_MS
      ? `ended after ${seconds(SUITE_TIMEOUT_MS)}: too slow`
      : `its process ended early with code ${String(code)}`
  return { suite, passed: 0, failed: [{ title: suite, message }], skipped: [], ms }
}

/** In the child: one suite file, its result to the parent, then out, whatever is still open. */
async function runSuite(suite: string): Promise<void> {
  const { default: Mocha } = await import('mocha')
  const mocha = new Mocha({
    ui: 'bdd',
    timeout: TEST_TIMEOUT_MS,
    reporter: flags.verbose ? Mocha.reporters.Spec : Mocha.reporters.Base,
    ...(flags.grep === undefined ? {} : { fgrep: flags.grep }),
  })
  mocha.addFile(join(SUITES, `${suite}.ts`))
  await mocha.loadFilesAsync()
  const result: Result = { suite, passed: 0, failed: [], skipped: [], ms: 0 }
  const runner = mocha.run(() => {
    process.send?.(result, undefined, {}, () => process.exit())
  })
  runner.on('pass', () => {
    result.passed += 1
  })
  runner.on('fail', (test, error: unknown) => {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    result.failed.push({ title: test.fullTitle(), message })
  })
  runner.on('pending', (test) => {
    result.skipped.push(test.fullTitle())
  })
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function indent(text: string): string {
  const lines = text.split('\n').slice(0, 12)
  return lines.map((line) => `        ${line}`).join('\n')
}
