/**
 * Each package as somebody else would get it: packed, judged by publint and attw, then installed from the tarballs
 * into an empty folder, where a program of two nodes runs from `dist`.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const BIN = join(ROOT, 'node_modules/.bin')
const scratch = mkdtempSync(join(tmpdir(), 'stronghold-packages-'))
let failed = false

try {
  const tarballs: Record<string, string> = {}
  for (const file of globSync('packages/*/package.json', { cwd: ROOT }).sort()) {
    const manifest = JSON.parse(readFileSync(join(ROOT, file), 'utf8')) as Manifest
    if (manifest.private === true) continue
    const folder = join(ROOT, dirname(file))
    const [packed] = JSON.parse(
      execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', scratch], {
        cwd: folder,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    ) as { filename: string; files: { path: string }[] }[]
    if (packed === undefined) throw new Error(`npm packed nothing for ${manifest.name}`)
    const tarball = join(scratch, packed.filename)
    tarballs[manifest.name] = `file:${tarball}`
    for (const { path } of packed.files) {
      if (/(^|\/)test\/|\.test\.|tsbuildinfo/.test(path)) {
        problem(`${manifest.name}: packs ${path}`)
      }
    }
    attempt(`${manifest.name}: publint`, 'publint', ['--strict', tarball])
    attempt(`${manifest.name}: attw`, 'attw', ['--profile', 'esm-only', '--no-color', tarball])
  }
  const app = join(scratch, 'app')
  cpSync(join(ROOT, 'scripts/packed-app'), app, { recursive: true })
  const manifest = {
    name: 'app',
    private: true,
    type: 'module',
    dependencies: tarballs,
    overrides: tarballs,
  }
  writeFileSync(join(app, 'package.json'), JSON.stringify(manifest))
  attempt('installs', 'npm', ['install', '--prefer-offline', '--no-audit', '--no-fund'], app)
  attempt('two nodes from dist', process.execPath, ['two-nodes.js'], app)
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
process.exitCode = failed ? 1 : 0

interface Manifest {
  name: string
  private?: boolean
}

function attempt(what: string, command: string, args: string[], cwd: string = ROOT): void {
  const file = command === 'publint' || command === 'attw' ? join(BIN, command) : command
  try {
    execFileSync(file, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    console.log(`${what}: fine`)
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    problem(`${what}: failed\n${stdout}${stderr}`)
  }
}

function problem(text: string): void {
  failed = true
  console.log(text)
}
