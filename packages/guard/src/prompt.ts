/** A pending request as a person sees it: who, what, why, which rule, how long. Everything a peer said is escaped and cut. */
import { escapeRemote, fromHex } from '@stronghold/core'
import { previewOf } from '@stronghold/vault'
import { procedureOf } from '@stronghold/vault/catalog'

import type { Book } from './book.ts'
import { formatsOf } from './deciding.ts'
import type { PendingApproval, Preview } from './doors.ts'
import type { HeldRequest } from './held.ts'
import { approvalId, requestName } from './ids.ts'
import { MAX_REASON_SHOWN } from './limits.ts'
import { sentence } from './rules/print.ts'

/** What is shown of a request, or `undefined` where nobody is asked about it. */
export function pendingApproval(held: HeldRequest, book: Book): PendingApproval | undefined {
  if (held.state.phase !== 'pending') return undefined
  const { boundHash, rule } = held.state.ask
  const asking = book.rules.rules.find(({ id }) => id === rule)
  const context = {
    vocabulary: book.vocabulary,
    nameOf: (peer: string) => book.peer(peer)?.name,
  }
  const steps = held.steps.map((_, index) => preview(held, index))
  return {
    id: approvalId(fromHex(boundHash)),
    boundHash: fromHex(boundHash),
    request: requestName(fromHex(held.id)),
    peer: held.peer,
    peerName: book.peer(held.peer)?.name ?? held.peer,
    connection: escapeRemote(held.connection, MAX_REASON_SHOWN),
    askedAtMs: held.askedAtMs,
    expiresAtMs: held.expiresAtMs,
    reason: escapeRemote(held.reason, MAX_REASON_SHOWN),
    rule: {
      id: rule,
      sentence: asking === undefined ? '' : sentence(asking, context),
      note: asking?.note ?? '',
    },
    steps,
    grantable: held.grantable && !steps.some(({ blind }) => blind),
  }
}

function preview(held: HeldRequest, index: number): Preview {
  const step = held.steps[index]
  const procedure = step?.procedure ?? ''
  const found = procedureOf(procedure)
  const records = held.touched.flatMap(({ step: at, role, path, record }) =>
    at === index && record !== undefined ? [{ role, path, version: record.version }] : [],
  )
  const shown = previewOf(procedure, step?.input ?? {})
  const formats = found === undefined ? [] : formatsOf(found, step?.input)
  return {
    procedure,
    records,
    ...(formats[0] === undefined ? {} : { format: formats.join(', ') }),
    ...shown,
  }
}
