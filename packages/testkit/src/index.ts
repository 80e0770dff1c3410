export { manualClock } from './clock.ts'
export type { ManualClock } from './clock.ts'
export { publishedVectorBytes, publishedVectors } from './vectors.ts'
export { heldBytes } from './memory.ts'
