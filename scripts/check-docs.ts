/**
 * The generated parts of the documents are fresh, and no link between the project's own files is dead. Generated parts
 * stand between `<!-- generated: NAME -->` and `<!-- end -->`; `--write` makes them anew.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { DEFAULT_LIMITS } from '../packages/p2p/src/limits.ts'
import {
  commandsTable,
  exitsTable,
  reasonsTable,
  settingsTable,
  sharedOptionsTable,
} from './cli-tables.ts'
import { proceduresTable, shapesTable } from './procedure-tables.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const write = process.argv.includes('--write')
const problems: string[] = []

const GENERATED: Record<string, () => string> = {
  commands: commandsTable,
  example,
  exits: exitsTable,
  imports,
  limits,
  procedures: proceduresTable,
  reasons: reasonsTable,
  settings: settingsTable,
  relaySpeed: () => speed('relay', 'Through a relay, ours beside others'),
  shapes: shapesTable,
  sharedOptions: sharedOptionsTable,
  signSpeed: () => speed('sign', 'Signatures by a key that stays elsewhere, ours beside others'),
  speed: () => speed('p2p', 'Requests between two processes, ours beside others'),
  syncSpeed: () => speed('sync', 'Two Strongholds in step, beside rsync over ssh'),
  vaultSpeed: () => speed('vault', 'A vault beside the libraries and the disk it stands on'),
}

for (const file of globSync('{*.md,docs/*.md,packages/*/*.md}', { cwd: ROOT }).sort()) {
  if (file.endsWith('.api.md')) continue
  const before = readFileSync(join(ROOT, file), 'utf8')
  const after = before.replace(
    /(<!-- generated: (\w+) -->\n)[^]*?(<!-- end -->)/g,
    (whole, open: string, name: string, end: string) => {
      const make = GENERATED[name]
      if (make !== undefined) return `${open}${make()}\n${end}`
      problems.push(`${file}: nothing generates ${name}`)
      return whole
    },
  )
  if (after !== before && write) writeFileSync(join(ROOT, file), after)
  if (after !== before && !write) problems.push(`${file}: stale, run \`npm run docs\``)
  checkLinks(file, after)
  checkTests(file, after)
}
checkNames()

for (const problem of problems) console.log(problem)
process.exitCode = problems.length > 0 ? 1 : 0

/** Links to files of ours must lead somewhere; links to the world are not followed. */
function checkLinks(file: string, text: string): void {
  const prose = text.replaceAll(/```[^]*?```/g, '')
  for (const [, target = ''] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^([a-z]+:|#)/.test(target)) continue
    const [path = ''] = target.split('#')
    if (!existsSync(join(ROOT, dirname(file), path))) problems.push(`${file}: no file ${target}`)
  }
}

/** A test that is named as `path › title` exists. */
function checkTests(file: string, text: string): void {
  for (const [, path = '', title] of text.matchAll(/`([\w./-]+\.test\.ts)(?: › ([^`]+))?`/g)) {
    if (path.startsWith('*')) continue
    if (!existsSync(join(ROOT, path))) {
      problems.push(`${file}: no test ${path}`)
    } else if (title !== undefined && !readFileSync(join(ROOT, path), 'utf8').includes(title)) {
      problems.push(`${file}: ${path} has no test "${title}"`)
    }
  }
}

/** The members of an interface of an API report, those that it inherits included. */
function membersOf(name: string, api: string): string {
  const found = new RegExp(`interface ${name}(?:_2)? ([^]*?)\\{\\n([^]*?)\\n\\}`).exec(api)
  const [, heads = '', members = ''] = found ?? []
  const parents = heads.replace('extends', '').split(',')
  return [
    members,
    ...parents
      .map((one) => one.trim())
      .filter((one) => one !== '')
      .map((one) => membersOf(one, api)),
  ].join('\n')
}

/** Whatever the README of p2p calls `node.x` is a member of `Node` in the API report. */
function checkNames(): void {
  const report = join(ROOT, 'packages/p2p/p2p.api.md')
  const readme = readFileSync(join(ROOT, 'packages/p2p/README.md'), 'utf8')
  const api = existsSync(report) ? readFileSync(report, 'utf8') : ''
  const members = membersOf('Node', api)
  const names = new Set([...readme.matchAll(/`node\.(\w+)/g)].map(([, name = '']) => name))
  for (const name of names) {
    if (new RegExp(`^    (readonly )?${name}[(:<?]`, 'm').test(members)) continue
    problems.push(`packages/p2p/README.md: Node has no ${name}`)
  }
}

/** The program that the README shows, which is checked and run like any other. */
function example(): string {
  const code = readFileSync(join(ROOT, 'examples/two-nodes.ts'), 'utf8')
  return `\`\`\`ts\n${code}\`\`\``
}

interface Cruised {
  modules: {
    source: string
    dependencies: { resolved: string; module: string; dependencyTypes: string[] }[]
  }[]
}

/** Who imports whom: packages, and inside a package its folders; then what each takes from outside. */
function imports(): string {
  const args = ['--config', '.dependency-cruiser.cjs', '--output-type', 'json', 'packages']
  const json = execFileSync(join(ROOT, 'node_modules/.bin/depcruise'), args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const modules = (JSON.parse(json) as Cruised).modules.filter(({ source }) => isOurs(source))
  const edges = new Set<string>()
  const outside = new Map<string, Set<string>>()
  for (const { source, dependencies } of modules) {
    const from = placeOf(source)
    const taken = outside.get(from) ?? new Set()
    outside.set(from, taken)
    for (const { resolved, module, dependencyTypes } of dependencies) {
      if (isOurs(resolved)) {
        if (placeOf(resolved) !== from) edges.add(`  ${id(from)} --> ${id(placeOf(resolved))}`)
      } else if (dependencyTypes.includes('core')) {
        taken.add(module.startsWith('node:') ? module : `node:${module}`)
      } else {
        taken.add(
          module
            .split('/')
            .slice(0, module.startsWith('@') ? 2 : 1)
            .join('/'),
        )
      }
    }
  }
  const places = [...outside.keys()].sort()
  const nodes = places.map((place) => `  ${id(place)}["${place}"]`)
  const rows = places.map((place) => {
    const names = [...(outside.get(place) ?? [])].sort().map((name) => `\`${name}\``)
    return `| \`${place}\` | ${names.length === 0 ? '–' : names.join(', ')} |`
  })
  return [
    '```mermaid',
    'flowchart LR',
    ...nodes,
    ...[...edges].sort(),
    '```',
    '',
    '| Place | Takes from outside |',
    '|---|---|',
    ...rows,
  ].join('\n')
}

function isOurs(path: string): boolean {
  return /^packages\/(?!testkit)[^/]+\/src\//.test(path)
}

/** `p2p/channel` for a file in a folder, `p2p` for one beside the folders. */
function placeOf(path: string): string {
  const [, name = '', , ...rest] = path.split('/')
  return rest.length > 1 ? `${name}/${rest[0] ?? ''}` : name
}

function id(place: string): string {
  return place.replaceAll(/[^a-z0-9]/g, '_')
}

interface Measured {
  command: string
  date: string
  machine: {
    cpu: string
    cores: number
    memoryGb: number
    system: string
    loadAverage: readonly number[]
  }
  runtime: { node: string }
}

/** The chart of the last full run of a benchmark, and what it ran on. */
function speed(question: string, title: string): string {
  const file = join(ROOT, `bench/results/${question}.json`)
  const { command, date, machine, runtime } = JSON.parse(readFileSync(file, 'utf8')) as Measured
  const { cpu, cores, memoryGb, system, loadAverage } = machine
  const [load = 0] = loadAverage
  // Others took the processors meanwhile: ratios may stand, figures do not.
  const busy = load > 2 * cores ? ` The machine was busy (load ${load}): provisional.` : ''
  return [
    `![${title}](../../bench/results/${question}.svg)`,
    '',
    `\`${command}\` on ${date}: ${cpu}, ${cores} cores, ${memoryGb} GB, ${system}, Node.js ${runtime.node}.${busy}`,
  ].join('\n')
}

/** Every limit with its default and effect, from the sentences in `limits.ts`. */
function limits(): string {
  const source = readFileSync(join(ROOT, 'packages/p2p/src/limits.ts'), 'utf8')
  const rows = Object.keys(DEFAULT_LIMITS).map((name) => {
    const match = new RegExp(`/\\*\\*([^\\n]*(?:\\n\\s+\\*[^\\n]*)*)\\*/\\s+${name}: number`).exec(
      source,
    )
    const text = (match?.[1] ?? '').replaceAll(/\s*\n\s+\*\s*/g, ' ').trim()
    const [effect = '', value = ''] = text.split(/\s*Default\s+/)
    return `| \`${name}\` | ${value.replace(/\.$/, '')} | ${effect.replaceAll('|', '\\|')} |`
  })
  return ['| Limit | Default | Effect |', '|---|---|---|', ...rows].join('\n')
}
