/** Records made at random, copied, changed and taken away. What leaves of them is a public key at most. */
import type {
  copy,
  gc,
  generate,
  narrow,
  random,
  RecordType,
  retire,
  revoke,
  rotate,
  slip10Generate,
} from '../catalog/index.ts'
import { makeRecord, publicHalf, randomSecret } from './pairs.ts'
import type { Tools } from './pairs.ts'
import type { AskedLabels, CreateHandle, Implementation, RecordOutput, Scope } from './registry.ts'

/** `generate` */
export function generating(tools: Tools): Implementation<typeof generate> {
  return (input, { to }, scope) => ({ record: generated(to, input, tools, scope) })
}

/** `slip10-generate` */
export function generatingSeed(tools: Tools): Implementation<typeof slip10Generate> {
  return (input, { to }, scope) => ({
    record: generated(to, { ...input, type: 'seed' }, tools, scope),
  })
}

function generated(
  to: CreateHandle,
  of: {
    type: RecordType
    length?: number | undefined
    labels?: AskedLabels | undefined
  },
  tools: Tools,
  scope: Scope,
): RecordOutput {
  const { type, length, labels } = of
  const secret = randomSecret(type, length, scope)
  return makeRecord(to, { type, secret, labels, origin: 'generated' }, tools, scope)
}

/** `copy` */
export function copying(tools: Tools): Implementation<typeof copy> {
  return ({ labels }, { from, to }, scope) => {
    const { type } = from
    const secret = from.secret()
    return { record: makeRecord(to, { type, secret, labels, origin: 'copied' }, tools, scope) }
  }
}

/** `rotate` */
export function rotating(tools: Tools): Implementation<typeof rotate> {
  return ({ length }, { key }, scope) => {
    const secret = randomSecret(key.type, length, scope)
    return { record: key.add(secret, publicHalf(key.type, secret, tools, scope)) }
  }
}

/** `retire` */
export const retiring: Implementation<typeof retire> = ({ below, remove }, { record }) => ({
  record: record.retire(below, remove === true),
})

/** `narrow` */
export const narrowing: Implementation<typeof narrow> = ({ labels }, { record }) => ({
  record: record.narrow(labels),
})

/** `revoke` */
export const revoking: Implementation<typeof revoke> = (_input, { record }) => {
  record.remove()
  return { id: Uint8Array.from(record.id) }
}

/** `gc` */
export const collecting: Implementation<typeof gc> = (_input, _handles, scope) => {
  scope.compactLater()
  return {}
}

/** `random` */
export const drawing: Implementation<typeof random> = ({ length }, _handles, scope) => {
  const bytes = new Uint8Array(length)
  scope.random(bytes)
  return { bytes }
}
