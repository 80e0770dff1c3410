/**
 * Which records two sides compare, and where each stands on the other side (`docs/sync.md §1`): patterns and a mapping. Pure.
 */
import { matches, parsePath, parsePattern } from '@stronghold/core'
import type { Pattern } from '@stronghold/core'

import type { SyncMapping, SyncMerge, SyncMode } from './doors.ts'

/** A mapping as the side sees it that has it: what stands below `here` stands below `there` at the partner's. */
export interface MappedPath {
  readonly here: string
  readonly there: string
}

/** A mapping from sender to receiver as the side with this mode sees it. */
export function mappedFrom(maps: readonly SyncMapping[], mode: SyncMode): MappedPath[] {
  return maps.map(({ from, to }) =>
    mode === 'pull' ? { here: to, there: from } : { here: from, there: to },
  )
}

/** What both sides select, in the words of both. The asker's paths may be mapped; on the wire stand the answerer's. */
export class Selection {
  readonly #asker: readonly Pattern[]
  readonly #answerer: readonly Pattern[]
  readonly #maps: readonly MappedPath[]

  /** @throws `SyntaxError` for text that is no pattern */
  constructor(
    asker: readonly string[],
    answerer: readonly string[],
    maps: readonly MappedPath[] = [],
  ) {
    this.#asker = asker.map(parsePattern)
    this.#answerer = answerer.map(parsePattern)
    this.#maps = maps
  }

  /** Where a record of the asker's stands at the answerer's; `undefined` where it is not selected. */
  there(path: string): string | undefined {
    const there = moved(path, this.#maps, 'here', 'there')
    return this.here(there) === path ? there : undefined
  }

  /** Where a record of the answerer's stands at the asker's; `undefined` where it is not selected. */
  here(path: string): string | undefined {
    const here = moved(path, this.#maps, 'there', 'here')
    // What two paths would lead to belongs to the mapped one alone.
    if (moved(here, this.#maps, 'here', 'there') !== path) return undefined
    return selects(this.#asker, here) && selects(this.#answerer, path) ? here : undefined
  }
}

/** What may go which way. */
export interface Flow {
  /** To the answerer. */
  readonly there: boolean
  /** To the asker. */
  readonly here: boolean
  readonly merge: SyncMerge
}

const CAREFUL: readonly SyncMerge[] = ['keep-old', 'newest-version', 'replace']

/** What both sides let pass; of how records are merged, the more careful wish. */
export function flowOf(
  asker: { readonly mode: SyncMode; readonly merge: SyncMerge },
  answerer: { readonly mode: SyncMode; readonly merge: SyncMerge },
): Flow {
  const there = asker.mode !== 'pull' && answerer.mode !== 'push'
  const here = asker.mode !== 'push' && answerer.mode !== 'pull'
  const most = CAREFUL[Math.min(CAREFUL.indexOf(asker.merge), CAREFUL.indexOf(answerer.merge))]
  // Two sides cannot both have the last word.
  const merge =
    most === undefined || (there && here && most === 'replace') ? 'newest-version' : most
  return { there, here, merge }
}

function selects(patterns: readonly Pattern[], path: string): boolean {
  const parsed = pathOf(path)
  return parsed !== undefined && patterns.some((pattern) => matches(pattern, parsed))
}

function pathOf(path: string): ReturnType<typeof parsePath> | undefined {
  try {
    return parsePath(path)
  } catch {
    return undefined
  }
}

function moved(
  path: string,
  maps: readonly MappedPath[],
  from: keyof MappedPath,
  to: keyof MappedPath,
): string {
  let best: MappedPath | undefined
  for (const map of maps) {
    const below = path === map[from] || path.startsWith(`${map[from]}/`)
    if (below && (best === undefined || map[from].length > best[from].length)) best = map
  }
  return best === undefined ? path : best[to] + path.slice(best[from].length)
}
