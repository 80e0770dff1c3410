/** Which of the figures the table and the chart show, and in what words. */

/** One figure with its title. */
export interface Panel {
  measure: string
  figure: string
  title: string
  unit: string
  better: 'more' | 'less'
  /** Shown in the chart, too. */
  chart: boolean
}

const more = { better: 'more' as const }
const less = { better: 'less' as const }
const shown = { chart: true }
const told = { chart: false }

/** In the order of the table. */
export const PANELS: readonly Panel[] = [
  {
    measure: 'inFlight64',
    figure: 'perSecond',
    title: '64 requests in flight',
    unit: 'per second',
    ...more,
    ...shown,
  },
  {
    measure: 'inFlight64',
    figure: 'cpuUs',
    title: '64 in flight, processor time of both sides',
    unit: 'µs per request',
    ...less,
    ...told,
  },
  {
    measure: 'inFlight256',
    figure: 'perSecond',
    title: '256 requests in flight',
    unit: 'per second',
    ...more,
    ...shown,
  },
  {
    measure: 'alone',
    figure: 'perSecond',
    title: 'One request at a time',
    unit: 'per second',
    ...more,
    ...told,
  },
  {
    measure: 'alone',
    figure: 'p50Us',
    title: 'One request at a time, half within',
    unit: 'µs',
    ...less,
    ...shown,
  },
  {
    measure: 'alone',
    figure: 'p99Us',
    title: 'One request at a time, 99 % within',
    unit: 'µs',
    ...less,
    ...told,
  },
  {
    measure: 'bulk',
    figure: 'megabytesPerSecond',
    title: '1 MiB there and back',
    unit: 'MB/s each way',
    ...more,
    ...shown,
  },
  {
    measure: 'besideBulk',
    figure: 'p99Ms',
    title: 'Small request beside 1 MiB ones, 99 % within',
    unit: 'ms',
    ...less,
    ...shown,
  },
  {
    measure: 'opening',
    figure: 'p50Ms',
    title: 'New connection to first answer',
    unit: 'ms',
    ...less,
    ...told,
  },
  {
    measure: 'roundTrips',
    figure: 'count',
    title: 'New connection to first answer',
    unit: 'round trips',
    ...less,
    ...shown,
  },
  {
    measure: 'handshakes',
    figure: 'perSecond',
    title: 'Connections made and closed',
    unit: 'per second',
    ...more,
    ...shown,
  },
  {
    measure: 'memory',
    figure: 'rssKb',
    title: 'Memory per idle connection, answering side',
    unit: 'kB',
    ...less,
    ...shown,
  },
  {
    measure: 'memory',
    figure: 'heapKb',
    title: 'Memory per idle connection, heap alone',
    unit: 'kB',
    ...less,
    ...told,
  },
]
