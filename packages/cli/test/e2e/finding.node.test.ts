/**
 * Two Strongholds that know each other's name and id, but not where the other is: found by each way of finding, reached through
 * a relay, and used. Everything runs in one process, over real sockets.
 */
import { networkInterfaces } from 'node:os'
import { createSocket } from 'node:dgram'

import { afterAll, beforeAll, expect, test } from 'vitest'

import { Machine } from '../machine.ts'
import type { Standing } from '../machine.ts'

const LOOPBACK = '/ip4/127.0.0.1/tcp/0'
const OFF = { STRONGHOLD_FIND_MDNS: 'false', STRONGHOLD_REACH_CHECK: 'false' }

/** Whether a multicast packet that this machine sends comes back to it, so that mDNS can work. */
async function hasMulticast(): Promise<boolean> {
  const own = Object.values(networkInterfaces()).flat()
  if (!own.some((one) => one?.family === 'IPv4')) return false
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  try {
    return await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => {
        resolve(false)
      }, 1000)
      socket.once('error', () => {
        resolve(false)
      })
      socket.once('message', () => {
        clearTimeout(timer)
        resolve(true)
      })
      socket.bind(0, () => {
        socket.addMembership('224.0.0.251')
        socket.setMulticastLoopback(true)
        socket.send('?', socket.address().port, '224.0.0.251')
      })
    })
  } catch {
    return false
  } finally {
    socket.close()
  }
}

const isMulticast = await hasMulticast()

/** A relay, rendezvous point and node of the network; and a home that is reached through it alone. */
let relay: Machine
let home: Machine
let relaying: Standing
let served: Standing
beforeAll(async () => {
  relay = new Machine({ ...OFF, STRONGHOLD_FIND_DHT: 'true' })
  relaying = await relay.start(`relay serve --listen ${LOOPBACK} --rendezvous`)
  const at = String(relaying.ready.addrs[0])
  home = await new Machine({
    ...OFF,
    STRONGHOLD_FIND_MDNS: String(isMulticast),
    STRONGHOLD_FIND_RENDEZVOUS: at,
    STRONGHOLD_FIND_DHT: 'true',
    STRONGHOLD_FIND_DHT_BOOTSTRAP: at,
  }).init()
  await home.done('key create release/app')
  served = await home.start(`up --listen ${at}/p2p-circuit`)
})
afterAll(async () => {
  home.end()
  relay.end()
  await Promise.all([served.ended, relaying.ended])
  home[Symbol.dispose]()
  relay[Symbol.dispose]()
})

test.each([
  ['rendezvous', () => ({ STRONGHOLD_FIND_RENDEZVOUS: String(relaying.ready.addrs[0]) })],
  [
    'kademlia',
    () => ({
      STRONGHOLD_FIND_DHT: 'true',
      STRONGHOLD_FIND_DHT_BOOTSTRAP: String(relaying.ready.addrs[0]),
    }),
  ],
] as const)('found by %s, reached through a relay, a file is signed', async (way, settings) => {
  expect(await signedBy(way, settings())).toBe('relayed')
})

test.skipIf(!isMulticast)(
  'found by mdns where multicast works, reached through a relay, a file is signed',
  async () => {
    expect(await signedBy('mdns', { STRONGHOLD_FIND_MDNS: 'true' })).toBe('relayed')
    // What others on this network are told as soon as there is such: where it is on this network.
    await home.done(`net listen ${LOOPBACK}`)
    expect(await signedBy('mdns', { STRONGHOLD_FIND_MDNS: 'true' })).toBe('local')
  },
)

/** A machine that knows whom it means, and not where that is, has a file signed. @returns how it reached the home */
async function signedBy(way: string, settings: Readonly<Record<string, string>>): Promise<unknown> {
  using ci = new Machine({ ...OFF, STRONGHOLD_RELAY_PUNCH: 'false', ...settings })
  const { peer } = (await ci.done(`peer add home ${String(served.ready.peer)} --json`)).json
  expect(peer).toBe(served.ready.peer)
  const own = (await ci.done('status --json')).json.peer ?? (await identityOf(ci))
  const name = `${way}-${String(own).slice(-4).toLowerCase()}`
  await home.done(`peer add ${name} ${String(own)}`)
  await home.done([
    ...`rule add --peers ${name} --procedures sign,pub,verify --paths release/** --effect allow`.split(
      ' ',
    ),
    ...'--formats sshsig'.split(' '),
  ])
  ci.write('app.tgz', 'what is to be signed')
  await ci.done('sign home:release/app --in app.tgz --out app.tgz.sig --wait 30s')
  await ci.done('verify home:release/app --sig app.tgz.sig --in app.tgz')
  const peers = (await ci.done('net map --json')).json.peers as { name: string; way: string }[]
  const found = await ci.done(`net discover home --by ${way} --for 1500ms --json`)
  const [first] = [found.json as { source: string; peer: string; name: string }].flat()
  expect(first).toMatchObject({ source: way, peer: served.ready.peer, name: 'home' })
  return peers.find(({ name }) => name === 'home')?.way
}

/** The identity is made on first use. */
async function identityOf(machine: Machine): Promise<string> {
  await machine.run('peer connect home')
  return String((await machine.done('status --json')).json.peer)
}
