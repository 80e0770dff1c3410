/** A program of its own: floods a TCP listener until no descriptor is left, lets go, and is served again. */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'

import { multiaddr } from '@multiformats/multiaddr'

import { tcp } from '../../src/transports/tcp.ts'

import { turns } from './pipe-events.ts'
import { components, PipeUpgrader } from './upgraders.ts'

const transport = tcp()(components)
const upgrader = new PipeUpgrader()
const listener = transport.createListener({ upgrader })
await listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))
const [address] = listener.getAddrs()
if (address === undefined) throw new Error('not listening')
const port = Number(address.getComponents()[1]?.value)

const flood: Socket[] = []
let refused = 0
for (let i = 0; i < 100; i++) {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.on('error', () => refused++)
  flood.push(socket)
}
await turns(200)
if (refused === 0) throw new Error('there were descriptors for everybody')
for (const socket of flood) socket.destroy()
upgrader.destroy()
await turns(50)

const before = upgrader.inbound.length
const honest = connect({ port, host: '127.0.0.1' })
await once(honest, 'connect')
await upgrader.arrivals(before + 1)
console.log('served after the flood')
process.exit()
