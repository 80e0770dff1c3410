/** Messages that nobody meant, made of valid ones: the same in every run. */

/** How many each parser gets. */
export const INPUTS: number = process.env['STRONGHOLD_LONG'] === '1' ? 5_000_000 : 200_000

/** Numbers below a bound, always the same ones. */
export function numbers(): (below: number) => number {
  let state = 42
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** The beginning of one, with one to four bytes changed to numbers below `values`. */
export function mangled(
  seed: Uint8Array,
  random: (below: number) => number,
  values = 256,
): Uint8Array {
  const bytes = seed.slice(0, 1 + random(seed.byteLength))
  for (let flips = random(4); flips >= 0; flips--) bytes[random(bytes.length)] = random(values)
  return bytes
}

/**
 * Gives `INPUTS` of them to a parser, which may read them or throw a `SyntaxError`, and nothing else.
 *
 * @returns how many it refused
 */
export function refusalsOf(
  parse: (bytes: Uint8Array) => unknown,
  seeds: readonly Uint8Array[],
): number {
  // Errors are cheap to make but for their stacks.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  const random = numbers()
  let refused = 0
  try {
    for (let i = 0; i < INPUTS; i++) {
      const bytes = mangled(seeds[random(seeds.length)] as Uint8Array, random)
      if (!isRead(parse, bytes)) refused += 1
    }
    return refused
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

function isRead(parse: (bytes: Uint8Array) => unknown, bytes: Uint8Array): boolean {
  try {
    parse(bytes)
    return true
  } catch (error) {
    if (error instanceof SyntaxError) return false
    throw error
  }
}
