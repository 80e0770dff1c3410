/**
 * The API report of each entry: `packages/P/P.api.md`, and `P-testing.api.md` and so on for the entries beside the
 * root. A change of the public surface is a change of a reviewed file. `--write` makes them anew, else a stale or
 * missing one fails. The root entry of p2p must name no type of libp2p's, and whatever an entry names can be imported:
 * from itself, or from another entry of its package.
 */
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

import { Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor'
import ts from 'typescript'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const write = process.argv.includes('--write')
const problems: string[] = []
const scratch = mkdtempSync(join(tmpdir(), 'stronghold-api-'))
// Where the extractor would keep its reports; ours are written from these, below.
const kept = join(scratch, 'kept')
mkdirSync(kept)

for (const file of globSync('packages/*/package.json', { cwd: ROOT }).sort()) {
  const folder = join(ROOT, dirname(file))
  const manifest = JSON.parse(readFileSync(join(ROOT, file), 'utf8')) as Manifest
  if (manifest.private === true) continue
  const entries = new Map<string, string>()
  for (const [entry, conditions] of Object.entries(manifest.exports)) {
    if (typeof conditions === 'string' || conditions.types === undefined) continue
    const types = join(folder, conditions.types)
    if (!existsSync(types)) {
      problems.push(`${manifest.name}${entry.slice(1)}: ${relative(ROOT, types)} is missing`)
      continue
    }
    entries.set(entry, types)
  }
  for (const [entry, types] of entries) {
    const suffix = entry === '.' ? '' : `-${entry.slice(2).replaceAll('/', '-')}`
    const name = `${basename(folder)}${suffix}`
    const { made, named } = report(folder, types, name)
    const imports = named.length === 0 ? [] : importsOf(folder, manifest.name, entries, named)
    keep(join(folder, `${name}.api.md`), withImports(made, imports))
  }
}

const rootReport = join(ROOT, 'packages/p2p/p2p.api.md')
if (existsSync(rootReport)) {
  for (const [line] of readFileSync(rootReport, 'utf8').matchAll(
    /^.*['"]@?(libp2p|multiformats).*$/gm,
  )) {
    problems.push(`p2p.api.md names a type of libp2p's: ${line}`)
  }
}

rmSync(scratch, { recursive: true, force: true })
for (const problem of problems) console.log(problem)
process.exitCode = problems.length > 0 ? 1 : 0

interface Manifest {
  name: string
  private?: boolean
  exports: Record<string, string | { types?: string }>
}

/** The package's compiler options without the condition that leads to sources. */
function consumer(folder: string): object {
  const read = (path: string): string => readFileSync(path, 'utf8')
  const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.base.json'), read) as {
    config: { compilerOptions: object }
  }
  const compilerOptions = { ...config.compilerOptions, customConditions: [] }
  return { compilerOptions, include: [join(folder, 'dist')] }
}

/** What an entry names and does not export: how its report calls it, and the source that names it. */
interface Named {
  as: string
  source: string
}

/** What the extractor writes about an entry. */
function report(
  folder: string,
  mainEntryPointFilePath: string,
  name: string,
): { made: string; named: Named[] } {
  const named: Named[] = []
  const config = ExtractorConfig.prepare({
    packageJsonFullPath: join(folder, 'package.json'),
    configObjectFullPath: undefined,
    configObject: {
      projectFolder: folder,
      mainEntryPointFilePath,
      // As somebody who installed the packages sees them: built, not from source.
      compiler: { overrideTsconfig: consumer(folder) },
      newlineKind: 'lf',
      apiReport: {
        enabled: true,
        reportFileName: `${name}.api.md`,
        reportFolder: kept,
        reportTempFolder: scratch,
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      messages: {
        compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
        extractorMessageReporting: {
          default: { logLevel: ExtractorLogLevel.Warning, addToApiReportFile: true },
          // No release tags: what an entry exports is public.
          'ae-missing-release-tag': { logLevel: ExtractorLogLevel.None },
          // Looked for in the package's other entries.
          'ae-forgotten-export': { logLevel: ExtractorLogLevel.Warning },
        },
        tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
      },
    },
  })
  const result = Extractor.invoke(config, {
    localBuild: true,
    showVerboseMessages: false,
    messageCallback: (message) => {
      message.handled = message.logLevel !== ExtractorLogLevel.Error
      if (message.messageId !== 'ae-forgotten-export') return
      const as = /The symbol "(\w+)"/.exec(message.text)?.[1] ?? ''
      named.push({ as, source: message.sourceFilePath ?? '' })
    },
  })
  if (result.errorCount > 0)
    problems.push(`${name}: api-extractor found ${result.errorCount} errors`)
  // Where in its file something stands is no part of the surface.
  const made = readFileSync(join(scratch, `${name}.api.md`), 'utf8').replace(
    /^(\/\/ \S+):\d+:\d+ - /gm,
    '$1 - ',
  )
  return { made, named }
}

/** The lines that import what an entry names from the package's other entries. What none of them exports is a problem. */
function importsOf(
  folder: string,
  name: string,
  entries: ReadonlyMap<string, string>,
  named: readonly Named[],
): string[] {
  const { options } = ts.parseJsonConfigFileContent(consumer(folder), ts.sys, folder)
  const program = ts.createProgram([...entries.values()], options)
  const checker = program.getTypeChecker()
  const meant = (symbol: ts.Symbol): ts.Symbol =>
    (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : checker.getAliasedSymbol(symbol)
  const exported = new Map<ts.Symbol, { by: string; from: string }>()
  for (const [entry, types] of entries) {
    const source = program.getSourceFile(types)
    const module = source && checker.getSymbolAtLocation(source)
    for (const one of module === undefined ? [] : checker.getExportsOfModule(module)) {
      if (exported.has(meant(one))) continue
      exported.set(meant(one), { by: one.name, from: join(name, entry) })
    }
  }
  const lines = named.flatMap(({ as, source }) => {
    const declared = source.replace(join(folder, 'src'), join(folder, 'dist'))
    const file = program.getSourceFile(declared.replace(/(?<!\.d)\.ts$/, '.d.ts'))
    // A name that something global has gets a number.
    const plain = as.replace(/_\d+$/, '')
    const scope = file === undefined ? [] : checker.getSymbolsInScope(file, ts.SymbolFlags.All)
    const symbol = scope.find((one) => one.name === plain)
    const found = symbol && exported.get(meant(symbol))
    if (found === undefined) {
      problems.push(`${relative(ROOT, source)} names ${plain}, which no entry of ${name} exports`)
      return []
    }
    const { by, from } = found
    return [`import type { ${by === as ? as : `${by} as ${as}`} } from '${from}';\n`]
  })
  return lines.sort()
}

/** A report with more imports, behind its own. */
function withImports(made: string, imports: readonly string[]): string {
  const start = made.indexOf('```ts\n\n') + '```ts\n\n'.length
  const own = /^(?:import .*\n)*/.exec(made.slice(start))?.[0] ?? ''
  const at = start + own.length
  const apart = own === '' && imports.length > 0 ? '\n' : ''
  return made.slice(0, at) + imports.join('') + apart + made.slice(at)
}

/** Writes a report, or says that it is not what lies there. */
function keep(path: string, made: string): void {
  if (write) writeFileSync(path, made)
  else if (!existsSync(path) || readFileSync(path, 'utf8') !== made) {
    problems.push(`${basename(path)} is stale: run \`npm run api\` and read the difference`)
  }
}
