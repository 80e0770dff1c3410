/**
 * `npm test`: the tests of each part, the type tests, the tests in a browser, then the foreign peers. Ends with two
 * lines: `N skipped: names` and `N passed, N failed`.
 */
import { spawn } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

import { install } from './setup.js'
import { isOverShare, SHARES } from './shares.ts'
import { add, report } from './tally.ts'
import type { Tally } from './tally.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const LONG = process.env['STRONGHOLD_LONG'] === '1'
const GLOB = { cwd: ROOT, exclude: (path: string) => path.includes('node_modules') }
const scratch = mkdtempSync(join(tmpdir(), 'stronghold-test-'))
const all: Tally = { passed: 0, failed: [], skipped: [] }
const times: string[] = []

try {
  for (const share of SHARES) {
    const paths = share.paths.filter((path) => globSync(`${path}**/*.test.ts`, GLOB).length > 0)
    if (paths.length === 0) continue
    const startedAtMs = Date.now()
    heading(share.name)
    add(all, await vitest('vitest.config.ts', paths, share.except))
    let ms = Date.now() - startedAtMs
    if (share.foreign === true) {
      const again = Date.now()
      add(all, await typeTests())
      add(all, await browserTests())
      ms += Date.now() - again
      add(all, await interop((runMs) => (ms += runMs)))
    }
    times.push(`${share.name}: ${seconds(ms)} of ${share.minutes * 60} s`)
    if (!LONG && isOverShare(share, ms)) {
      all.failed.push(`${share.name} took ${seconds(ms)}, half above its ${share.minutes} minutes`)
    }
  }
  console.log(`\n${times.join('\n')}`)
  report(all)
} finally {
  rmSync(scratch, { recursive: true, force: true })
}

/** What vitest writes about one file, as far as it is read here. */
interface VitestFile {
  name: string
  status: string
  message: string
  assertionResults: { status: string; fullName: string }[]
}

async function vitest(
  config: string,
  paths: readonly string[],
  except: readonly string[] = [],
): Promise<Tally> {
  const file = join(scratch, `${config}.json`)
  const bin = join(ROOT, 'node_modules/vitest/vitest.mjs')
  const without = except.map((path) => `--exclude=${path}**`)
  const args = ['run', '--config', config, '--passWithNoTests', ...without, ...paths]
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`]
  const code = await run(process.execPath, [bin, ...args, ...reporters])
  const tally: Tally = { passed: 0, failed: [], skipped: [] }
  if (!existsSync(file)) return { ...tally, failed: [`vitest ended with exit code ${code}`] }
  const { testResults } = JSON.parse(readFileSync(file, 'utf8')) as { testResults: VitestFile[] }
  rmSync(file)
  for (const { name, status, message, assertionResults } of testResults) {
    const path = relative(ROOT, name)
    for (const test of assertionResults) {
      if (test.status === 'passed') tally.passed += 1
      else if (test.status === 'failed') tally.failed.push(`${path}: ${test.fullName}`)
      else tally.skipped.push(`${path}: ${test.fullName}`)
    }
    const told = assertionResults.some((test) => test.status === 'failed')
    if (status === 'failed' && !told) tally.failed.push(`${path}: ${message.split('\n')[0] ?? ''}`)
  }
  if (code !== 0 && tally.failed.length === 0)
    tally.failed.push('vitest: an error outside any test')
  return tally
}

/** Each `*.test-d.ts` is one test: it compiles, and what must not compile in it does not. */
async function typeTests(): Promise<Tally> {
  const files = globSync('packages/*/test/**/*.test-d.ts', GLOB)
  if (files.length === 0) return { passed: 0, failed: [], skipped: [] }
  heading('types')
  let output = ''
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  const args = [tsc, '-p', 'tsconfig.type-tests.json', '--pretty', 'false']
  const code = await run(process.execPath, args, (text) => (output += text))
  process.stdout.write(output)
  const wrong = new Set([...output.matchAll(/^(\S+?)\(\d+,\d+\): error/gm)].map(([, file]) => file))
  const failed = [...wrong].map((file) => `${file ?? ''}: does not compile as it should`)
  if (code !== 0 && failed.length === 0) failed.push(`type tests ended with exit code ${code}`)
  const passed = files.filter((file) => !wrong.has(file)).length
  console.log(`  ${passed} of ${files.length} files of type tests passed`)
  return { passed, failed, skipped: [] }
}

async function browserTests(): Promise<Tally> {
  const files = globSync('packages/*/test/**/*.browser.test.ts', GLOB)
  if (files.length === 0) return { passed: 0, failed: [], skipped: [] }
  if (!existsSync(process.env['CHROMIUM'] ?? '/usr/bin/chromium')) {
    const skipped = files.map((file) => `${file}: no Chromium at /usr/bin/chromium`)
    return { passed: 0, failed: [], skipped }
  }
  heading('in a browser')
  return await vitest('vitest.browser.config.ts', [])
}

/** What one suite of foreign peers came to, as `interop/run.ts` writes it. */
interface InteropResult {
  suite: string
  passed: number
  failed: { title: string }[]
  skipped: string[]
}

async function interop(tookMs: (ms: number) => void): Promise<Tally> {
  heading('foreign peers and suites')
  const problem = install(join(ROOT, 'interop'))
  if (problem !== undefined) {
    return {
      passed: 0,
      failed: [`interop: ${problem}`],
      skipped: [],
    }
  }
  const startedAtMs = Date.now()
  const file = join(scratch, 'interop.json')
  const args = ['--conditions=@stronghold/source', 'interop/run.ts', '--json', file]
  const code = await run(process.execPath, args)
  tookMs(Date.now() - startedAtMs)
  const tally: Tally = { passed: 0, failed: [], skipped: [] }
  if (!existsSync(file)) return { ...tally, failed: [`interop ended with exit code ${code}`] }
  for (const result of JSON.parse(readFileSync(file, 'utf8')) as InteropResult[]) {
    tally.passed += result.passed
    tally.failed.push(...result.failed.map(({ title }) => `interop/${result.suite}: ${title}`))
    tally.skipped.push(...result.skipped.map((title) => `interop/${result.suite}: ${title}`))
  }
  return tally
}

/** Runs to the end; the exit code, or 1 where a signal ended it. */
function run(
  file: string,
  args: readonly string[],
  onText?: (text: string) => void,
): Promise<number> {
  const stdout = onText === undefined ? 'inherit' : 'pipe'
  const child = spawn(file, args, { cwd: ROOT, stdio: ['ignore', stdout, 'inherit'] })
  child.stdout?.setEncoding('utf8').on('data', onText ?? (() => undefined))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      resolve(code ?? 1)
    })
  })
}

function heading(text: string): void {
  console.log(`\n── ${text} ${'─'.repeat(Math.max(0, 70 - text.length))}`)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(0)} s`
}
