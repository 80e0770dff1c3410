/** Every bound of this package: unit, default, effect. */

/** Most rules of one vault. One more is refused when the list is made. */
export const MAX_RULES = 1024
/** Most peers, procedures, paths or formats that one rule names, and most limits. */
export const MAX_RULE_LIST = 64
/** Longest note of a rule, in characters. */
export const MAX_NOTE_LENGTH = 256
/** Most uses that one limit of a rule may allow per window. */
export const MAX_LIMIT_COUNT = 1_000_000
/** Longest window of a limit, in milliseconds: 366 days. */
export const MAX_WINDOW_MS: number = 366 * 86_400_000
