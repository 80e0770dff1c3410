/** What several commands print, for their schemas. */
import { z } from 'zod'

/** A connection with a peer. */
export const connectedShape: {
  readonly peer: z.ZodString
  readonly address: z.ZodString
  readonly way: z.ZodString
  readonly security: z.ZodString
  readonly rttMs: z.ZodNullable<z.ZodNumber>
} = {
  peer: z.string(),
  address: z.string(),
  /** `local`, `lan`, `direct` or `relayed`. */
  way: z.string(),
  security: z.string(),
  rttMs: z.number().nullable(),
}
