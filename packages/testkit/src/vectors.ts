/**
 * Published test vectors, which lie in `shared/vectors` beside the project and not in it. It knows where they are,
 * not what they say; where they are absent it gives undefined, and the test is skipped by name.
 */
import { readFileSync } from 'node:fs'

const PUBLISHED = new URL('../../../../shared/vectors/', import.meta.url)

/** A JSON file below `shared/vectors`, parsed, or undefined when it is not there. */
export function publishedVectors(relativePath: string): unknown {
  const bytes = publishedVectorBytes(relativePath)
  return bytes === undefined ? undefined : (JSON.parse(new TextDecoder().decode(bytes)) as unknown)
}

/** Any file below `shared/vectors`, or undefined when it is not there. */
export function publishedVectorBytes(relativePath: string): Uint8Array | undefined {
  try {
    return new Uint8Array(readFileSync(new URL(relativePath, PUBLISHED)))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}
