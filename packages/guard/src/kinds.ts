/** Which rows of a vault are whose in the guard. */

/** Kinds of rows that are the guard's (`vault-format.md §2`). */
export const KINDS = {
  rules: 16,
  ruleHistory: 17,
  peer: 18,
  request: 19,
  grant: 20,
  usage: 21,
  ticket: 22,
  key: 23,
  bucket: 24,
  kept: 25,
} as const
