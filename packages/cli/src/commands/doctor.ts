/** `doctor`: looks at what can be wrong on this machine, and says what to do about it. It changes nothing. */
import { lstatSync, statfsSync } from 'node:fs'
import { dirname } from 'node:path'

import type { GuardStatus } from '@stronghold/guard'
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { printMoment } from '../duration.ts'
import { failureOf } from '../failure.ts'
import { hasVault, socketsOf } from '../home.ts'
import { networkFindings } from '../network-findings.ts'
import type { Finding } from '../network-findings.ts'
import { sourceOf } from '../unlock-source.ts'

/** Oldest Node.js that it runs on. */
const NODE_MAJOR = 24
/** Free bytes of the disk below which it warns: the part of the audit that is kept for revoking. */
const LEAST_FREE_BYTES = 64 * 1024 ** 2

/** How long a drill proves something, in milliseconds: 90 days. */
const MAX_UNPROVEN_MS = 90 * 86_400_000

/** `doctor` */
export const doctor: Command = defineCommand({
  name: 'doctor',
  says: 'Look at what can be wrong on this machine, and say what to do about it',
  unlocks: true,
  examples: [
    ['stronghold doctor', 'versions, permissions, memory, disk, vault, backups, network'],
    ['stronghold doctor --passphrase-file pass.txt', 'and whether the vault opens'],
  ],
  prints: z.object({
    findings: z.array(
      z.object({
        check: z.string(),
        state: z.enum(['good', 'warning', 'bad']),
        says: z.string(),
        hint: z.string().nullable(),
      }),
    ),
  }),
  async run(call) {
    const { terminal } = call
    const findings = [
      node(),
      ...permissions(call),
      await memory(),
      disk(call),
      sockets(call),
      ...(await vault(call)),
      ...(await network(call)),
    ]
    const isBad = findings.some(({ state }) => state === 'bad')
    const mark = { good: 'ok', warning: 'warning', bad: 'bad' }
    await terminal.result(
      { findings: findings.map((one) => ({ ...one, hint: one.hint ?? null })) },
      findings
        .map(({ check, state, says, hint }) =>
          [
            `${terminal.strong(mark[state].padEnd(7))}  ${check.padEnd(11)}  ${says}`,
            ...(hint === undefined ? [] : [`${' '.repeat(22)}hint: ${hint}`]),
          ].join('\n'),
        )
        .join('\n'),
    )
    return isBad ? 1 : 0
  },
})

function node(): Finding {
  const { node: found } = process.versions
  const isNew = Number(found.split('.')[0]) >= NODE_MAJOR
  return isNew
    ? { check: 'node', state: 'good', says: `Node.js ${found}` }
    : {
        check: 'node',
        state: 'bad',
        says: `Node.js ${found}`,
        hint: `install Node.js ${NODE_MAJOR}`,
      }
}

function permissions({ home }: Call): Finding[] {
  const places: readonly [string, string, number][] = [
    ['home', home.path, 0o700],
    ['identity', home.identity, 0o600],
    ['admin token', home.adminToken, 0o600],
    ['vault', home.vault, 0o700],
  ]
  return places.flatMap(([check, path, mode]): Finding[] => {
    const found = lstatSync(path, { throwIfNoEntry: false })
    if (found === undefined) {
      return check === 'home'
        ? [{ check, state: 'warning', says: `there is none at ${path}`, hint: 'stronghold init' }]
        : []
    }
    const isOurs = found.uid === process.geteuid?.()
    const isClosed = (found.mode & 0o077) === 0
    if (isOurs && isClosed) return [{ check, state: 'good', says: 'yours alone' }]
    const says = isOurs
      ? `open to others (mode ${(found.mode & 0o777).toString(8)})`
      : 'of another user'
    const hint = isOurs ? `chmod ${mode.toString(8)} ${path}` : `chown "$USER" ${path}`
    return [{ check, state: 'bad', says, hint }]
  })
}

async function memory(): Promise<Finding> {
  const { Slab } = await import('@stronghold/vault')
  using slab = new Slab()
  const check = 'memory'
  switch (slab.locked) {
    case 'yes':
      return { check, state: 'good', says: 'secrets are kept out of swap' }
    case 'no':
      return {
        check,
        state: 'warning',
        says: 'secrets may reach swap: the limit of locked memory is too low',
        hint: 'ulimit -l 16384',
      }
    case 'unknown':
      return {
        check,
        state: 'warning',
        says: 'this system does not tell whether secrets may reach swap',
      }
  }
}

function disk({ home }: Call): Finding {
  let at = home.path
  while (lstatSync(at, { throwIfNoEntry: false }) === undefined && dirname(at) !== at)
    at = dirname(at)
  const { bavail, bsize } = statfsSync(at)
  const free = bavail * bsize
  const says = `${Math.floor(free / 1024 ** 2)} MiB are free`
  return free >= LEAST_FREE_BYTES
    ? { check: 'disk', state: 'good', says }
    : {
        check: 'disk',
        state: 'warning',
        says,
        hint: 'make room: what cannot be audited is refused',
      }
}

function sockets({ home, io }: Call): Finding {
  try {
    const { owner } = socketsOf(home, io.env)
    return { check: 'sockets', state: 'good', says: dirname(owner) }
  } catch (error) {
    const { message, reason, hint } = failureOf(error)
    return {
      check: 'sockets',
      state: 'bad',
      says: `${message}: ${reason ?? ''}`,
      ...(hint === undefined ? {} : { hint }),
    }
  }
}

/** When a backup was last written, and last proven: one that nobody tried is a hope. */
function backups({ io }: Call, status: GuardStatus): Finding {
  const { lastBackupAtMs: written, lastProvenRestoreAtMs: proven } = status
  const check = 'backup'
  if (written === undefined) {
    const hint = 'stronghold backup create --to FILE'
    return { check, state: 'warning', says: 'none was ever written', hint }
  }
  const hint = 'stronghold backup drill FILE'
  if (proven === undefined) {
    const says = `written ${printMoment(written)}; that it can be restored was never proven`
    return { check, state: 'warning', says, hint }
  }
  const says = `written ${printMoment(written)}; a restore was proven ${printMoment(proven)}`
  return io.clock.nowMs() - proven <= MAX_UNPROVEN_MS
    ? { check, state: 'good', says }
    : { check, state: 'warning', says: `${says}, long ago`, hint }
}

/** What is wrong about a node that cannot even be made is one more finding. */
async function network(call: Call): Promise<Finding[]> {
  try {
    return await networkFindings(call)
  } catch (error) {
    const { message, reason, hint } = failureOf(error)
    const says = reason === undefined ? message : `${message}: ${reason}`
    return [{ check: 'network', state: 'bad', says, ...(hint === undefined ? {} : { hint }) }]
  }
}

async function vault(call: Call): Promise<Finding[]> {
  const check = 'vault'
  if (!hasVault(call.home)) {
    return [{ check, state: 'warning', says: 'there is none here', hint: 'stronghold init' }]
  }
  if (sourceOf(call.options, call.config) === undefined) {
    const { runningOwner } = await import('../door.ts')
    const running = await (await runningOwner(call))?.status()
    if (running !== undefined) {
      return running.locked
        ? [{ check, state: 'warning', says: 'it is locked', hint: 'stronghold unlock' }]
        : [
            { check, state: 'good', says: `it is unlocked, with ${running.records ?? 0} records` },
            backups(call, running),
          ]
    }
    return [
      {
        check,
        state: 'warning',
        says: 'there is one; whether it opens was not tried',
        hint: 'stronghold doctor --passphrase-file FILE',
      },
    ]
  }
  try {
    const status = await call.withOwner((owner) => owner.status())
    const says = `it opens, with ${status.records ?? 0} records`
    return [{ check, state: 'good', says }, backups(call, status)]
  } catch (error) {
    const { message, reason, hint } = failureOf(error)
    const says = reason === undefined ? message : `${message}: ${reason}`
    return [{ check, state: 'bad', says, ...(hint === undefined ? {} : { hint }) }]
  }
}
