/**
 * Inputs of `sign` that were read before, all but the message: what follows from the text of a key and the name of a format
 * is the same every time. Only what the schemas took is remembered, so that nothing is taken here that they refuse; whatever
 * looks in any way unlike is theirs to read. It runs nothing.
 */
import type { StepPlaces, Triple } from './catalog/index.ts'
import { MAX_READINGS } from './limits.ts'

/** What was read. */
export interface Reading {
  readonly triples: readonly Triple[]
  readonly places: readonly StepPlaces[]
  /** The input as code uses it; its message is that of the first. */
  readonly input: Readonly<Record<string, unknown>>
}

/** What an input says beside its message. */
interface Said {
  readonly key: string
  readonly message: Uint8Array
  readonly format: string | undefined
  readonly namespace: string | undefined
}

interface Known extends Reading {
  readonly said: Omit<Said, 'message'>
}

/** Readings of one unlocked vault. Those that came first go first. */
export class Readings {
  readonly #known = new Map<string, Known>()
  readonly #maxMessageBytes: number

  /** @param maxMessageBytes - inputs with a longer message are left to the schemas */
  constructor(maxMessageBytes: number) {
    this.#maxMessageBytes = maxMessageBytes
  }

  /** The same as the schemas give, or `undefined` where they have to say. */
  again(asked: unknown): Reading | undefined {
    const said = saidIn(asked)
    if (said === undefined || said.message.byteLength > this.#maxMessageBytes) return undefined
    const known = this.#known.get(nameOf(said))
    if (known === undefined || !isSame(known.said, said)) return undefined
    const { triples, places, input } = known
    return { triples, places, input: Object.freeze({ ...input, message: said.message }) }
  }

  /** Remembers what the schemas made of an input. */
  keep(asked: unknown, reading: Reading): void {
    const said = saidIn(asked)
    if (said === undefined) return
    const { key, format, namespace } = said
    for (const oldest of this.#known.keys()) {
      if (this.#known.size < MAX_READINGS) break
      this.#known.delete(oldest)
    }
    const { triples, places } = reading
    const input: Record<string, unknown> = { ...reading.input, message: new Uint8Array() }
    // Whoever carries a signature out shares them with whoever carries out the next.
    Object.freeze(input['key'])
    Object.freeze(input['as'])
    this.#known.set(nameOf(said), { triples, places, input, said: { key, format, namespace } })
  }
}

/** Not one to one: what is found under it is compared. */
function nameOf({ key, format, namespace }: Said): string {
  return format === undefined ? key : `${key} ${format} ${namespace ?? ''}`
}

function isSame(a: Omit<Said, 'message'>, b: Said): boolean {
  return a.key === b.key && a.format === b.format && a.namespace === b.namespace
}

/** The fields of an input of the usual form, each looked at once; `undefined` for any other. */
function saidIn(asked: unknown): Said | undefined {
  if (!isPlain(asked)) return undefined
  const names = Object.keys(asked)
  const hasAs = names.length === 3 && names.includes('as')
  if (!names.includes('key') || !names.includes('message')) return undefined
  if (names.length !== 2 && !hasAs) return undefined
  const { key, message } = asked
  if (typeof key !== 'string' || !(message instanceof Uint8Array)) return undefined
  if (!hasAs) return { key, message, format: undefined, namespace: undefined }
  const { as } = asked
  if (!isPlain(as)) return undefined
  const members = Object.keys(as)
  const hasNamespace = members.length === 2 && members.includes('namespace')
  if (!members.includes('format') || (members.length !== 1 && !hasNamespace)) return undefined
  const { format, namespace } = as
  if (typeof format !== 'string') return undefined
  if (!hasNamespace) return { key, message, format, namespace: undefined }
  return typeof namespace === 'string' ? { key, message, format, namespace } : undefined
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return (
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  )
}
