/** Receipts, as somebody checks them who has no vault. */
import { randomFillSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'

import { toHex } from '@stronghold/core'
import { CERTIFICATE_ENVELOPE, openGuard } from '@stronghold/guard'
import { createVault, MemoryStore } from '@stronghold/vault'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { peerIdOf, sealEnvelope, testKey } from '../../../guard/test/signing.ts'
import { Machine } from '../machine.ts'

const NODE = testKey(7)
const CI = peerIdOf(testKey(9))
const machine = new Machine()
let key: string

beforeAll(async () => {
  const vault = await createVault({
    at: new MemoryStore(),
    credential: { keyFile: randomFillSync(new Uint8Array(32)) },
  })
  await using guard = openGuard({ vault, peer: peerIdOf(NODE) })
  const { owner, network } = guard
  const step = (procedure: string, input: object) => ({
    procedure,
    version: 1,
    input: { ...input },
  })
  await owner.run([step('generate', { type: 'ed25519', to: 'release/app' })])
  await owner.addPeer(CI, 'ci')
  await owner.addRule({
    peers: ['ci'],
    procedures: ['sign'],
    paths: ['release/**'],
    effect: 'allow',
  })
  const request = await owner.certificateRequest()
  await owner.setCertificate(sealEnvelope(NODE, CERTIFICATE_ENVELOPE, request))
  const answer = await network.submit(
    { peer: CI, connection: '/memory/1' },
    {
      id: new Uint8Array(16).fill(3),
      steps: [step('sign', { key: 'release/app', message: new Uint8Array(8) })],
      reason: '',
      timeoutMs: 1000,
      receipt: true,
    },
  )
  if (answer.state !== 'done' || answer.receipt === undefined) throw new Error('no receipt')
  key = toHex(vault.head().publicKey)
  writeFileSync(machine.path('r.bin'), answer.receipt)
  const json = { v: 1, receipt: Buffer.from(answer.receipt).toString('base64') }
  writeFileSync(machine.path('r.json'), JSON.stringify(json))
  const changed = answer.receipt.slice()
  changed[200] = (changed[200] ?? 0) ^ 1
  writeFileSync(machine.path('changed.bin'), changed)
})
afterAll(() => {
  machine[Symbol.dispose]()
})

test('show says who used what, and that nothing was checked', async () => {
  const { stdout, stderr } = await machine.done('receipt show r.json')
  expect(stdout).toContain(`asked by  ${CI}`)
  expect(stdout).toContain('used      sign:key release/app@1')
  expect(stderr).toContain('not checked')
})

test('verify accepts it from the peer that gave it, as bytes and as JSON', async () => {
  for (const file of ['r.bin', 'r.json']) {
    const { json } = await machine.done(`receipt verify ${file} --peer ${peerIdOf(NODE)} --json`)
    expect(json).toMatchObject({ valid: true, by: peerIdOf(NODE), requester: CI })
  }
  expect((await machine.done(`receipt verify r.bin --key ${key}`)).exit).toBe(0)
})

test('another peer, another key, a changed bit: exit 11', async () => {
  const cases = [`r.bin --peer ${CI}`, `r.bin --key ${'00'.repeat(32)}`, 'changed.bin']
  for (const one of cases) expect((await machine.run(`receipt verify ${one}`)).exit).toBe(11)
})

test('what is no receipt is refused', async () => {
  writeFileSync(machine.path('junk.json'), '{"v":1}')
  expect((await machine.run('receipt show junk.json')).exit).toBe(2)
  writeFileSync(machine.path('junk.bin'), 'junk')
  expect((await machine.run('receipt show junk.bin')).exit).toBe(2)
})
