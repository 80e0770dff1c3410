/** A node of `createNode` and a peer in the manner of the Rust original, both ways. */
import { expect } from 'aegir/chai'

import type { Schema } from '../../packages/core/src/schema.ts'
import { original } from '../../packages/p2p/src/framings/original.ts'
import { parsePeerId } from '../../packages/p2p/src/identity.ts'
import { createNode } from '../../packages/p2p/src/node.ts'
import type { Node, NodeInit } from '../../packages/p2p/src/node-interface.ts'
import { defineProtocol, unary } from '../../packages/p2p/src/protocol.ts'

import { first } from './_ours.ts'
import { originalPeer } from './_original.ts'
import type { OriginalPeer } from './_original.ts'

const PROTOCOLS = ['/stronghold-p2p/1.0.0', '/p2p/1.0.0'] as const

const text: Schema<string, string> = {
  '~standard': {
    version: 1,
    vendor: 'interop',
    validate: (value) =>
      typeof value === 'string' ? { value } : { issues: [{ message: 'no string' }] },
  },
}
const greeting = defineProtocol('/interop/greeting/1.0.0', {
  greet: unary({ request: text, response: text }),
})

let peer: OriginalPeer

beforeEach(async () => {
  peer = await originalPeer(PROTOCOLS, (request) => JSON.stringify(`heard ${request}`))
})

afterEach(() => peer.stop())

async function ourNode(init: NodeInit): Promise<Node> {
  const node = await createNode(init)
  node.serve(greeting, { greet: (name) => `Hello, ${name}` }, { as: [original()] })
  return node
}

const open: NodeInit = {
  listen: ['/ip4/127.0.0.1/tcp/0'],
  firewall: { inbound: { fallback: 'allow' } },
}

describe('createNode and a peer like the Rust original', () => {
  it('the peer dials us, asks under both its protocol ids, and is pinged', async () => {
    await using we = await ourNode(open)
    const connected = first(we, 'connected')
    const connection = await peer.dial(we.addresses[0] ?? '')
    expect(await connected).to.include({
      peer: peer.peer,
      direction: 'inbound',
      transport: 'tcp',
      security: 'noise',
      muxer: '/yamux/1.0.0',
    })
    for (const protocol of PROTOCOLS) {
      expect(await connection.ask(protocol, '"Ada"')).to.equal('"Hello, Ada"')
    }
    // The muxer answers where the peer has no protocol for it.
    expect(await we.ping((await connected).peer)).to.be.at.least(0)
  })

  it('we dial the peer and ask; it asks back on the same connection', async () => {
    await using we = await ourNode({ ...open, listen: [] })
    const address = await peer.listen()
    for (const protocol of PROTOCOLS) {
      const remote = we.client(greeting, [address], { as: original({ protocol }) })
      expect(await remote.greet('Ada')).to.equal('heard "Ada"')
    }
    const all = Array.from({ length: 20 }, (_, i) => `number ${i}`)
    const remote = we.client(greeting, [address], { as: original() })
    expect(await Promise.all(all.map((one) => remote.greet(one)))).to.deep.equal(
      all.map((one) => `heard "${one}"`),
    )
    const connection = await peer.accepted()
    expect(await connection.ask(PROTOCOLS[0], '"Bob"')).to.equal('"Hello, Bob"')
    expect(we.connections()).to.have.lengthOf(1)
    expect(we.connections()[0]).to.include({ direction: 'outbound', security: 'noise' })
  })

  it('the peer knows no identify when we ask for it, and its connection stays', async () => {
    await using we = await ourNode({ ...open, listen: [] })
    const address = await peer.listen()
    const { peer: id } = await we.connect([address])
    const connection = await peer.accepted()
    expect(await we.ping(id)).to.be.at.least(0)
    expect(await connection.ask(PROTOCOLS[1], '"Ada"')).to.equal('"Hello, Ada"')
    expect(connection.asked).to.include('/ipfs/id/1.0.0')
    expect(we.connections(id)).to.have.lengthOf(1)
  })

  it('a peer that no rule lets in hears `na`, as for a protocol nobody knows, and its connection stays', async () => {
    await using we = await ourNode({ listen: open.listen ?? [] })
    const connection = await peer.dial(we.addresses[0] ?? '')
    for (const protocol of [...PROTOCOLS, '/nobody/1.0.0']) {
      await refused(protocol, connection.ask(protocol, '"Ada"'))
    }
    we.firewall.set('inbound', parsePeerId(peer.peer), 'allow')
    expect(await connection.ask(PROTOCOLS[0], '"Ada"')).to.equal('"Hello, Ada"')
  })
})

async function refused(protocol: string, asked: Promise<string>): Promise<void> {
  const error: unknown = await asked.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).to.be.instanceOf(Error).with.property('message', `${protocol} is not known there`)
}
