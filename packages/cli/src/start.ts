/**
 * What a process of ours does before it loads anything else: it sees to it that a crash writes no secret down, and that what
 * was compiled once need not be again. It knows no command and loads nothing of ours.
 */
import { lstatSync, mkdirSync, writeFileSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { userInfo } from 'node:os'
import { dirname, join } from 'node:path'

/**
 * A core dump of this process, and of those that it starts, holds none of its memory. On Linux; elsewhere, and beside it,
 * `bin/stronghold.js` starts with a limit of 0 for such files. Best effort: where `/proc` is read-only, that limit is left.
 */
export function dumpNothing(): void {
  try {
    writeFileSync('/proc/self/coredump_filter', '0')
  } catch {
    // There is none.
  }
}

/**
 * Keeps what Node.js compiles in the user's cache directory, which halves the time that a start takes, also for threads and
 * processes that this one starts. What lies there is run: where anybody else could write it, nothing is kept and nothing is
 * read. Where the environment says `NODE_COMPILE_CACHE`, that is used.
 *
 * @returns the directory; `undefined` where there is none that is ours alone, or another is used
 */
export function keepCompiled(
  env: Record<string, string | undefined>,
  userHome: string,
): string | undefined {
  if (env['NODE_COMPILE_CACHE'] !== undefined) return undefined
  const cache = env['XDG_CACHE_HOME']
  const root = cache?.startsWith('/') === true ? cache : join(userHome, '.cache')
  const folder = join(root, 'stronghold', 'compiled')
  try {
    // Where the user has no home, none is made.
    for (const one of [root, dirname(folder), folder]) makeOne(one)
    if (!isOursAlone(folder)) return undefined
    const { directory } = enableCompileCache(folder)
    if (directory !== undefined) env['NODE_COMPILE_CACHE'] = folder
    return directory === undefined ? undefined : folder
  } catch {
    return undefined
  }
}

function makeOne(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/**
 * Where the user is at home: as the environment says, where that is an absolute path, else as the system knows it; `/` where
 * it does not. Never relative: what is found there would depend on the current directory.
 */
export function homeOfUser(env: Readonly<Record<string, string | undefined>>): string {
  const said = env['HOME']
  if (said?.startsWith('/') === true) return said
  try {
    return userInfo().homedir
  } catch {
    // A user of whom the system knows a number alone.
    return '/'
  }
}

/** A directory that nobody but us, and root, can write into or put another in the place of. */
export function isOursAlone(folder: string): boolean {
  const us = process.geteuid?.()
  const own = lstatSync(folder)
  if (!own.isDirectory() || own.uid !== us || (own.mode & 0o077) !== 0) return false
  for (let above = dirname(folder); ; above = dirname(above)) {
    const { uid, mode } = lstatSync(above)
    const isShared = (mode & 0o022) !== 0 && (mode & 0o1000) === 0
    if ((uid !== us && uid !== 0) || isShared) return false
    if (above === dirname(above)) return true
  }
}
