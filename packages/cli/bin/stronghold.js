#!/usr/bin/env node
/**
 * Starts `stronghold` on Node.js 24, wherever that is. Plain JavaScript, because it runs on whatever Node.js the machine
 * has; what it starts is `src/bin.ts`, or what was built of it.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

// No debugger opens on a signal, and SQLite says on every start that it is new.
const FLAGS = ['--disable-sigusr1', '--disable-warning=ExperimentalWarning']
const NEEDED = 24
// A crash leaves no file with what was in memory. The shell sets that limit, and becomes what stands behind it.
const WITHOUT_CORE = ['/bin/sh', '-c', 'ulimit -c 0 2>/dev/null; exec "$@"', 'stronghold']
const file = fileURLToPath(import.meta.url)
const args = process.argv.slice(2)
const isNew = Number(process.versions.node.split('.')[0]) >= NEEDED

if (process.platform === 'win32') {
  fail('Windows is not supported', 'run it in the Windows Subsystem for Linux')
} else if (isNew && FLAGS.every((flag) => process.execArgv.includes(flag))) {
  await import('#bin')
} else {
  const node = isNew ? process.execPath : nodeBeside(dirname(file))
  if (node === undefined) {
    fail(
      `needs Node.js ${NEEDED} or newer, this is ${process.versions.node}`,
      'install it from https://nodejs.org, or add it beside this program: npm install node@24',
    )
  } else {
    start(node, [...FLAGS, ...process.execArgv, file, ...args])
  }
}

/**
 * The Node.js that npm put beside this program.
 *
 * @param {string} from
 * @returns {string | undefined}
 */
function nodeBeside(from) {
  const node = join(from, 'node_modules', 'node', 'bin', 'node')
  if (existsSync(node)) return node
  return dirname(from) === from ? undefined : nodeBeside(dirname(from))
}

/**
 * @param {string} node
 * @param {string[]} command
 */
function start(node, command) {
  const stdio = descriptors()
  const [shell = '', ...first] = WITHOUT_CORE
  const line = [...first, node, ...command]
  // In the place of this process, where that can be had; but descriptors beside the three do not come along.
  if (isNew && stdio.length === 3) process.execve?.(shell, [shell, ...line], process.env)
  const child = spawn(shell, line, { stdio })
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => child.kill(signal))
  }
  child.on('error', (error) => {
    fail(`cannot start ${node}: ${error.message}`, 'npm ci --include=dev')
  })
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal])
  })
}

/**
 * The three that every process has, and the one that a passphrase comes through.
 *
 * @returns {('inherit' | 'ignore')[]}
 */
function descriptors() {
  const at = args.findIndex((arg) => /^--passphrase-fd(=|$)/.test(arg))
  const text = at === -1 ? '' : (args[at]?.split('=')[1] ?? args[at + 1] ?? '')
  const number = /^[0-9]{1,3}$/.test(text) ? Number(text) : 0
  const others = Array.from({ length: Math.max(number - 2, 0) }, (_, index) =>
    index + 3 === number ? /** @type {const} */ ('inherit') : /** @type {const} */ ('ignore'),
  )
  return ['inherit', 'inherit', 'inherit', ...others]
}

/**
 * @param {string} problem
 * @param {string} hint
 */
function fail(problem, hint) {
  process.stderr.write(`stronghold: error: ${problem}\nstronghold: hint: ${hint}\n`)
  process.exitCode = 2
}
