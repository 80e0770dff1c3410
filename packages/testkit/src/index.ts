export { heldBytes } from './memory.ts'
export { publishedVectorBytes, publishedVectors } from './vectors.ts'
