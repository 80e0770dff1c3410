/**
 * Installs what the lock file says, unless that is what stands in `node_modules` already. Plain JavaScript, because it
 * is the one file that runs before Node.js 24 is there: `npm start` and `npm test` call it first, on whatever Node.js
 * the machine has. `setup.js interop` and `setup.js bench` do the same for those folders.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))

/**
 * Makes `node_modules` of a folder hold what its lock file says.
 *
 * @param {string} folder
 * @returns {string | undefined} what went wrong, in one sentence
 */
export function install(folder) {
  if (isInstalled(folder)) return undefined
  const what = folder === ROOT ? 'dependencies' : `dependencies of ${basename(folder)}`
  console.error(`setup: installing ${what} …`)
  // NODE_ENV=production would leave out Node.js 24 itself.
  const npm = spawnSync('npm', ['ci', '--include=dev', '--no-audit', '--no-fund'], {
    cwd: folder,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  })
  if (npm.error !== undefined) return `cannot start npm: ${npm.error.message}`
  if (npm.status === 0) return undefined
  if (!isInstalled(folder)) {
    return `npm ci failed with exit code ${npm.status}; the first run needs the network, later ones do not`
  }
  // All is there but `dist`, which `npm start` and `npm test` do without; the checks fail on it.
  console.error('setup: warning: the sources do not compile; what the compiler says stands above')
  return undefined
}

/**
 * Does what npm noted down at its last install match the lock file?
 *
 * @param {string} folder
 */
function isInstalled(folder) {
  const wanted = packagesOf(join(folder, 'package-lock.json'))
  const present = packagesOf(join(folder, 'node_modules', '.package-lock.json'))
  if (wanted === undefined || present === undefined) return false
  for (const [path, entry] of Object.entries(wanted)) {
    // Optional ones may be meant for another machine.
    if (path === '' || entry.link || entry.optional || entry.devOptional) continue
    if (!path.includes('node_modules')) continue
    if (present[path]?.version !== entry.version) return false
  }
  return true
}

/**
 * @param {string} file
 * @returns {Record<string, { version?: string, link?: boolean, optional?: boolean, devOptional?: boolean }> | undefined}
 */
function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages
  } catch {
    return undefined
  }
}

/** @param {string} folder */
function main(folder) {
  const problem = install(folder)
  if (problem !== undefined) {
    console.error(`setup: error: ${problem}`)
    return 1
  }
  const node = join(ROOT, 'node_modules', '.bin', 'node')
  if (!existsSync(node)) {
    console.error('setup: error: Node.js 24 is missing from node_modules')
    console.error(
      'setup: hint: its package has an install script; run npm ci without --ignore-scripts',
    )
    return 1
  }
  return 0
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  process.exitCode = main(process.argv[2] === undefined ? ROOT : join(ROOT, process.argv[2]))
}
