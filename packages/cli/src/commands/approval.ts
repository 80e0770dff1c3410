/** `approval`: what others ask of this vault and a person decides; `approve` and `deny` for short. */
import type { Choice, Decided, OwnerDoor, PendingApproval } from '@stronghold/guard'
import { z } from 'zod'

import { approvalJson, approvalShape } from '../approvals/json.ts'
import { meant } from '../approvals/find.ts'
import { cutTo } from '../approvals/fold.ts'
import { approvalLines, askOf, clockTime } from '../approvals/words.ts'
import { defineCommand } from '../command.ts'
import type { Call, Command, Options } from '../command.ts'
import { parseDuration, printMoment } from '../duration.ts'
import { exitOf } from '../exits.ts'
import { Failure } from '../failure.ts'
import { MAX_APPROVED_MS, NARROW_COLUMNS } from '../limits.ts'
import type { Terminal } from '../terminal.ts'

const TOKEN = {
  'token-file': { value: 'FILE', says: 'show this token to the Stronghold that runs' },
} as const satisfies Options

/** Widest screen that is filled: longer lines are hard to read. */
const MAX_COLUMNS = 100

/** All that waits. */
async function everything(owner: OwnerDoor): Promise<readonly PendingApproval[]> {
  const { allApprovals } = await import('@stronghold/guard/owner')
  return await allApprovals(owner)
}

const list = defineCommand({
  name: 'approval list',
  says: 'List what waits for a person',
  unlocks: true,
  options: TOKEN,
  examples: [
    ['stronghold approval list', 'who asks for what, and how long it waits'],
    ['stronghold approval list --json', 'for a program'],
  ],
  prints: z.object({ approvals: z.array(approvalShape) }),
  async run({ terminal, io, withOwner }) {
    const approvals = await withOwner(everything)
    const nowMs = io.clock.nowMs()
    await terminal.result(
      { approvals: approvals.map(approvalJson) },
      approvals.length === 0 ? '' : listed(approvals, nowMs, terminal),
    )
    if (approvals.length === 0) await terminal.note('nothing waits for a person')
  },
})

function listed(approvals: readonly PendingApproval[], nowMs: number, terminal: Terminal): string {
  const rows = approvals.map((one) => ({
    ...one,
    ask: askOf(one),
    left: clockTime(one.expiresAtMs - nowMs),
  }))
  if (terminal.columns >= NARROW_COLUMNS) {
    return terminal.table(
      rows.map(({ id, left, peerName, rule, ask }) => [id, left, peerName, rule.id, ask]),
      ['ID', 'LEFT', 'PEER', 'RULE', 'ASKS FOR'],
    )
  }
  return rows
    .flatMap(({ id, left, peerName, ask }) => [
      terminal.strong(`${id}  ${left}`),
      cutTo(`  ${peerName}: ${ask}`, terminal.columns),
    ])
    .join('\n')
}

const show = defineCommand({
  name: 'approval show',
  says: 'Show one request: who, what, why, by which rule, for how long',
  operands: '[ID]',
  unlocks: true,
  options: TOKEN,
  examples: [
    ['stronghold approval show a-3pgg', 'by the beginning of its id'],
    ['stronghold approval show', 'the only one that waits'],
  ],
  prints: z.object({ approval: approvalShape, why: z.array(z.string()) }),
  async run({ terminal, io, operands, withOwner }) {
    const { approval, why } = await withOwner(async (owner) => {
      const [one] = meant(await everything(owner), operands, 'approval show')
      if (one === undefined) throw new Failure('not_found', 'cannot show: nothing waits')
      return { approval: one, why: await owner.explainApproval(one.boundHash) }
    })
    const columns = Math.min(terminal.columns, MAX_COLUMNS)
    const style = {
      columns,
      strong: (text: string) => terminal.strong(text),
      faint: (text: string) => terminal.faint(text),
      alarm: (text: string) => terminal.alarm(text),
    }
    await terminal.result(
      { approval: approvalJson(approval), why },
      [terminal.faint(approval.id), ...approvalLines(approval, style, io.clock.nowMs())].join('\n'),
    )
    if (io.stdout.isTerminal) {
      await terminal.note(`to decide: stronghold approve ${approval.id}, or: stronghold deny`)
    }
  },
})

const DECIDED = z.object({
  decided: z.array(
    z.object({ id: z.string(), state: z.string(), rememberedUntil: z.string().nullable() }),
  ),
})

const APPROVING = {
  once: { says: 'for this request alone, which is usual' },
  for: { value: 'TIME', says: 'and the same again until then: 1h, a day at most' },
  ...TOKEN,
} as const satisfies Options

function approving(name: string): Command {
  return defineCommand({
    name,
    says: 'Agree to what is asked: once, or for a time',
    operands: '[ID]...',
    options: APPROVING,
    changes: true,
    unlocks: true,
    examples: [
      [`stronghold ${name}`, 'the only one that waits, once'],
      [`stronghold ${name} a-3pgg --for 1h`, 'and the same of this peer for an hour'],
    ],
    prints: DECIDED,
    run: (call) => approve(call, name),
  })
}

async function approve(call: Call<typeof APPROVING>, name: string): Promise<number | undefined> {
  const { options, operands } = call
  const forMs = options.for === undefined ? undefined : parseDuration(options.for)
  if (forMs !== undefined && options.once === true) {
    throw new Failure('usage', 'cannot approve', {
      reason: '--once and --for say different things',
    })
  }
  if (forMs !== undefined && forMs > MAX_APPROVED_MS) {
    throw new Failure('usage', 'cannot approve', {
      reason: 'nothing is remembered for longer than a day',
      hint: 'say --for 24h, or write a rule: stronghold rule add --help',
    })
  }
  const choice: Choice = forMs === undefined ? 'once' : 'time'
  return await call.withOwner(async (owner) => {
    const chosen = meant(await everything(owner), operands, name)
    for (const one of forMs === undefined ? [] : chosen) {
      if (one.grantable) continue
      const isBlind = one.steps.some(({ blind }) => blind)
      throw new Failure('usage', `cannot approve ${one.id} for a time`, {
        reason: isBlind
          ? 'nobody can tell from the bytes what would be signed'
          : 'what it asks for is never remembered',
        hint: `stronghold ${name} ${one.id} --once`,
      })
    }
    const what = forMs === undefined ? 'once' : `for ${options.for ?? ''}`
    if (call.dryRun) return await wouldBe(call, chosen, `would be approved ${what}`)
    const { proofFor } = await import('../approvals/confirm.ts')
    const proof = await proofFor(owner, call)
    return await decide(call, owner, chosen, choice, {
      ...(forMs === undefined ? {} : { forMs }),
      ...(proof === undefined ? {} : { proof }),
    })
  })
}

const DENYING = {
  block: { says: 'and block the peer, with all that it asked for and was granted' },
  ...TOKEN,
} as const satisfies Options

function denying(name: string): Command {
  return defineCommand({
    name,
    says: 'Say no to what is asked; the peer stays connected',
    operands: '[ID]...',
    options: DENYING,
    changes: true,
    unlocks: true,
    examples: [
      [`stronghold ${name} a-3pgg`, 'this one'],
      [`stronghold ${name} a-3pgg --block`, 'and nothing of this peer any more'],
    ],
    prints: DECIDED,
    run: (call: Call<typeof DENYING>) =>
      call.withOwner(async (owner) => {
        const chosen = meant(await everything(owner), call.operands, name)
        const blocks = call.options.block === true
        if (call.dryRun) {
          return await wouldBe(call, chosen, `would be denied${blocks ? ' and blocked' : ''}`)
        }
        return await decide(call, owner, chosen, blocks ? 'deny-and-block' : 'deny', {})
      }),
  })
}

/** One decision about all of them: all or none. @returns the exit code */
async function decide(
  { terminal }: Call,
  owner: OwnerDoor,
  chosen: readonly PendingApproval[],
  choice: Choice,
  options: NonNullable<Parameters<OwnerDoor['decide']>[2]>,
): Promise<number> {
  const hashes = chosen.map(({ boundHash }) => boundHash)
  const decided = await owner.decide(hashes, choice, options)
  const told = decided.map((one, index) => ({ ...one, about: chosen[index] }))
  await terminal.result(
    {
      decided: told.map(({ about, state, rememberedUntilMs }) => ({
        id: about?.id ?? '',
        state,
        rememberedUntil: rememberedUntilMs === undefined ? null : printMoment(rememberedUntilMs),
      })),
    },
    told
      .map((one) => `${one.about?.id ?? ''}  ${came(choice, one)}  ${lineOf(one.about)}`)
      .join('\n'),
  )
  if (choice !== 'once' && choice !== 'time') return 0
  // What a person agreed to is decided once more by the rules of that moment.
  if (decided.some(({ state }) => state === 'denied')) return exitOf('denied')
  return decided.some(({ state }) => state === 'pending') ? exitOf('pending') : 0
}

function lineOf(approval: PendingApproval | undefined): string {
  return approval === undefined ? '' : `${approval.peerName}: ${askOf(approval)}`
}

/** What came of one, in words. */
function came(choice: Choice, { state, rememberedUntilMs }: Decided): string {
  if (choice === 'deny') return 'denied'
  if (choice === 'deny-and-block') return 'denied, and the peer is blocked'
  if (state === 'denied') return 'not done: a rule denies it now'
  if (state === 'pending') return 'asked anew: a rule or the key has changed'
  const later = state === 'approved' ? ', runs when its peer comes for it' : ''
  if (rememberedUntilMs !== undefined)
    return `approved until ${printMoment(rememberedUntilMs)}${later}`
  return `approved once${choice === 'time' ? ': there is no room to remember it' : ''}${later}`
}

async function wouldBe(
  { terminal }: Call,
  chosen: readonly PendingApproval[],
  what: string,
): Promise<number> {
  await terminal.result(
    { dryRun: true, decided: chosen.map(({ id }) => ({ id, state: 'pending' })) },
    chosen.map((one) => `${one.id}  ${what}  ${lineOf(one)}`).join('\n'),
  )
  return 0
}

const watch = defineCommand({
  name: 'approval watch',
  says: 'Show what is asked as it comes, and decide by a key',
  options: TOKEN,
  examples: [
    ['stronghold approval watch', 'o agrees once, t for a time, d denies, b blocks, ? says why'],
    ['stronghold approval watch --json', 'a JSON line for each event, until it is ended'],
  ],
  prints: z.union([
    z.object({ event: z.literal('asked'), approval: approvalShape }),
    z.object({ event: z.literal('ended'), id: z.string(), state: z.string() }),
  ]),
  async run(call) {
    const { io, terminal, json, home } = call
    const { noVault, runningOwner } = await import('../door.ts')
    const { hasVault } = await import('../home.ts')
    if (!hasVault(home) && call.options['token-file'] === undefined) throw noVault(home)
    const owner = await runningOwner(call)
    if (owner === undefined) {
      throw new Failure('not_found', 'cannot watch', {
        reason: 'no Stronghold runs in this home, so nobody can ask',
        hint: 'stronghold up',
      })
    }
    const { watchApprovals } = await import('../approvals/watch.ts')
    const stop = new AbortController()
    using _ = io.onEnding(() => {
      stop.abort()
    })
    const end = await watchApprovals({
      owner,
      terminal,
      io,
      signal: stop.signal,
      json,
      title: home.path,
    })
    if (end !== 'ended') return 0
    throw new Failure('unreachable', 'cannot go on watching', {
      reason: 'the Stronghold has ended',
      hint: 'stronghold up',
    })
  },
})

/** What `approval` knows, and the short forms. */
export const APPROVAL_COMMANDS: readonly Command[] = [
  list,
  show,
  approving('approval approve'),
  denying('approval deny'),
  watch,
]
/** The short forms, which help shows on top. */
export const DECIDING_COMMANDS: readonly Command[] = [approving('approve'), denying('deny')]
