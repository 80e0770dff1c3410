/** Procedures as commands run them: one or a chain, on the own vault; or, for a dry run, only told. */
import type { OwnerDoor, OwnerRecord } from '@stronghold/guard'
import { footprint, procedureOf } from '@stronghold/vault/catalog'
import type { InputOf, OutputOf, Procedure } from '@stronghold/vault/catalog'
import { toHex } from '@stronghold/core'
import { z } from 'zod'

import type { Call } from './command.ts'
import { Failure, quoted } from './failure.ts'
import { printMoment } from './duration.ts'

/** A procedure and its input, by name. */
export interface NamedStep {
  readonly procedure: string
  readonly input: Readonly<Record<string, unknown>>
}

/** Runs one procedure on the own vault. */
export async function runOne<P extends Procedure>(
  owner: OwnerDoor,
  procedure: P,
  input: InputOf<P>,
): Promise<OutputOf<P>> {
  const { outputs } = await runAll(owner, [{ procedure: procedure.name, input }])
  return outputs[0] as OutputOf<P>
}

/** Runs a chain on the own vault, all or nothing. */
export async function runAll(
  owner: OwnerDoor,
  steps: readonly NamedStep[],
  options: { reason?: string; receipt?: boolean } = {},
): ReturnType<OwnerDoor['run']> {
  return await owner.run(
    steps.map(({ procedure, input }) => ({
      procedure,
      version: known(procedure).version,
      input,
    })),
    options,
  )
}

/** A procedure of the catalog. @throws `Failure` `usage` for one that is none */
export function known(name: string): Procedure {
  const found = procedureOf(name)
  if (found !== undefined) return found
  throw new Failure('usage', `cannot find procedure ${quoted(name)}`, {
    reason: 'there is none of that name',
    hint: 'stronghold proc list',
  })
}

/** What steps would touch, a line each; nothing is run. @throws what reading paths throws */
export function wouldTouch(steps: readonly NamedStep[]): string[] {
  const asked = steps.map(({ procedure, input }) => ({ procedure: known(procedure), input }))
  return footprint(asked).map(
    ({ procedure, role, path }) => `${procedure}:${role} ${path.toString()}`,
  )
}

/** Tells what steps would touch, on the own vault or on a peer's. */
export async function tellSteps(
  { terminal }: Pick<Call, 'terminal'>,
  steps: readonly NamedStep[],
  peer?: string,
): Promise<void> {
  const touched = wouldTouch(steps)
  const where = peer === undefined ? '' : ` at ${peer}`
  await terminal.result({ dryRun: true, would: touched }, `would run ${touched.join(', ')}${where}`)
}

/** A record as `--json` prints it. */
export const recordShape: z.ZodType = z.strictObject({
  path: z.string(),
  id: z.string(),
  type: z.string(),
  version: z.int(),
  minimum: z.int(),
  versions: z.int(),
  usage: z.array(z.string()),
  egress: z.string(),
  sync: z.boolean(),
  origin: z.string(),
  created: z.string(),
  changed: z.string(),
  publicKey: z.string().nullable(),
})

/** A record as JSON: ids and keys as hex, times as RFC 3339. */
export function recordJson(record: OwnerRecord): Record<string, unknown> {
  const { path, id, type, version, minimum, versions, usage, egress, sync, origin } = record
  return {
    path,
    id: toHex(id),
    type,
    version,
    minimum,
    versions,
    usage: [...usage].sort(),
    egress,
    sync,
    origin,
    created: printMoment(record.createdAtMs),
    changed: printMoment(record.changedAtMs),
    publicKey: record.publicKey === undefined ? null : toHex(record.publicKey),
  }
}

/** A record in one line. */
export function recordLine(record: OwnerRecord): string {
  const { path, type, version, egress, sync } = record
  return `${path}  ${type}  version ${version}  egress ${egress}  sync ${sync ? 'yes' : 'no'}`
}

/** The record at a path of the own vault. @throws `Failure` `not_found` where none is */
export async function recordAt(owner: OwnerDoor, path: string): Promise<OwnerRecord> {
  const [record] = await owner.records(path)
  if (record?.path === path) return record
  throw new Failure('not_found', `cannot find record ${quoted(path)}`, {
    reason: 'there is none',
    hint: 'stronghold key list',
  })
}
