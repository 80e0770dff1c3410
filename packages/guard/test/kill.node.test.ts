/** A guard that is killed between an approval and the answer, at any moment: nothing is released twice, nothing is lost. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createHash, randomFillSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { encode, fromHex, toHex } from '@stronghold/core'
import { createVault, openVault } from '@stronghold/vault'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { allApprovals } from '../src/all-approvals.ts'
import type { Answer, Guard, PeerRequest } from '../src/doors.ts'
import { openGuard } from '../src/guard.ts'
import { decodeReceipt } from '../src/receipts.ts'
import { CI, HOME, signing, step } from './guard-of.ts'
import { sha256 } from './signing.ts'

const ROUNDS = process.env['STRONGHOLD_LONG'] === '1' ? 1000 : 20
/** Where a life ends in the first rounds, one each, and whether the signature is there in the next: after them, anywhere. */
const STEPS = [
  ['begun', false],
  ['executed', false],
  ['committed', true],
  ['released', true],
] as const
const SEED = Number(process.env['STRONGHOLD_SEED'] ?? 20)

const folder = mkdtempSync(join(tmpdir(), 'stronghold-killed-'))
const [path, keyFile] = [join(folder, 'vault'), join(folder, 'key')]

beforeAll(async () => {
  const secret = randomFillSync(new Uint8Array(32))
  writeFileSync(keyFile, `stronghold-key-1:${Buffer.from(secret).toString('base64')}\n`, {
    mode: 0o600,
  })
  const vault = await createVault({ at: path, credential: { keyFile: secret } })
  await using guard = openGuard({ vault, peer: HOME })
  const { owner } = guard
  await owner.run([step('generate', { to: 'release/app', type: 'ed25519' })])
  await owner.addPeer(CI.peer, 'ci')
  const rule = { peers: ['ci'], effect: 'ask' as const }
  await owner.addRule({ ...rule, procedures: ['sign'], paths: ['release/**'] })
  await owner.addRule({ ...rule, procedures: ['random'], paths: ['-'] })
})
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** The vault in the next life of its process. */
async function reopened(): Promise<Guard> {
  const guard = openGuard({ vault: await openVault({ at: path }), peer: HOME })
  await guard.owner.unlock({ by: 'key-file', path: keyFile })
  return guard
}

/** A process that will be killed; it has loaded what it needs before it is told anything. */
class Life {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #closed: Promise<unknown>

  constructor() {
    const script = fileURLToPath(new URL('_killed.ts', import.meta.url))
    const child = spawn(
      process.execPath,
      ['--conditions=@stronghold/source', script, path, keyFile],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
        env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'stronghold-compile-cache') },
      },
    )
    this.#child = child
    this.#closed = new Promise((resolve) => child.once('close', resolve))
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  }

  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`)
  }

  /** What it says next; `undefined` where nothing comes any more. */
  async hear(): Promise<Readonly<Record<string, string>> | undefined> {
    const { value, done } = await this.#lines.next()
    return done === true ? undefined : (JSON.parse(value) as Readonly<Record<string, string>>)
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#closed
  }
}

/** Numbers from 0 up to 1, the same for a seed. */
function numbers(seed: number): () => number {
  return () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return (seed >>> 8) / 2 ** 24
  }
}

/** What is signed, with bytes beside it that no second run would give again. */
function requestOf(id: string): PeerRequest {
  const request = signing('v2.4.0', 'release/app', { id: fromHex(id), receipt: true })
  return { ...request, steps: [...request.steps, step('random', { length: 16 })] }
}

/** Entries of the audit that say a request was executed. */
async function executed({ owner }: Guard, id: string): Promise<number[]> {
  const entries = await owner.auditEntries({ count: 50 })
  return entries.flatMap(({ position, facts }) => {
    const isIt = facts['id'] instanceof Uint8Array && toHex(facts['id']) === id
    return isIt && facts['outcome'] === 'executed' ? [position] : []
  })
}

/** What an answer released, and that its receipt and the audit are about it and name it once. */
async function released(guard: Guard, id: string, answer: Answer): Promise<string> {
  if (answer.state !== 'done' || answer.receipt === undefined) {
    throw new Error(`The request ended as ${JSON.stringify(answer)}`)
  }
  const outputs = encode(answer.outputs)
  const { leaf } = decodeReceipt(answer.receipt)
  expect(toHex(leaf.result)).toBe(toHex(sha256(outputs)))
  expect(await executed(guard, id)).toEqual([leaf.position])
  return toHex(outputs)
}

test(
  `a kill at each step between approval and answer releases one signature at most, ${ROUNDS} times with seed ${SEED}`,
  async () => {
    const next = numbers(SEED)
    const seen = { before: 0, between: 0, answered: 0 }
    let life = new Life()
    // How long it takes from an approval to its answer here, as the first life shows, which may end.
    let tookMs = 0
    for (let round = 0; round < ROUNDS; round++) {
      const id = createHash('sha256').update(`${SEED} ${round}`).digest('hex').slice(0, 32)
      const killed = life
      killed.say(id)
      expect(await killed.hear()).toEqual({ state: 'pending' })
      const [step, isThere] = STEPS[round - 1] ?? []
      killed.say(step === undefined ? 'approve' : `approve ${step}`)
      expect(await killed.hear()).toEqual({ state: 'approving' })
      const beganMs = performance.now()
      let heard: string | undefined
      if (round === 0) {
        heard = (await killed.hear())?.['outputs']
        tookMs = performance.now() - beganMs
      } else if (step !== undefined) expect(await killed.hear()).toBeUndefined()
      else await new Promise((resolve) => setTimeout(resolve, next() * 1.5 * tookMs))
      await killed.kill()
      life = new Life()
      heard ??= (await killed.hear())?.['outputs']

      await using guard = await reopened()
      const { owner, network } = guard
      const request = requestOf(id)
      const before = await executed(guard, id)
      let answer = await network.submit(CI, request)
      // It was executed before the kill, or nobody approved it yet: nothing stands between the two.
      expect(answer.state).toBe(before.length === 1 ? 'done' : 'pending')
      if (heard !== undefined) expect(answer.state).toBe('done')
      if (isThere !== undefined)
        expect({ step, isThere: before.length === 1 }).toEqual({ step, isThere })
      seen[heard !== undefined ? 'answered' : before.length === 1 ? 'between' : 'before']++
      if (answer.state === 'pending') {
        const [approval, another] = await allApprovals(owner)
        expect(another).toBeUndefined()
        await owner.decide([approval?.boundHash ?? new Uint8Array(32)], 'once')
        answer = await network.wait(CI, request.id)
      }
      const outputs = await released(guard, id, answer)
      if (heard !== undefined) expect(outputs).toBe(heard)
      expect(await released(guard, id, await network.submit(CI, request))).toBe(outputs)
      expect((await owner.verifyAudit()).faults).toEqual([])
      await network.acknowledge(CI, [request.id])
    }
    await life.kill()
    expect(seen.before + seen.between + seen.answered).toBe(ROUNDS)
  },
  ROUNDS * 5000,
)
