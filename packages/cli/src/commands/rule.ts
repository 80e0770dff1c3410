/** `rule`: who may do what. Every change is told before it is done: which way it goes, and what is decided otherwise. */

import type { OwnerDoor, RuleChange, RulePlace, WrittenRule } from '@stronghold/guard'
import { z } from 'zod'

import { isPeerId, unknownPeer } from '../book.ts'
import { defineCommand } from '../command.ts'
import type { Call, Command, Options } from '../command.ts'
import { readWhole } from '../data.ts'
import { parseMoment, printMoment } from '../duration.ts'
import { Failure, quoted } from '../failure.ts'
import { list } from '../lists.ts'
import { remote, wrapped } from '../terminal.ts'
import { MAX_RULES_BYTES } from '../limits.ts'

const EFFECTS = ['allow', 'ask', 'deny'] as const

const FIELDS = {
  peers: { value: 'LIST', says: 'names, ids, @tag, or known', many: true },
  procedures: { value: 'LIST', says: 'sign,pub or with a role: wrap:key', many: true },
  paths: { value: 'LIST', says: "patterns: 'release/**'; - for none", many: true },
  effect: { value: 'EFFECT', says: 'what it does', choices: EFFECTS },
  formats: { value: 'LIST', says: 'sshsig, sshsig:git, jws, raw …', many: true },
  limit: { value: 'N/TIME', says: 'at most so often: 10/day', many: true },
  'when-used-up': {
    value: 'THEN',
    says: 'deny, or let the next rule decide',
    choices: ['deny', 'next'],
  },
  expires: { value: 'TIME', says: '90d, or 2027-01-31T12:00:00Z' },
  note: { value: 'TEXT', says: 'for people' },
  tell: { says: 'tell a denied peer the id and note' },
} as const satisfies Options

const PLACE = {
  first: { says: 'put it in front of all others' },
  before: { value: 'ID', says: 'put it in front of another' },
} as const satisfies Options

const ruleShape = z.record(z.string(), z.unknown())
const changeShape = z.object({
  direction: z.string(),
  id: z.string().nullable(),
  sentence: z.string().nullable(),
  position: z.int().nullable(),
  of: z.int().nullable(),
  shadowedBy: z.string().nullable(),
  examples: z.array(z.string()),
  done: z.boolean(),
})

interface FieldValues {
  readonly peers?: readonly string[]
  readonly procedures?: readonly string[]
  readonly paths?: readonly string[]
  readonly effect?: string
  readonly formats?: readonly string[]
  readonly limit?: readonly string[]
  readonly 'when-used-up'?: string
  readonly expires?: string
  readonly note?: string
  readonly tell?: boolean
}

/** The fields of a rule that were given. */
function given(options: FieldValues, nowMs: number): Partial<WrittenRule> {
  const { peers, procedures, paths, effect, formats, limit, expires, note, tell } = options
  const whenUsedUp = options['when-used-up']
  return {
    ...(peers === undefined ? {} : { peers: list(peers, 'peers') }),
    ...(procedures === undefined ? {} : { procedures: list(procedures, 'procedures') }),
    ...(paths === undefined ? {} : { paths: list(paths, 'paths') }),
    ...(formats === undefined ? {} : { formats: list(formats, 'formats') }),
    ...(limit === undefined ? {} : { limits: list(limit, 'limit') }),
    ...(whenUsedUp === undefined ? {} : { when_used_up: whenUsedUp as 'deny' | 'next' }),
    ...(expires === undefined ? {} : { expires: printMoment(parseMoment(expires, nowMs)) }),
    ...(effect === undefined ? {} : { effect: effect as WrittenRule['effect'] }),
    ...(note === undefined ? {} : { note }),
    ...(tell === undefined ? {} : { tell }),
  }
}

function placeOf({
  first,
  before,
}: {
  readonly first?: boolean
  readonly before?: string
}): RulePlace | undefined {
  if (first === true && before !== undefined) {
    throw new Failure('usage', 'cannot place the rule', {
      reason: '--first and --before say different things',
    })
  }
  return first === true ? { first: true } : before === undefined ? undefined : { before }
}

/** What a change does to what is allowed: done, and in a dry run. */
const WAYS: Readonly<Record<RuleChange['direction'], readonly [string, string]>> = {
  same: ['decides nothing otherwise', 'would decide nothing otherwise'],
  tightens: ['tightens', 'would tighten'],
  widens: ['widens', 'would widen'],
  mixed: ['tightens and widens', 'would tighten and widen'],
}

/** Tells what a change of rules does, or did. */
async function tell(
  { terminal, dryRun }: Pick<Call, 'terminal' | 'dryRun'>,
  change: RuleChange,
  what: string,
): Promise<void> {
  const { direction, id, sentence, position, of, shadowedBy, examples } = change
  const where = position === undefined || of === undefined ? '' : ` (${position} of ${of})`
  const about = sentence === undefined ? what : `${terminal.strong(id ?? '')}${where}  ${sentence}`
  const lines = [
    wrapped(about, terminal.columns, '    '),
    `    ${WAYS[direction][dryRun ? 1 : 0]}`,
    ...(shadowedBy === undefined ? [] : [`    rule ${shadowedBy} leaves it nothing to decide`]),
    ...[...new Set(examples)].map(
      (example) => `    ${wrapped(example, terminal.columns - 4, '      ')}`,
    ),
  ]
  await terminal.result(
    {
      direction,
      id: id ?? null,
      sentence: sentence ?? null,
      position: position ?? null,
      of: of ?? null,
      shadowedBy: shadowedBy ?? null,
      examples,
      done: !dryRun,
    },
    lines.join('\n'),
  )
}

const add = defineCommand({
  name: 'rule add',
  says: 'Add a rule, last unless told otherwise, and say it as a sentence',
  options: { ...FIELDS, id: { value: 'ID', says: 'default the next r1, r2 …' }, ...PLACE },
  changes: true,
  unlocks: true,
  examples: [
    [
      "stronghold rule add --peers ci --procedures pub --paths 'release/**' --effect allow",
      'ci may read public keys under release',
    ],
    [
      "stronghold rule add --peers ci --procedures sign --paths 'release/**' --effect ask --limit 10/day",
      'a person is asked about each signature',
    ],
  ],
  prints: changeShape,
  async run(call) {
    const { options, dryRun, io, withOwner } = call
    const fields = given(options, io.clock.nowMs())
    for (const name of ['peers', 'procedures', 'paths', 'effect'] as const) {
      if (fields[name] !== undefined) continue
      throw new Failure('usage', 'cannot add the rule', {
        reason: `--${name} is missing`,
        hint: 'stronghold rule add --help',
      })
    }
    const { id } = options
    const rule = { ...fields, ...(id === undefined ? {} : { id }) } as WrittenRule
    const change = await withOwner(async (owner) => {
      await assertNamed(owner, rule.peers)
      return await owner.addRule(rule, placeOf(options), { dryRun })
    })
    await tell(call, change, 'rule')
  },
})

const listRules = defineCommand({
  name: 'rule list',
  says: 'List the rules in the order in which they decide',
  unlocks: true,
  examples: [
    ['stronghold rule list', 'a sentence each'],
    ['stronghold rule list --json', 'every field'],
  ],
  prints: z.object({ rules: z.array(ruleShape) }),
  async run({ terminal, withOwner }) {
    const rules = await withOwner((owner) => owner.rules())
    const widest = Math.max(0, ...rules.map(({ rule }) => rule.id.length))
    const indent = ' '.repeat(widest + 2)
    await terminal.result(
      { rules: rules.map(({ rule, sentence }) => ({ ...rule, sentence })) },
      rules
        .map(({ rule: { id, note }, sentence }) =>
          [
            terminal.strong(id.padEnd(widest)),
            `  ${wrapped(sentence, terminal.columns - indent.length).replaceAll('\n', `\n${indent}`)}`,
            note === undefined ? '' : `\n${indent}${terminal.faint(`# ${remote(note, 4096)}`)}`,
          ].join(''),
        )
        .join('\n'),
    )
    if (rules.length === 0) await terminal.note('no rule: whatever a peer asks for is denied')
  },
})

async function ruleAt(
  owner: OwnerDoor,
  id: string,
): Promise<{ rule: WrittenRule & { id: string }; sentence: string; position: number; of: number }> {
  const rules = await owner.rules()
  const index = rules.findIndex(({ rule }) => rule.id === id)
  const found = rules[index]
  if (found !== undefined) return { ...found, position: index + 1, of: rules.length }
  throw new Failure('not_found', `cannot find rule ${quoted(id)}`, {
    reason: 'there is none',
    hint: 'stronghold rule list',
  })
}

const show = defineCommand({
  name: 'rule show',
  says: 'Show every field of a rule',
  operands: 'ID',
  unlocks: true,
  examples: [
    ['stronghold rule show r1', 'fields and sentence'],
    ['stronghold rule show r1 --json', 'for a program'],
  ],
  prints: ruleShape,
  async run({ operands, terminal, withOwner }) {
    const { rule, sentence, position, of } = await withOwner((owner) =>
      ruleAt(owner, operands[0] ?? ''),
    )
    const rows = Object.entries(rule).map(([name, value]) => [
      name,
      remote(Array.isArray(value) ? value.join(', ') : String(value), 65_536),
    ])
    await terminal.result(
      { ...rule, sentence, position, of },
      `${wrapped(sentence, terminal.columns)}\n\n${terminal.table([...rows, ['position', `${position} of ${of}`]])}`,
    )
  },
})

const CLEARABLE = ['formats', 'limits', 'when_used_up', 'expires', 'note', 'tell'] as const

const edit = defineCommand({
  name: 'rule edit',
  says: 'Change fields of a rule; the others stay',
  operands: 'ID',
  options: {
    ...FIELDS,
    clear: { value: 'FIELD', says: 'take a field away', choices: CLEARABLE, many: true },
  },
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold rule edit r2 --effect allow --dry-run', 'says what would be decided otherwise'],
    ['stronghold rule edit r2 --clear limits', 'no limit any more'],
  ],
  prints: changeShape,
  async run(call) {
    const { operands, options, dryRun, io, withOwner } = call
    const id = operands[0] ?? ''
    const fields = given(options, io.clock.nowMs())
    const cleared: readonly string[] = options.clear ?? []
    if (Object.keys(fields).length === 0 && cleared.length === 0) {
      throw new Failure('usage', 'cannot edit the rule', {
        reason: 'no field was given',
        hint: 'stronghold rule edit --help',
      })
    }
    const change = await withOwner(async (owner) => {
      const { rule } = await ruleAt(owner, id)
      const kept: WrittenRule = { ...rule }
      for (const name of CLEARABLE) if (cleared.includes(name)) Reflect.deleteProperty(kept, name)
      await assertNamed(owner, fields.peers ?? [])
      return await owner.editRule(id, { ...kept, ...fields }, { dryRun })
    })
    await tell(call, change, id)
  },
})

const move = defineCommand({
  name: 'rule move',
  says: 'Put a rule in another place of the order',
  operands: 'ID',
  options: PLACE,
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold rule move r3 --first', 'it decides before all others'],
    ['stronghold rule move r3 --before r1', 'it decides before r1'],
  ],
  prints: changeShape,
  async run(call) {
    const { operands, options, dryRun, withOwner } = call
    const place = placeOf(options)
    if (place === undefined) {
      throw new Failure('usage', 'cannot move the rule', {
        reason: 'it is not said where to',
        hint: 'name --first or --before ID',
      })
    }
    const id = operands[0] ?? ''
    await tell(call, await withOwner((owner) => owner.moveRule(id, place, { dryRun })), id)
  },
})

const remove = defineCommand({
  name: 'rule remove',
  says: 'Take a rule away',
  operands: 'ID',
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold rule remove r3 --dry-run', 'says what would be decided otherwise'],
    ['stronghold rule remove r3', 'takes it away; its id is never given again'],
  ],
  prints: changeShape,
  async run(call) {
    const id = call.operands[0] ?? ''
    const { dryRun } = call
    const change = await call.withOwner((owner) => owner.removeRule(id, { dryRun }))
    await tell(call, change, `${id}  removed`)
  },
})

const ASKED = {
  format: { value: 'FORMAT', says: 'of a signature: sshsig:file, jws, raw …' },
} as const

const test = defineCommand({
  name: 'rule test',
  says: 'Tell how a request would be decided now: allow, ask or deny',
  operands: 'PEER PROCEDURE [PATH]',
  options: {
    ...ASKED,
    expect: { value: 'EFFECT', says: 'exit 11 where it is decided otherwise', choices: EFFECTS },
  },
  unlocks: true,
  examples: [
    ['stronghold rule test ci sign release/app --format sshsig:file', 'one word'],
    ['stronghold rule test ci wrap:source release/app --expect deny', 'for a script'],
  ],
  prints: z.object({ verdict: z.string() }),
  async run({ operands, options, terminal, withOwner }) {
    const { verdict, text } = await withOwner((owner) => explained(owner, operands, options.format))
    const { expect } = options
    if (expect !== undefined && expect !== verdict) {
      throw new Failure('verification_failed', `expected ${expect}`, {
        reason: text,
        hint: `stronghold rule explain ${operands.join(' ')}`,
      })
    }
    await terminal.result({ verdict }, verdict)
  },
})

const explain = defineCommand({
  name: 'rule explain',
  says: 'Say why a request would be decided as it would, what comes close, what is needed',
  operands: 'PEER PROCEDURE [PATH]',
  options: ASKED,
  unlocks: true,
  examples: [
    ['stronghold rule explain ci sign release/app', 'which rule decides, and why'],
    ['stronghold rule explain ci sign release/app --format raw', 'for a format'],
  ],
  prints: z.object({
    verdict: z.string(),
    text: z.string(),
    near: z.array(z.string()),
    needed: z.unknown(),
  }),
  async run({ operands, options, terminal, withOwner }) {
    const { verdict, text, near, needed } = await withOwner((owner) =>
      explained(owner, operands, options.format),
    )
    const lines = [text, ...near].map((line) => wrapped(line, terminal.columns, '    '))
    if (needed !== undefined) lines.push(`to be asked: ${commandFor(needed)}`)
    await terminal.result({ verdict, text, near, needed: needed ?? null }, lines.join('\n'))
  },
})

async function explained(
  owner: OwnerDoor,
  [peer = '', use = '', path = '-']: readonly string[],
  format: string | undefined,
): ReturnType<OwnerDoor['explainRequest']> {
  // A stranger is named by its id: a name that nobody has is a slip.
  await assertNamed(owner, [peer])
  return await owner.explainRequest({
    peer,
    use,
    path,
    ...(format === undefined ? {} : { format }),
  })
}

/** @throws `Failure` `not_found` for a name that no known peer has */
async function assertNamed(owner: OwnerDoor, names: readonly string[]): Promise<void> {
  const called = names.filter(
    (name) => name !== 'known' && !name.startsWith('@') && !isPeerId(name),
  )
  if (called.length === 0) return
  const known = new Set((await owner.peers()).map(({ name }) => name))
  const unknown = called.find((name) => !known.has(name))
  if (unknown !== undefined) throw unknownPeer(unknown, 'the vault knows nobody of that name')
}

/** The command that adds a rule. */
function commandFor({ peers, procedures, paths, formats, effect }: WrittenRule): string {
  return [
    `stronghold rule add --peers ${peers.join()} --procedures ${procedures.join()}`,
    `--paths '${paths.join()}'`,
    ...(formats === undefined ? [] : [`--formats ${formats.join()}`]),
    `--effect ${effect}`,
  ].join(' ')
}

const diff = defineCommand({
  name: 'rule diff',
  says: 'Say what a rules file would change, and change nothing',
  operands: 'FILE',
  unlocks: true,
  examples: [
    ['stronghold rule diff rules.toml', 'tightens, widens or mixed, with examples'],
    ['stronghold rule diff - < rules.toml', 'from a pipe'],
  ],
  prints: changeShape,
  async run(call) {
    const toml = await rulesText(call)
    const change = await call.withOwner((owner) => owner.applyRules(toml, { dryRun: true }))
    await tell({ ...call, dryRun: true }, change, call.operands[0] ?? '')
  },
})

const apply = defineCommand({
  name: 'rule apply',
  says: 'Put the rules of a file in the place of those there are',
  operands: 'FILE',
  changes: true,
  unlocks: true,
  examples: [
    ['stronghold rule apply rules.toml', 'all at once, or none of them'],
    ['stronghold rule apply rules.toml --dry-run', 'the same as rule diff'],
  ],
  prints: changeShape,
  async run(call) {
    const toml = await rulesText(call)
    const { dryRun } = call
    const change = await call.withOwner((owner) => owner.applyRules(toml, { dryRun }))
    await tell(call, change, call.operands[0] ?? '')
  },
})

async function rulesText(call: Call): Promise<string> {
  const [file = '-'] = call.operands
  return new TextDecoder().decode(await readWhole(call, file, MAX_RULES_BYTES))
}

const exportRules = defineCommand({
  name: 'rule export',
  says: 'Print the rules as the TOML file that rule apply reads',
  unlocks: true,
  examples: [
    ['stronghold rule export > rules.toml', 'to edit them, or keep them in a repository'],
    ['stronghold rule export --json', 'the same text in JSON'],
  ],
  prints: z.object({ toml: z.string() }),
  async run({ terminal, withOwner }) {
    const toml = await withOwner((owner) => owner.exportRules())
    await terminal.result({ toml }, toml)
  },
})

const history = defineCommand({
  name: 'rule history',
  says: 'Show what happened to the rules, or to one of them',
  operands: '[ID]',
  unlocks: true,
  examples: [
    ['stronghold rule history', 'all changes, oldest first'],
    ['stronghold rule history r2', 'those of one rule'],
  ],
  prints: z.object({ changes: z.array(z.record(z.string(), z.unknown())) }),
  async run({ operands, terminal, withOwner }) {
    const changes = await withOwner((owner) => owner.ruleHistory(operands[0]))
    await terminal.result(
      {
        changes: changes.map(({ atMs, change, rule }) => ({ at: printMoment(atMs), change, rule })),
      },
      terminal.table(
        changes.map(({ atMs, change, rule: { id, effect, procedures, paths, peers } }) => [
          printMoment(atMs),
          change,
          id,
          `${effect} ${peers.map((peer) => (peer.length > 16 ? `${peer.slice(0, 8)}…${peer.slice(-4)}` : peer)).join()} ${procedures.join()} ${paths.join()}`,
        ]),
      ),
    )
  },
})

/** What `rule` knows. */
export const RULE_COMMANDS: readonly Command[] = [
  add,
  listRules,
  show,
  edit,
  move,
  remove,
  test,
  explain,
  diff,
  apply,
  exportRules,
  history,
]
