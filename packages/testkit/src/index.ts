/** `@stronghold/testkit`: what the tests of several packages share. Nothing in a `src/` imports it. */
export { manualClock } from './clock.ts'
export type { ManualClock } from './clock.ts'
export { publishedVectorBytes, publishedVectors } from './vectors.ts'
export { heldBytes } from './memory.ts'
