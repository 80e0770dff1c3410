/**
 * The closed set of codes that may cross the wire. Nothing here knows which protocol carries them.
 */

/** Status codes in wire order: the number of a code is its index here plus one (`wire.md §4.7`). */
export const STATUS_CODES = [
  'invalid_argument',
  'unauthenticated',
  'permission_denied',
  'not_found',
  'failed_precondition',
  'resource_exhausted',
  'deadline_exceeded',
  'canceled',
  'unavailable',
  'unimplemented',
  'data_loss',
  'internal',
] as const

/** One of the twelve codes with which a request may fail. */
export type StatusCode = (typeof STATUS_CODES)[number]

/** Whether the handler of a failed request started. */
export type Ran = 'no' | 'maybe' | 'yes'

/** `Ran` in wire order: the number of a value is its index here. */
export const RAN: readonly Ran[] = ['no', 'maybe', 'yes']

/** Narrows a string to a status code. */
export function isStatusCode(value: unknown): value is StatusCode {
  return typeof value === 'string' && (STATUS_CODES as readonly string[]).includes(value)
}
