// The package has no types. An ambient module can neither import at its top nor choose its exports.
/* eslint-disable @typescript-eslint/consistent-type-imports, no-restricted-syntax */
declare module 'sodium-native' {
  const sodium: import('./sodium.ts').Sodium
  export default sodium
}
