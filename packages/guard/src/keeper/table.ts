/**
 * A door as a table of its methods: what each takes, and how it answers. Socket and port are made from it, on both sides, so
 * that none can know a method or an argument that the others do not. It knows no door.
 */
import type { z } from 'zod'

import { DoorError } from './messages.ts'

/** How a method answers: once; once, but maybe late, until a signal gives up; or again and again, until it does. */
export type MethodKind = 'call' | 'wait' | 'stream'

/** One method of a door. */
export interface DoorMethod<Args extends readonly unknown[] = readonly unknown[]> {
  readonly kind: MethodKind
  /** What crosses: the arguments without the options that hold a signal. */
  readonly args: z.ZodType<Args>
}

/** Every method of a door. */
export type DoorTable<Door> = { readonly [M in keyof Door]: DoorMethod }

/** How calls get to a door. */
export interface DoorTransport {
  call(method: string, args: readonly unknown[], signal?: AbortSignal): Promise<unknown>
  stream(method: string, args: readonly unknown[], signal: AbortSignal): AsyncIterable<unknown>
}

/** The method of a name. @throws `DoorError` `unimplemented` */
export function methodOf<Table extends object>(
  table: Table,
  name: string,
): { name: keyof Table & string; method: Table[keyof Table] } {
  if (!Object.hasOwn(table, name)) {
    throw new DoorError('unimplemented', `Cannot call ${quote(name)}: no such method`, 'no')
  }
  const known = name as keyof Table & string
  return { name: known, method: table[known] }
}

/** Arguments as they came, read. @throws `DoorError` `invalid_argument` */
export function readArgs(name: string, { args }: DoorMethod, given: readonly unknown[]): unknown[] {
  const read = args.safeParse(given)
  if (read.success) return [...read.data]
  const [issue] = read.error.issues
  const where = issue === undefined ? '' : ` at ${quote(issue.path.join('.'))}`
  const why = (issue?.message ?? 'it does not fit').slice(0, 200)
  throw new DoorError('invalid_argument', `Cannot call ${quote(name)}: ${why}${where}`, 'no')
}

/** Calls a method of a door with arguments that were read. */
export function callMethod<Door extends object>(
  door: Door,
  name: keyof Door & string,
  { kind }: DoorMethod,
  args: readonly unknown[],
  signal: AbortSignal,
): Promise<unknown> | AsyncIterable<unknown> {
  const body: unknown = Reflect.get(door, name)
  return Reflect.apply(body as AnyMethod, door, kind === 'call' ? args : [...args, { signal }])
}

type AnyMethod = (...args: unknown[]) => Promise<unknown> | AsyncIterable<unknown>

/** A door at the other end of something. */
export function doorOver<Door extends object>(
  table: DoorTable<Door>,
  transport: DoorTransport,
): Door {
  const methods = Object.entries<DoorMethod>(table).map(([name, { kind }]) => {
    const method = (...given: unknown[]): unknown => {
      if (kind === 'call') return transport.call(name, given.map(sendable))
      const { signal } = given.pop() as { signal: AbortSignal }
      return kind === 'wait'
        ? transport.call(name, given, signal)
        : transport.stream(name, given, signal)
    }
    return [name, method]
  })
  return Object.freeze(Object.fromEntries(methods)) as Door
}

/** Times in rules may be `Date`s, which travel as they are written. */
function sendable(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value) || value instanceof Uint8Array) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, one]: [string, unknown]) => [
      name,
      one instanceof Date ? one.toISOString() : one,
    ]),
  )
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 64))
}
