/** What comes out of a question: numbers of several rounds, summed up, and what they were found on. */
import { readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem, type } from 'node:os'

/** Several rounds in three numbers. */
export interface Summary {
  median: number
  min: number
  max: number
}

/** A figure of one contender. `ratio` is to the reference of the same round, then summed up. */
export interface Figure extends Summary {
  ratio?: Summary
}

/** By contender, measure, figure. */
export type Results = Record<string, Record<string, Record<string, Figure>>>

/** Where and how the numbers were found. */
export interface Circumstances {
  command: string
  date: string
  machine: { cpu: string; cores: number; memoryGb: number; system: string; loadAverage: number[] }
  runtime: { node: string; v8: string; openssl: string }
  versions: Record<string, string>
}

/** Middle and ends. */
export function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b)
  const half = Math.floor(sorted.length / 2)
  const upper = sorted[half] ?? Number.NaN
  const lower = sorted.length % 2 === 0 ? (sorted[half - 1] ?? Number.NaN) : upper
  return {
    median: (lower + upper) / 2,
    min: sorted[0] ?? Number.NaN,
    max: sorted.at(-1) ?? Number.NaN,
  }
}

/** This machine, now. */
export function circumstances(command: string, packages: readonly string[]): Circumstances {
  const processors = cpus()
  return {
    command,
    date: new Date().toISOString().slice(0, 10),
    machine: {
      cpu: processors[0]?.model.trim() ?? 'unknown',
      cores: processors.length,
      memoryGb: Math.round(totalmem() / 2 ** 30),
      system: `${type()} ${release().split('-')[0] ?? ''}`,
      loadAverage: loadavg().map((load) => Number(load.toFixed(1))),
    },
    runtime: {
      node: process.versions.node,
      v8: process.versions.v8,
      openssl: process.versions.openssl,
    },
    versions: Object.fromEntries(packages.map((name) => [name, versionOf(name)])),
  }
}

function versionOf(name: string): string {
  try {
    const file = new URL(`node_modules/${name}/package.json`, import.meta.url)
    return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
  } catch {
    return 'unknown'
  }
}

/** As a person reads it: three digits that count. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (value >= 100) return Math.round(value).toLocaleString('en')
  return String(Number(value.toPrecision(value >= 10 ? 3 : 2)))
}
