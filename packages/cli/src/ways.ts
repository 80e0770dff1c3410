/** How peers are reached, as people read it. Pure. */
import type { Connected, Way } from './node/ways.ts'
import { remote } from './terminal.ts'

/** Ways in a word. */
export const WAY_NAMES: Readonly<Record<Way, string>> = {
  local: 'on this machine',
  lan: 'on this network',
  direct: 'direct',
  relayed: 'relayed',
}

/** A connection in a few words: `direct, noise, 3 ms`. */
export function printConnected({
  way,
  security,
  rttMs,
}: Pick<Connected, 'way' | 'security' | 'rttMs'>): string {
  return [way === 'relayed' ? 'relayed' : 'direct', security, printRtt(rttMs)].join(', ')
}

/** A round trip: `3 ms`, `0.4 ms`. */
export function printRtt(rttMs: number | null): string {
  if (rttMs === null) return 'no answer'
  return `${rttMs < 1 ? rttMs.toFixed(1) : Math.round(rttMs)} ms`
}

/** So many bytes: `12 kB`, `3.4 MB`. */
export function printBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ''}`
}

/** Longest address that is shown, in characters. One through a relay names two peers. */
const MAX_SHOWN_ADDRESS = 1024

/** An address that somebody else gave. */
export function printAddress(address: string): string {
  return remote(address, MAX_SHOWN_ADDRESS)
}
