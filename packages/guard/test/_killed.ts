/**
 * A life of a guard on a vault on disk that ends by being killed: told a request, it asks about it; told so, it approves it and
 * says what it released. One line of JSON each. Told a step as well, it kills itself there.
 */
import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'

import { encode, fromHex, toHex } from '@stronghold/core'
import { openVault } from '@stronghold/vault'

import { allApprovals } from '../src/all-approvals.ts'
import { openGuard } from '../src/guard.ts'
import { CI, HOME, signing, step as stepOf } from './guard-of.ts'

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
const steps = [...request.steps, stepOf('random', { length: 16 })]
const asked = await network.submit(CI, { ...request, steps })
say({ state: asked.state })
const answer = network.wait(CI, request.id)
const { value: told } = await lines.next()
const step = String(told).split(' ')[1]
const dieAt = (here: string): void => {
  if (here === step) process.kill(process.pid, 'SIGKILL')
}
say({ state: 'approving' })
const [approval] = await allApprovals(owner)
const transaction = vault.transaction.bind(vault)
vault.transaction = (body) => {
  dieAt('begun')
  const result = transaction((tx) => {
    const done = body(tx)
    dieAt('executed')
    return done
  })
  dieAt('committed')
  return result
}
if (approval !== undefined) await owner.decide([approval.boundHash], 'once')
const released = await answer
dieAt('released')
if (released.state === 'done') say({ outputs: toHex(encode(released.outputs)) })
// The end comes from outside.
setInterval(() => {}, 60_000)
