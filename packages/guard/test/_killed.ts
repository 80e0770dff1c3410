/**
 * A life of a guard on a vault on disk that ends by being killed: told a request, it asks about it; told so, it approves it and
 * says what it released. One line of JSON each.
 */
import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'

import { encode, fromHex, toHex } from '@stronghold/core'
import { openVault } from '@stronghold/vault'

import { allApprovals } from '../src/all-approvals.ts'
import { openGuard } from '../src/guard.ts'
import { CI, HOME, signing, step } from './guard-of.ts'

const say = (said: object): void => {
  writeSync(1, `${JSON.stringify(said)}\n`)
}

const [path = '', keyFile = ''] = process.argv.slice(2)
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const { value: id } = await lines.next()
const vault = await openVault({ at: path })
const { owner, network } = openGuard({ vault, peer: HOME })
await owner.unlock({ by: 'key-file', path: keyFile })
const request = signing('v2.4.0', 'release/app', { id: fromHex(String(id)), receipt: true })
const steps = [...request.steps, step('random', { length: 16 })]
const asked = await network.submit(CI, { ...request, steps })
say({ state: asked.state })
const answer = network.wait(CI, request.id)
await lines.next()
say({ state: 'approving' })
const [approval] = await allApprovals(owner)
if (approval !== undefined) await owner.decide([approval.boundHash], 'once')
const told = await answer
if (told.state === 'done') say({ outputs: toHex(encode(told.outputs)) })
// The end comes from outside.
setInterval(() => {}, 60_000)
