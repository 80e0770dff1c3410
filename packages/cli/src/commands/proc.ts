/** `proc`: any procedure of the catalog, by JSON. */
import { decodeUtf8 } from '@stronghold/core'
import { CATALOG } from '@stronghold/vault/catalog'
import type { Procedure } from '@stronghold/vault/catalog'
import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Command } from '../command.ts'
import { readWhole } from '../data.ts'
import { PRINTS } from '../deliver.ts'
import { Failure } from '../failure.ts'
import { assertNoSecrets, fromJson } from '../json-bytes.ts'
import { known } from '../procedures.ts'
import type { NamedStep } from '../procedures.ts'
import { ownSteps } from '../reference.ts'
import { wrapped } from '../terminal.ts'
import { ASKING, useVault } from '../use-vault.ts'
import { MAX_STEPS } from '../limits.ts'

const list = defineCommand({
  name: 'proc list',
  says: 'List the procedures there are',
  options: { remote: { says: 'only those that another machine may ask for' } },
  examples: [
    ['stronghold proc list', 'every procedure, with what it does'],
    ['stronghold proc list --remote', 'those that rules may allow to peers'],
  ],
  prints: z.object({
    procedures: z.array(
      z.object({ name: z.string(), version: z.int(), remote: z.boolean(), says: z.string() }),
    ),
  }),
  async run({ options, terminal }) {
    const all = (CATALOG as readonly Procedure[]).filter(
      ({ remote }) => remote || options.remote !== true,
    )
    await terminal.result(
      {
        procedures: all.map(({ name, version, remote, summary }) => ({
          name,
          version,
          remote,
          says: summary,
        })),
      },
      all
        .map(({ name, summary }) => {
          const indent = ' '.repeat(17)
          return `${terminal.strong(name.padEnd(15))}  ${wrapped(summary, terminal.columns - indent.length).replaceAll('\n', `\n${indent}`)}`
        })
        .join('\n'),
    )
  },
})

const show = defineCommand({
  name: 'proc show',
  says: 'Show what a procedure takes, gives and touches',
  operands: 'NAME',
  examples: [
    ['stronghold proc show sign', 'input, output, roles'],
    ['stronghold proc show wrap --json', 'with JSON schemas'],
  ],
  prints: z.object({
    name: z.string(),
    version: z.int(),
    says: z.string(),
    source: z.string(),
    remote: z.boolean(),
    egress: z.string(),
    input: z.unknown(),
    output: z.unknown(),
    roles: z.record(z.string(), z.unknown()),
  }),
  async run({ operands, terminal }) {
    const { name, version, summary, source, remote, egress, input, output, roles } = known(
      operands[0] ?? '',
    )
    const said = { name, version, says: summary, source, remote, egress, roles }
    const schemas = { input: schemaOf(input), output: schemaOf(output) }
    const role = Object.entries(roles).map(([one, { access, usage }]) => {
      return `${name}:${one} ${access}${usage === undefined ? '' : ` to ${usage}`}`
    })
    const wide = terminal.columns - 10
    const rows = [
      ['name', `${name}, version ${version}`],
      ['does', summary],
      ['takes', fields(schemas.input)],
      ['gives', fields(schemas.output)],
      ['touches', role.length === 0 ? 'no record' : role.join(', ')],
      ['egress', egress],
      ['remote', remote ? 'yes, where a rule allows it' : 'no, the owner alone'],
      ['source', source],
    ].map(([front = '', text = '']) => [
      front,
      wrapped(text, wide).replaceAll('\n', `\n${' '.repeat(9)}`),
    ])
    await terminal.result(
      { ...said, ...schemas },
      rows.map(([a = '', b = '']) => `${terminal.strong(a.padEnd(7))}  ${b}`).join('\n'),
    )
  },
})

const run = defineCommand({
  name: 'proc run',
  says: 'Run any procedure, or a chain of them, JSON in and out; paths may be those of one peer',
  operands: '[NAME] [JSON]',
  options: {
    in: { value: 'FILE', says: 'where the JSON stands; default stdin where no JSON is' },
    ...ASKING,
  },
  changes: true,
  unlocks: true,
  examples: [
    [`stronghold proc run pub '{"key":"home:release/app"}'`, 'one procedure; bytes come as base64'],
    [
      'stronghold proc run --in chain.json',
      '{"steps":[{"procedure":"generate","input":{…}},…]}, all or nothing',
    ],
  ],
  prints: PRINTS.outputs,
  async run(call) {
    const { operands, options, io } = call
    const [name, json] = operands
    if (name !== undefined) known(name)
    const text = json ?? decodeUtf8(await readWhole(call, options.in, 1024 * 1024))
    const delivery = { kind: 'outputs', out: null, as: null } as const
    await useVault(call, { ...ownSteps(stepsOf(name, parse(text), io.cwd)), delivery })
  },
})

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new Failure('usage', 'cannot read the input', { reason: 'it is no JSON', cause })
  }
}

function stepsOf(name: string | undefined, json: unknown, cwd: string): NamedStep[] {
  const bad = (reason: string): Failure =>
    new Failure('usage', 'cannot read the input', {
      reason,
      hint: name === undefined ? 'stronghold proc run --help' : `stronghold proc show ${name}`,
    })
  if (typeof json !== 'object' || json === null) throw bad('it is no JSON object')
  const chain =
    name !== undefined
      ? [{ procedure: name, input: json }]
      : 'steps' in json && Array.isArray(json.steps)
        ? (json.steps as unknown[])
        : undefined
  if (chain === undefined) throw bad('without a NAME it is to be { "steps": [ … ] }')
  if (chain.length < 1 || chain.length > MAX_STEPS) throw bad(`a chain has 1 to ${MAX_STEPS} steps`)
  return chain.map((step, index) => {
    const { procedure, input }: { procedure?: unknown; input?: unknown } = step ?? {}
    if (typeof procedure !== 'string' || typeof input !== 'object' || input === null) {
      throw bad(`step ${index} has no procedure and input`)
    }
    assertNoSecrets(known(procedure), input)
    return { procedure, input: fromJson(input, cwd) as NamedStep['input'] }
  })
}

interface Schema {
  properties?: Readonly<Record<string, unknown>>
  required?: readonly string[]
}

function schemaOf(shape: z.ZodType): Schema {
  return z.toJSONSchema(shape, { unrepresentable: 'any', io: 'input' })
}

function fields({ properties = {}, required = [] }: Schema): string {
  const names = Object.keys(properties).map((name) =>
    required.includes(name) ? name : `[${name}]`,
  )
  return names.length === 0 ? 'nothing' : names.join(' ')
}

/** What `proc` knows. */
export const PROC_COMMANDS: readonly Command[] = [list, show, run]
