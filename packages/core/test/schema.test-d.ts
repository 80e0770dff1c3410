/** What a schema takes and gives, seen by the compiler. */
import { expectTypeOf } from 'vitest'
import { z } from 'zod'

import { validate } from '../src/index.ts'
import type { BytesSchema, Checked, InferInput, InferOutput } from '../src/index.ts'

const counted = z.object({ text: z.string().transform((text) => text.length) })

expectTypeOf<InferInput<typeof counted>>().toEqualTypeOf<{ text: string }>()
expectTypeOf<InferOutput<typeof counted>>().toEqualTypeOf<{ text: number }>()
expectTypeOf<InferInput<BytesSchema>>().toEqualTypeOf<Uint8Array>()
expectTypeOf<InferOutput<BytesSchema>>().toEqualTypeOf<Uint8Array>()
expectTypeOf(validate(counted, 1)).toEqualTypeOf<
  Checked<{ text: number }> | Promise<Checked<{ text: number }>>
>()

// @ts-expect-error: what has no `~standard` is no schema
void validate({ parse: () => 1 }, 1)
