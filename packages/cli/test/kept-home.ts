/** A home whose vault a keeper holds, in a thread of its own and with the owner's socket, as `up` has it; without a network. */
import { randomFillSync } from 'node:crypto'
import { Worker } from 'node:worker_threads'

import { allApprovals } from '@stronghold/guard'
import type { Answer, Asker, PeerRequest } from '@stronghold/guard'
import { openKeeper } from '@stronghold/guard/keeper'
import type { Keeper } from '@stronghold/guard/keeper'

import type { Clock } from '@stronghold/vault'

import { locateHome, peerOf, socketsOf } from '../src/home.ts'
import { Machine } from './machine.ts'

/** A thread runs sources, not what was built of them some time ago. */
const MAIN = new URL('../../guard/src/keeper/main.ts', import.meta.url)
const EXEC_ARGV = ['--conditions=@stronghold/source']

/** Two peers that it knows, and one that it does not. */
export const CI: Asker = { peer: `12D3KooWCi${'1'.repeat(42)}`, connection: '/memory/1' }
export const BOX: Asker = { peer: `12D3KooWBox${'2'.repeat(41)}`, connection: '/memory/2' }

/** A request to sign a text with `release/app`. */
export function signing(text: string, other: Partial<PeerRequest> = {}): PeerRequest {
  return signingAs(text, undefined, other)
}

/** The same in another format. */
export function signingAs(
  text: string,
  format: string | undefined,
  other: Partial<PeerRequest> = {},
): PeerRequest {
  const message = new TextEncoder().encode(text)
  const as = format === undefined ? {} : { as: { format } }
  return {
    id: randomFillSync(new Uint8Array(16)),
    steps: [{ procedure: 'sign', version: 1, input: { key: 'release/app', message, ...as } }],
    reason: '',
    timeoutMs: 600_000,
    receipt: false,
    ...other,
  }
}

/** What an answer says in a few words. */
export function told(answer: Answer): string {
  return answer.state === 'failed' ? `${answer.code} ${answer.reason ?? ''}`.trim() : answer.state
}

/** What may differ. */
export interface KeptHomeInit {
  readonly clock?: Clock
  /** A passphrase unlocks it, not a key file. Nobody has to type it: it stands in `pass`. */
  readonly passphrase?: string
  readonly confirmApprovals?: boolean
}

/** A home with a key at `release/app`; `ci` and `box` are known, and a person is asked before they sign with it. */
export class KeptHome implements AsyncDisposable {
  readonly machine: Machine
  readonly keeper: Keeper

  private constructor(machine: Machine, keeper: Keeper) {
    this.machine = machine
    this.keeper = keeper
  }

  static async start(init: KeptHomeInit = {}): Promise<KeptHome> {
    const machine = new Machine({}, init.clock)
    const { passphrase, confirmApprovals = false } = init
    if (passphrase === undefined) await machine.init()
    else {
      machine.write('pass', `${passphrase}\n`)
      await machine.done('init --passphrase-file pass')
      await machine.done('config set passphrase_file ../pass')
    }
    await machine.done('key create release/app')
    const home = locateHome({ env: {}, cwd: machine.cwd, userHome: machine.cwd }, 'home')
    const { owner: path } = socketsOf(home, {})
    const keeper = await openKeeper(
      {
        vault: { at: home.vault },
        peer: await peerOf(home),
        socket: { path, tokens: { admin: home.adminToken, approver: home.approverToken } },
        confirmApprovals,
        unlock:
          passphrase === undefined
            ? { by: 'key-file', path: machine.path('home.key') }
            : { by: 'passphrase-file', path: machine.path('pass') },
      },
      {
        thread: (workerData, transferList) =>
          new Worker(MAIN, { execArgv: EXEC_ARGV, workerData, transferList }),
      },
    )
    await keeper.owner.addPeer(CI.peer, 'ci')
    await keeper.owner.addPeer(BOX.peer, 'box')
    await keeper.owner.addRule({
      peers: ['known'],
      procedures: ['sign'],
      paths: ['release/**'],
      formats: ['sshsig', 'raw'],
      effect: 'ask',
    })
    return new KeptHome(machine, keeper)
  }

  /** Somebody asks. @returns the request, with what was answered at once */
  async ask(
    asker: Asker = CI,
    request: PeerRequest = signing('v2.4.0'),
  ): Promise<{ request: PeerRequest; answer: string; id: string }> {
    const before = new Set((await allApprovals(this.keeper.owner)).map(({ id }) => id))
    const answer = told(await this.keeper.network.submit(asker, request))
    const now = (await allApprovals(this.keeper.owner)).find(({ id }) => !before.has(id))
    return { request, answer, id: now?.id ?? '' }
  }

  /** Where a request is. */
  async where(request: PeerRequest, asker: Asker = CI): Promise<string> {
    return told(await this.keeper.network.submit(asker, request))
  }

  /** Nothing waits any more. */
  async clear(): Promise<void> {
    const waiting = await allApprovals(this.keeper.owner)
    if (waiting.length === 0) return
    await this.keeper.owner.decide(
      waiting.map(({ boundHash }) => boundHash),
      'deny',
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.keeper.close()
    this.machine[Symbol.dispose]()
  }
}
