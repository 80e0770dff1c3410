/**
 * Backups by themselves: one in the configured directory when it is due, and the oldest that this made go once the newest
 * stands. It takes away no file that it did not write, and never the last.
 */
import { readdirSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'

import { toHex } from '@stronghold/core'
import type { OwnerDoor } from '@stronghold/guard'
import type { Clock } from '@stronghold/vault'

import type { Config } from '../config.ts'
import { parseDuration } from '../duration.ts'
import { pause } from '../io.ts'
import { Complaints } from './complaints.ts'

/** How often it is looked at least whether one is due, in milliseconds. */
const LOOK_MS = 60_000
/** And how often at most: the names of their files tell seconds apart. */
const MIN_LOOK_MS = 1000

/** What scheduled backups need. */
export interface BackupsInit {
  readonly owner: OwnerDoor
  readonly config: Config
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Told what went wrong, in one sentence, once for each kind of failure. */
  note(text: string): void
}

/** Looks once a minute, or as often as one is due, until the signal fires. A vault that is locked rests. */
export async function scheduleBackups(init: BackupsInit): Promise<void> {
  const { clock, config, signal } = init
  const restMs = Math.min(Math.max(everyOf(config) || LOOK_MS, MIN_LOOK_MS), LOOK_MS)
  const complaints = new Complaints((text) => {
    if (!signal.aborted) init.note(text)
  })
  while (!signal.aborted) {
    try {
      await backUpIfDue(init)
      complaints.well('')
    } catch (error) {
      complaints.wrong('', error)
    }
    await pause(clock, restMs, signal)
  }
}

/**
 * Writes one where it is due, then lets the oldest go. Where nothing is configured it does nothing.
 *
 * @returns whether one was written
 */
export async function backUpIfDue({ owner, config, clock, signal }: BackupsInit): Promise<boolean> {
  const directory = config.find('backup.directory').value
  const everyMs = everyOf(config)
  const recipients = config.list('backup.recipients')
  if (typeof directory !== 'string' || everyMs === 0 || recipients.length === 0) return false
  const { locked, vault } = await owner.status()
  if (locked || vault === undefined) return false
  const nowMs = clock.nowMs()
  const newest = scheduledFiles(directory, vault)[0]
  // A file of the future was written by a clock that went wrong: it holds nothing up.
  if (newest !== undefined && newest.atMs <= nowMs && nowMs < newest.atMs + everyMs) return false
  const to = join(directory, nameOf(vault, nowMs))
  const turns = owner.backupCreate({ to, for: { by: 'recipients', recipients } }, { signal })
  for await (const turn of turns) {
    if (turn.state !== 'done') continue
    const ours = new Set((await owner.backupNotes()).map(({ file }) => file))
    const kept = config.number('backup.keep')
    const old = scheduledFiles(directory, vault).filter(({ file }) => ours.has(file) && file !== to)
    for (const { file } of old.slice(kept - 1)) rmSync(file, { force: true })
    return true
  }
  return false
}

/** Time between two, in milliseconds; 0 for none. */
function everyOf(config: Config): number {
  const every = config.text('backup.every') ?? '0'
  return every === '0' ? 0 : parseDuration(every)
}

/** The files of a directory that are called as scheduled backups of a vault are, newest first. */
export function scheduledFiles(
  directory: string,
  vault: Uint8Array,
): { readonly file: string; readonly atMs: number }[] {
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  const front = frontOf(vault)
  return names
    .flatMap((name) => {
      const found = NAME.exec(name)
      if (found?.[1] !== front) return []
      const [, , date = '', hour = '', minute = '', second = ''] = found
      const atMs = Date.parse(`${date}T${hour}:${minute}:${second}Z`)
      return Number.isNaN(atMs) ? [] : [{ file: join(directory, name), atMs }]
    })
    .sort((a, b) => b.atMs - a.atMs)
}

/** Is a file called as scheduled backups are. */
export function isScheduled(file: string): boolean {
  return NAME.test(basename(file))
}

const NAME = /^stronghold-([0-9a-f]{12})-(\d{4}-\d{2}-\d{2})T(\d{2})-(\d{2})-(\d{2})Z\.age$/

function nameOf(vault: Uint8Array, atMs: number): string {
  const time = new Date(atMs).toISOString().slice(0, 19).replaceAll(':', '-')
  return `stronghold-${frontOf(vault)}-${time}Z.age`
}

function frontOf(vault: Uint8Array): string {
  return toHex(vault).slice(0, 12)
}
