/**
 * The API report of each entry: `packages/P/P.api.md`, and `P-testing.api.md` and so on for the entries beside the
 * root. A change of the public surface is a change of a reviewed file. `--write` makes them anew, else a stale or
 * missing one fails. The root entry of p2p must name no type of libp2p's.
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
  for (const [entry, conditions] of Object.entries(manifest.exports)) {
    if (typeof conditions === 'string' || conditions.types === undefined) continue
    const types = join(folder, conditions.types)
    if (!existsSync(types)) {
      problems.push(`${manifest.name}${entry.slice(1)}: ${relative(ROOT, types)} is missing`)
      continue
    }
    const suffix = entry === '.' ? '' : `-${entry.slice(2).replaceAll('/', '-')}`
    report(folder, types, `${basename(folder)}${suffix}`)
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

function report(folder: string, mainEntryPointFilePath: string, name: string): void {
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
    },
  })
  if (result.errorCount > 0)
    problems.push(`${name}: api-extractor found ${result.errorCount} errors`)
  // Where in its file something stands is no part of the surface.
  const made = readFileSync(join(scratch, `${name}.api.md`), 'utf8').replace(
    /^(\/\/ \S+):\d+:\d+ - /gm,
    '$1 - ',
  )
  const path = join(folder, `${name}.api.md`)
  if (write) writeFileSync(path, made)
  else if (!existsSync(path) || readFileSync(path, 'utf8') !== made) {
    problems.push(`${name}.api.md is stale: run \`npm run api\` and read the difference`)
  }
}
