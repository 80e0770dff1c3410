/** The figures as text. */
import { short } from '../results.ts'
import type { Figure, Results } from '../results.ts'
import { CONTENDERS, REFERENCE } from './contenders.ts'
import { PANELS } from './panels.ts'

/** One block for each figure: median, range, and the ratio to the reference. */
export function table(results: Results): string {
  const names = Object.keys(results)
  const width = Math.max(...names.map((name) => labelOf(name).length))
  const blocks = PANELS.flatMap(({ measure, figure, title, unit }) => {
    const rows = names.flatMap((name) => {
      const found = results[name]?.[measure]?.[figure]
      return found === undefined ? [] : [`  ${labelOf(name).padEnd(width)}  ${row(found)}`]
    })
    return rows.length === 0 ? [] : [`${title}, ${unit}`, ...rows, '']
  })
  const reference = `× is the ratio to ${labelOf(REFERENCE)} in the same round; in brackets the range over all rounds.`
  return [...blocks, reference].join('\n')
}

function row({ median, min, max, ratio }: Figure): string {
  const range = min === max ? '' : `(${short(min)}–${short(max)})`
  const found = `${short(median).padStart(9)} ${range.padEnd(20)}`
  if (ratio === undefined) return found
  const ratios = ratio.min === ratio.max ? '' : ` (${short(ratio.min)}–${short(ratio.max)})`
  return `${found} × ${short(ratio.median)}${ratios}`
}

function labelOf(name: string): string {
  return CONTENDERS[name]?.label ?? name
}
