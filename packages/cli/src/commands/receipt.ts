/** `receipt`: what a receipt says, and whether it holds. Needs no vault: the peer id alone decides. */
import { fromHex, toHex } from '@stronghold/core'
import type { Receipt } from '@stronghold/guard'
import { z } from 'zod'

import { inBook, readBook } from '../book.ts'
import { defineCommand } from '../command.ts'
import type { Call, Command } from '../command.ts'
import { readInput, readWhole } from '../data.ts'
import { printMoment } from '../duration.ts'
import { Failure, quoted } from '../failure.ts'
import { MAX_RECEIPT_FILE_BYTES } from '../limits.ts'
import { readReceiptFile, stepOf } from '../receipt-file.ts'
import type { ReceiptFile } from '../receipt-file.ts'
import { remote } from '../terminal.ts'

const shape = {
  vault: z.string(),
  requester: z.string(),
  request: z.string(),
  uses: z.array(z.string()),
  rule: z.string().nullable(),
  approvals: z.array(z.string()),
  at: z.string(),
  position: z.int(),
}

const show = defineCommand({
  name: 'receipt show',
  says: 'Show what a receipt says, without checking it',
  operands: 'FILE',
  examples: [
    ['stronghold receipt show r.json', 'who used what, by which rule, when'],
    ['stronghold receipt show - < r.json', 'from a pipe'],
  ],
  prints: z.object(shape),
  async run(call) {
    const { decodeReceipt } = await import('@stronghold/guard/proofs')
    const { receipt: bytes } = await read(call)
    let receipt: Receipt
    try {
      receipt = decodeReceipt(bytes)
    } catch (cause) {
      throw new Failure('usage', `cannot read receipt ${quoted(call.operands[0] ?? '')}`, {
        reason: 'it is none',
        hint: 'one is written by: stronghold sign PEER:PATH --receipt FILE',
        cause,
      })
    }
    await call.terminal.result(asJson(receipt), table(call, receipt))
    await call.terminal.note('not checked: stronghold receipt verify')
  },
})

const verify = defineCommand({
  name: 'receipt verify',
  says: 'Check a receipt against the peer that gave it, without asking anybody',
  operands: 'FILE',
  options: {
    peer: { value: 'PEER', says: 'name or id of the Stronghold that gave it' },
    key: { value: 'HEX', says: "the vault's key, where it is known from elsewhere" },
    in: { value: 'FILE', says: 'what was signed: this very file' },
  },
  examples: [
    [
      'stronghold receipt verify r.json --peer home --in app.tgz',
      'that home, a name of the book, signed this file',
    ],
    ['stronghold receipt verify r.json --json', 'says by whom it is vouched for'],
  ],
  prints: z.object({
    ...shape,
    valid: z.boolean(),
    by: z.string().nullable(),
    in: z.string().nullable(),
  }),
  async run(call) {
    const { options, operands, terminal } = call
    const file = await read(call)
    const { verifyReceipt } = await import('@stronghold/guard')
    const { receiptCrypto } = await import('@stronghold/remote/connect')
    const verdict = await verifyReceipt(
      file.receipt,
      {
        ...(options.peer === undefined ? {} : { peer: await peerNamed(call, options.peer) }),
        ...(options.key === undefined ? {} : { key: fromHex(options.key) }),
        ...(file.outputs === undefined ? {} : { outputs: file.outputs }),
        ...(options.in === undefined
          ? {}
          : { request: await requestAbout(call, file, options.in) }),
      },
      receiptCrypto,
    )
    if (!verdict.valid) {
      throw new Failure(
        'verification_failed',
        `cannot verify receipt ${quoted(operands[0] ?? '')}`,
        {
          reason: verdict.fault.charAt(0).toLowerCase() + verdict.fault.slice(1),
          hint: `stronghold receipt show ${operands[0] ?? ''}`,
        },
      )
    }
    const { receipt, certifiedBy } = verdict
    const signed = options.in === undefined ? '' : `; what was signed is ${quoted(options.in)}`
    await terminal.result(
      { ...asJson(receipt), valid: true, by: certifiedBy ?? null, in: options.in ?? null },
      `valid, given by ${certifiedBy ?? 'the key that was named'}${signed}\n${table(call, receipt)}`,
    )
    if (options.peer === undefined && options.key === undefined) {
      await terminal.note('whether that is whom you meant, you decide; or name it by --peer')
    }
  },
})

/** A receipt as bytes, or as JSON that holds it in base64. */
async function read(call: Call): Promise<ReceiptFile> {
  return readReceiptFile(await readWhole(call, call.operands[0], MAX_RECEIPT_FILE_BYTES))
}

/** The hash of the request that the receipt would be about, had this input been signed. @throws `Failure` */
async function requestAbout(
  call: Call,
  { receipt, asked }: ReceiptFile,
  input: string,
): Promise<Uint8Array> {
  if (asked === undefined) {
    throw new Failure('usage', 'cannot use --in', {
      reason: 'the receipt is not one with what was asked beside it',
      hint: 'take the file that sign --receipt FILE wrote',
    })
  }
  const { decodeReceipt } = await import('@stronghold/guard/proofs')
  const { hashOfRequest } = await import('@stronghold/remote/connect')
  const step = stepOf(asked, await readInput(call, input))
  // What is too long to have been handed over is no request's.
  if (step === undefined) return new Uint8Array(32)
  const { vault, peer, id } = decodeReceipt(receipt).leaf
  const { reason, timeoutMs } = asked
  return hashOfRequest({ vault, peer, id, steps: [step], reason, timeoutMs })
}

async function peerNamed({ home }: Call, text: string): Promise<string> {
  const found = inBook(readBook(home), text)
  if (found !== undefined) return found.peer
  const { parsePeerId } = await import('@stronghold/p2p')
  return parsePeerId(text)
}

function asJson({ leaf }: Receipt): Record<string, unknown> {
  const { vault, peer, id, use, rule, approvals, at, position } = leaf
  return {
    vault: toHex(vault),
    requester: peer,
    request: toHex(id),
    uses: use.map(useText),
    rule,
    approvals: [...approvals],
    at: printMoment(at),
    position,
  }
}

function useText([procedure, role, path, , version]: Receipt['leaf']['use'][number]): string {
  return `${procedure}:${role} ${path}${version === undefined ? '' : `@${version}`}`
}

function table({ terminal, home }: Call, { leaf }: Receipt): string {
  const name = inBook(readBook(home), leaf.peer)?.name
  return terminal.table([
    ['vault', toHex(leaf.vault)],
    ['asked by', name === undefined ? remote(leaf.peer) : `${name}, ${leaf.peer}`],
    ['request', toHex(leaf.id)],
    ...leaf.use.map((use) => ['used', remote(useText(use))]),
    ['rule', leaf.rule ?? 'none: the owner'],
    ...leaf.approvals.map((by) => ['agreed', remote(by)]),
    ['at', printMoment(leaf.at)],
    ['audit', `entry ${leaf.position}`],
  ])
}

/** What `receipt` knows. */
export const RECEIPT_COMMANDS: readonly Command[] = [show, verify]
