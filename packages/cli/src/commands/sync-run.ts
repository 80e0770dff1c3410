/** `sync run`, `diff`, `verify`: exchanges with partners, or only says what an exchange would do. */
import type { OwnerDoor, SyncPurpose, SyncReport } from '@stronghold/guard'
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { exitOf } from '../exits.ts'
import { Failure, failureOf } from '../failure.ts'
import { noPartner, standing, stopOf } from '../sync-partner.ts'
import { runPartnership } from '../sync-run.ts'
import { remote } from '../terminal.ts'

const reportShape = z.object({
  name: z.string(),
  purpose: z.enum(['run', 'preview', 'verify']),
  inStep: z.boolean(),
  stopped: z.string().nullable(),
  compared: z.int(),
  received: z.int(),
  sent: z.int(),
  removedHere: z.int(),
  removedThere: z.int(),
  conflicts: z.int(),
  refused: z.int(),
  roundTrips: z.int(),
  bytes: z.int(),
  changes: z.array(
    z.object({
      path: z.string(),
      where: z.enum(['here', 'there']),
      change: z.string(),
      why: z.string().nullable(),
    }),
  ),
})

function reportJson(report: SyncReport): z.infer<typeof reportShape> {
  const { changes, stopped, ...rest } = report
  return {
    ...rest,
    stopped: stopped ?? null,
    changes: changes.map(({ path, where, change, why }) => ({
      path,
      where,
      change,
      why: why ?? null,
    })),
  }
}

/** Why a record was refused, in words. Kinds of conflict stand for themselves. */
const WHY: Readonly<Record<string, string>> = {
  denied: 'no rule allows it',
  label: 'its label says that it stays',
  forged: 'it does not hold together',
  full: 'it is too large, or the vault is full',
}

function reportText(call: Pick<Call, 'terminal'>, report: SyncReport): string {
  const { terminal } = call
  const rows = report.changes.map(({ path, where, change, why }) => [
    change,
    where,
    path === '' ? 'a record without a name here' : remote(path),
    why === undefined ? '' : (WHY[why] ?? why),
  ])
  const counts = [
    `${report.compared} compared`,
    // A preview sends nothing: what it found stands above, line by line.
    ...(report.purpose !== 'run' || report.sent + report.received === 0
      ? []
      : [`${report.received} received, ${report.sent} sent`]),
    ...(report.removedHere + report.removedThere === 0
      ? []
      : [`${report.removedHere} gone here, ${report.removedThere} there`]),
    ...(report.conflicts === 0 ? [] : [`${report.conflicts} in conflict`]),
    ...(report.refused === 0 ? [] : [`${report.refused} refused`]),
    `${report.bytes.toLocaleString('en')} bytes in ${report.roundTrips} round ${report.roundTrips === 1 ? 'trip' : 'trips'}`,
  ].join('; ')
  return [
    ...(rows.length === 0 ? [] : [terminal.table(rows)]),
    `${report.name}  ${report.inStep ? 'in step' : report.stopped === undefined ? 'not in step' : 'stopped'}; ${counts}`,
  ].join('\n')
}

/** Runs partnerships one after the other. @returns the exit code */
async function runs(
  call: Pick<Call, 'withOwner' | 'withNode' | 'terminal' | 'home' | 'io'>,
  name: string | undefined,
  purpose: SyncPurpose,
): Promise<number> {
  const { terminal, home, io } = call
  const stop = new AbortController()
  using _ending = io.onEnding(() => {
    stop.abort(
      new Failure('expired', 'the run was given up', { hint: 'stronghold sync run goes on' }),
    )
  })
  return await call.withOwner((owner) =>
    call.withNode(async (node) => {
      const names = await runnable(owner, name)
      let exit = 0
      for (const one of names) {
        const report = await runPartnership({
          owner,
          node,
          home,
          name: one,
          purpose,
          signal: stop.signal,
          onProgress: (settled, of) =>
            void terminal.progress(of === 0 ? `${one}: comparing` : `${one}: ${settled} of ${of}`),
        }).catch((error: unknown) => refused(error, one))
        terminal.endProgress()
        await terminal.result(reportJson(report), reportText(call, report))
        const { compared, received, sent, stopped } = report
        if (stopped === undefined && compared + received + sent === 0) await terminal.note(NOTHING)
        if (stopped !== undefined || (report.conflicts > 0 && !report.inStep)) {
          await terminal.note(`${one}: ${await nextOf(owner, report)}`)
          exit = exitOf('conflict')
        } else if (purpose === 'verify' && !report.inStep && exit === 0) {
          exit = exitOf('verification_failed')
        }
      }
      return exit
    }),
  )
}

/** Nothing at all took part: whoever begins forgets a label, or rules. */
const NOTHING =
  "nothing was compared: a record takes part where its label says so (key create --sync yes), both sides' paths select it and " +
  'rules on both sides allow it (stronghold rule list)'

/** What a person does next about a run that is not through. */
async function nextOf(owner: OwnerDoor, { name, purpose, stopped }: SyncReport): Promise<string> {
  if (stopped === 'partner-stopped') {
    return 'the partner waits for a decision; on the other machine: stronghold sync list'
  }
  if (purpose !== 'run' && stopped === undefined) {
    return 'what is in conflict stays as it is on both sides, until somebody decides after a run'
  }
  const found = (await owner.syncList()).find((partner) => partner.name === name)
  return found === undefined ? 'it is gone' : standing(found)
}

/** That named, or all that are neither paused nor stopped. @throws `Failure` where there is none, with what to type */
async function runnable(owner: OwnerDoor, name: string | undefined): Promise<readonly string[]> {
  const all = await owner.syncList()
  const named = name === undefined ? all : all.filter((one) => one.name === name)
  const ready = named.filter((one) => !one.paused && stopOf(one) === undefined)
  if (ready.length > 0) return ready.map((one) => one.name)
  const [first] = named
  if (first === undefined) {
    if (name !== undefined) throw noPartner(name)
    throw new Failure('not_found', 'cannot run', {
      reason: 'there is no partnership',
      hint: 'stronghold sync add NAME --peer PEER',
    })
  }
  const paused = { reason: 'it is paused', hint: `stronghold sync resume ${first.name}` }
  const why = first.paused ? paused : (stopOf(first) ?? paused)
  throw new Failure('conflict', `cannot run ${first.name}`, why)
}

/** What the partner does not want is to be seen over there. */
function refused(error: unknown, name: string): never {
  const failure = failureOf(error)
  const isTheirs = failure.exit === 'denied' || failure.exit === 'conflict'
  if (failure.hint !== undefined || !isTheirs) throw error
  throw new Failure(failure.exit, `cannot run ${name}`, {
    reason: failure.reason ?? failure.message,
    hint: 'on the other machine: stronghold sync list',
    cause: error,
  })
}

/** `sync run` */
export const run: Command = defineCommand({
  name: 'sync run',
  says: 'Bring this vault and its partner in step, now; without NAME all that are not paused',
  operands: '[NAME]',
  unlocks: true,
  examples: [
    ['stronghold sync run nas', 'what went where, and what is in conflict'],
    ['stronghold sync run --json', 'a line for each partnership'],
  ],
  prints: reportShape,
  run: (call) => runs(call, call.operands[0], 'run'),
})

/** `sync diff` */
export const diff: Command = defineCommand({
  name: 'sync diff',
  says: 'Show what a run would change, on both sides; changes nothing',
  operands: 'NAME',
  unlocks: true,
  examples: [
    ['stronghold sync diff nas', 'added, changed, gone, in conflict'],
    ['stronghold sync diff nas --json', 'for a program'],
  ],
  prints: reportShape,
  run: (call) => runs(call, call.operands[0], 'preview'),
})

/** `sync verify` */
export const verify: Command = defineCommand({
  name: 'sync verify',
  says: 'Compare everything with the partner from the records themselves',
  operands: 'NAME',
  unlocks: true,
  examples: [
    ['stronghold sync verify nas', 'ends with 11 where they differ'],
    ['stronghold sync verify nas --json', 'for a program'],
  ],
  prints: reportShape,
  run: (call) => runs(call, call.operands[0], 'verify'),
})
