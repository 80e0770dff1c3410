/** All lines of an audit, from the pages in which an owner door gives them. It reads none of them and knows no guard. */

/** All lines of an export that comes page by page, as an owner door gives it, without their ends. */
export async function* exportLines(door: {
  auditLines(options?: { from?: number; head?: Uint8Array }): Promise<{
    readonly lines: readonly string[]
    readonly head: Uint8Array
    readonly next?: number
  }>
}): AsyncGenerator<string, void> {
  let page = await door.auditLines()
  yield* page.lines
  while (page.next !== undefined) {
    page = await door.auditLines({ from: page.next, head: page.head })
    yield* page.lines
  }
}
