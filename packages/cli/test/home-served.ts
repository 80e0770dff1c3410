/** Two machines: a home that serves its vault on loopback and may go and come back, and one that asks it. */
import { allApprovals, openGuard } from '@stronghold/guard'
import type { Guard, PendingApproval, WrittenRule } from '@stronghold/guard'
import { createNode } from '@stronghold/p2p'
import type { Node } from '@stronghold/p2p'
import { serveVault } from '@stronghold/remote'
import { openVault } from '@stronghold/vault'
import type { OpenVault } from '@stronghold/vault'
import { expect } from 'vitest'

import { locateHome, peerOf } from '../src/home.ts'
import { Machine } from './machine.ts'

/** Requests of one peer that the home lets wait. */
export const MOST_PENDING = 3

/** A home that is up. */
interface Up {
  readonly node: Node
  readonly guard: Guard
  readonly vault: OpenVault
  readonly serving: AsyncDisposable
}

/** A home that serves, and a machine that it knows as `ci`. */
export class TwoMachines implements AsyncDisposable {
  readonly home: Machine = new Machine()
  readonly ci: Machine = new Machine()
  #up: Up | undefined
  #address = '/ip4/127.0.0.1/tcp/0'

  /** Keys `release/app` and `box/key`; `ci` is known there and may do nothing. */
  async start(): Promise<this> {
    await this.home.init()
    await this.home.done('key create release/app')
    await this.home.done('key create box/key --type xchacha20-poly1305')
    await this.up()
    await this.guard.owner.addPeer(await this.ciPeer(), 'ci')
    await this.ci.done(`peer add home ${this.node.addresses[0] ?? ''}`)
    return this
  }

  async ciPeer(): Promise<string> {
    return await peerOf(locateHome({ env: {}, cwd: this.ci.cwd, userHome: this.ci.cwd }, 'home'))
  }

  get node(): Node {
    return this.#now.node
  }

  get guard(): Guard {
    return this.#now.guard
  }

  /** The home comes up, unlocked, where it was before. */
  async up(): Promise<void> {
    const node = await createNode({
      identity: this.home.path('home', 'identity'),
      listen: [this.#address],
    })
    this.#address = (node.addresses[0] ?? '').replace(/\/p2p\/.*/, '')
    const vault = await openVault({ at: this.home.path('home', 'vault'), command: 'test' })
    const guard = openGuard({ vault, peer: node.peer, limits: { maxPendingPerPeer: MOST_PENDING } })
    this.#up = { node, guard, vault, serving: serveVault(node, guard) }
    await this.unlock()
  }

  async unlock(): Promise<void> {
    await this.guard.owner.unlock({ by: 'key-file', path: this.home.path('home.key') })
  }

  /** The home goes. */
  async down(): Promise<void> {
    const { node, guard, serving } = this.#now
    this.#up = undefined
    await node.stop()
    await serving[Symbol.asyncDispose]()
    await guard.close()
  }

  async rule(rule: Partial<WrittenRule> & Pick<WrittenRule, 'effect'>): Promise<void> {
    await this.guard.owner.addRule({
      peers: ['ci'],
      procedures: ['sign'],
      paths: ['release/**'],
      ...rule,
    })
  }

  /** What is asked now, once it is there. */
  async asked(): Promise<PendingApproval> {
    const many = async (): Promise<number> => (await allApprovals(this.guard.owner)).length
    await expect.poll(many, { timeout: 15_000 }).toBe(1)
    const [approval] = await allApprovals(this.guard.owner)
    if (approval === undefined) throw new Error('nothing is asked')
    return approval
  }

  /** Somebody at home decides on what is asked now, and says what that was. */
  async decide(choice: 'once' | 'deny'): Promise<PendingApproval> {
    const asked = await this.asked()
    await this.guard.owner.decide([asked.boundHash], choice)
    return asked
  }

  get #now(): Up {
    if (this.#up === undefined) throw new Error('home is down')
    return this.#up
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#up !== undefined) await this.down()
    this.home[Symbol.dispose]()
    this.ci[Symbol.dispose]()
  }
}
