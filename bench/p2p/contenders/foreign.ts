/**
 * Loads what only the benchmarks use. Its types are written down where it is used, no more of them than that, since
 * it is not there when the types of the project are checked.
 */

/** The module of this name, taken at its word. */
export async function foreign<Module>(name: string): Promise<Module> {
  return (await import(name)) as Module
}
