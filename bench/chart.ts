/** Bars as SVG, with what a reader must know to judge them. It knows nothing of what is measured. */
import { short } from './results.ts'
import type { Summary } from './results.ts'

/** One bar. */
export interface Bar extends Summary {
  label: string
  /** `own` is ours, `reference` what the others are held against. */
  kind: 'own' | 'reference' | 'other'
}

/** Bars that share a scale. */
export interface BarGroup {
  title: string
  /** Unit and direction, as in `ms, less is better`. */
  subtitle: string
  bars: readonly Bar[]
}

const WIDTH = 1000
const MARGIN = 28
const GAP = 44
const COLUMNS = 2
const GROUP_WIDTH = (WIDTH - 2 * MARGIN - GAP) / COLUMNS
const VALUE_WIDTH = 62
/** A bold letter of a label, in the widest of the fonts. */
const LETTER_WIDTH = 6.8
const LABEL_GAP = 8
const ROW = 19
const BAR_HEIGHT = 12
const HEAD = 46
const TOP = 74

const COLOURS = { own: '#1f5fbf', reference: '#5b6573', other: '#b9c3d0' }
const INK = '#1d2530'
const FAINT = '#66707d'
const FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"

/** Draws it: a title, the groups in two columns, and lines of small print. */
export function drawBars(
  title: string,
  groups: readonly BarGroup[],
  notes: readonly string[],
): string {
  const labels = groups.flatMap(({ bars }) => bars.map(({ label }) => label.length))
  const labelWidth = Math.ceil(Math.max(...labels) * LETTER_WIDTH) + LABEL_GAP
  const rows = Math.max(...groups.map(({ bars }) => bars.length))
  const groupHeight = HEAD + rows * ROW + 22
  const bottom = TOP + Math.ceil(groups.length / COLUMNS) * groupHeight
  const height = bottom + notes.length * 17 + 18
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="${FONT}" role="img">`,
    `<title>${escape(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    text(MARGIN, 42, title, { size: 21, weight: 600 }),
  ]
  for (const [index, group] of groups.entries()) {
    const x = MARGIN + (index % COLUMNS) * (GROUP_WIDTH + GAP)
    const y = TOP + Math.floor(index / COLUMNS) * groupHeight
    parts.push(...drawGroup(group, x, y, labelWidth))
  }
  for (const [index, note] of notes.entries()) {
    parts.push(text(MARGIN, bottom + 12 + index * 17, note, { size: 12, fill: FAINT }))
  }
  return `${[...parts, '</svg>'].join('\n')}\n`
}

function drawGroup(
  { title, subtitle, bars }: BarGroup,
  x: number,
  y: number,
  labelWidth: number,
): string[] {
  const parts = [
    text(x, y + 14, title, { size: 15, weight: 600 }),
    text(x, y + 32, subtitle, { size: 12, fill: FAINT }),
  ]
  const most = Math.max(...bars.map(({ max }) => max))
  const zero = x + labelWidth
  const width = GROUP_WIDTH - labelWidth - VALUE_WIDTH
  const at = (value: number): number => zero + (most > 0 ? (value / most) * width : 0)
  for (const [index, { label, kind, median, min, max }] of bars.entries()) {
    const top = y + HEAD + index * ROW
    const base = top + BAR_HEIGHT - 1.5
    const middle = top + BAR_HEIGHT / 2
    const weight = kind === 'own' ? 600 : 400
    parts.push(
      text(zero - LABEL_GAP, base, label, { size: 12, weight, anchor: 'end' }),
      `<rect x="${zero}" y="${top}" width="${round(Math.max(1, at(median) - zero))}" height="${BAR_HEIGHT}" fill="${COLOURS[kind]}"/>`,
    )
    if (max > min) {
      parts.push(
        `<path d="M${round(at(min))} ${middle}H${round(at(max))}M${round(at(min))} ${middle - 3}v6M${round(at(max))} ${middle - 3}v6" stroke="${INK}" stroke-width="1" fill="none" opacity="0.6"/>`,
      )
    }
    const after = Math.max(at(median), max > min ? at(max) : 0) + 7
    parts.push(text(after, base, short(median), { size: 12, weight }))
  }
  parts.push(
    `<path d="M${zero} ${y + HEAD - 4}v${bars.length * ROW}" stroke="${FAINT}" stroke-width="1"/>`,
  )
  return parts
}

interface TextOptions {
  size: number
  weight?: number
  fill?: string
  anchor?: 'start' | 'end'
}

function text(x: number, y: number, words: string, options: TextOptions): string {
  const { size, weight = 400, fill = INK, anchor = 'start' } = options
  return `<text x="${round(x)}" y="${round(y)}" font-size="${size}" font-weight="${weight}" fill="${fill}" text-anchor="${anchor}">${escape(words)}</text>`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function escape(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
