/** The tables of `docs/procedures.md`, out of the catalog: what each procedure takes, gives, touches and lets out. */
import { z } from 'zod'

import { CATALOG } from '../packages/vault/src/catalog/index.ts'
import type { Fields, Procedure } from '../packages/vault/src/catalog/index.ts'

/** What of JSON Schema the catalog's fields turn into. */
interface Schema {
  $ref?: string
  $defs?: Record<string, Schema>
  description?: string
  type?: string
  const?: string | number
  enum?: (string | number)[]
  items?: Schema
  oneOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  minimum?: number
  maximum?: number
  pattern?: string
}

/** One row for each procedure. */
export function proceduresTable(): string {
  const rows = CATALOG.map((procedure: Procedure) =>
    row([
      `\`${procedure.name}\``,
      procedure.summary,
      fields(procedure.input),
      fields(procedure.output),
      roles(procedure),
      procedure.egress,
      procedure.remote ? 'yes' : 'no',
      procedure.source,
    ]),
  )
  return [
    row(['Procedure', 'Does', 'Input', 'Output', 'Footprint', 'Egress', 'Remote', 'Source']),
    row(Array.from({ length: 8 }, () => '---')),
    ...rows,
  ].join('\n')
}

/** One row for each shape that a field may have and that has a name. */
export function shapesTable(): string {
  const named = new Map<string, Schema>()
  for (const procedure of CATALOG as readonly Procedure[]) {
    for (const schema of [schemaOf(procedure.input), schemaOf(procedure.output)]) {
      for (const [name, shape] of Object.entries(schema.$defs ?? {})) named.set(name, shape)
    }
  }
  const rows = [...named]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, shape]) => row([`\`${name}\``, wholeText(shape)]))
  return [row(['Shape', 'Is']), row(['---', '---']), ...rows].join('\n')
}

function schemaOf(object: z.ZodObject<Fields>): Schema {
  return z.toJSONSchema(object, { unrepresentable: 'any', io: 'input' }) as Schema
}

function fields(object: z.ZodObject<Fields>): string {
  const { properties = {}, required = [] } = schemaOf(object)
  return members(properties, required, '<br>') || '–'
}

function members(
  properties: Record<string, Schema>,
  required: readonly string[],
  between: string,
): string {
  return Object.entries(properties)
    .map(([name, schema]) => `\`${name}\`${required.includes(name) ? '' : '?'}: ${text(schema)}`)
    .join(between)
}

function text(schema: Schema): string {
  if (schema.$ref !== undefined) return schema.$ref.replace('#/$defs/', '')
  if (schema.const !== undefined) return `\`${schema.const}\``
  if (schema.enum !== undefined) return schema.enum.join(', ')
  if (schema.description !== undefined) return schema.description
  if (schema.items !== undefined) return `list of ${text(schema.items)}`
  if (schema.type === 'integer') {
    const { minimum = 0, maximum = 0 } = schema
    return maximum >= 2 ** 31 - 1 ? `number from ${minimum}` : `number, ${minimum} to ${maximum}`
  }
  return schema.type ?? 'anything'
}

/** A shape with what is in it. */
function wholeText(schema: Schema): string {
  const { oneOf, properties, required = [], description = '' } = schema
  if (oneOf !== undefined) {
    return oneOf.map((one) => members(one.properties ?? {}, one.required ?? [], ', ')).join('<br>')
  }
  if (properties !== undefined) return members(properties, required, ', ')
  return schema.enum === undefined ? description : schema.enum.join(', ')
}

function roles({ roles: of }: Procedure): string {
  const each = Object.entries(of).map(([role, { access, usage, egress, types }]) => {
    const only = types === undefined || types.length > 4 ? '' : ` of ${types.join(', ')}`
    return `\`${role}\` ${access}${usage === undefined ? '' : ` to ${usage}`}${only}, ${egress}`
  })
  return each.length === 0 ? '`-`' : each.join('<br>')
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}
