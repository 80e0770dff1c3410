export { publishedVectorBytes, publishedVectors } from './vectors.ts'
