/** What every transport that listens does, whatever it runs on. */
import type { Transport } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import { describe, expect, test } from 'vitest'

import type { Pipe } from '../../src/connection/pipe.ts'
import { isP2pError } from '../../src/errors.ts'

import { pattern, Recorder, turns } from './pipe-events.ts'
import { pipeSuite } from './pipe-suite.ts'
import type { PipeSuite } from './pipe-suite.ts'
import { PipeUpgrader, RefusingUpgrader, StuckUpgrader } from './upgraders.ts'
import type { Taken } from './upgraders.ts'

export interface TransportSuite extends Omit<PipeSuite, 'open'> {
  transport: Transport
  /** Where to listen; the first two may be listened on at once. */
  addresses: [Multiaddr, Multiaddr]
  /** Where nobody listens. */
  nowhere: Multiaddr
}

const PEER = '/p2p/12D3KooWQMhKfCxdCBUnLG1NLd4tYyvM85iPLxtsUDS7zk93zu1u'
const { signal } = new AbortController()

export function transportSuite(name: string, suite: TransportSuite): void {
  const { transport, addresses, nowhere } = suite

  pipeSuite(name, {
    ...suite,
    open: async () => {
      const upgrader = new PipeUpgrader()
      const listener = transport.createListener({ upgrader })
      await listener.listen(addresses[0])
      const [near, far] = await connect(upgrader, listener.getAddrs()[0] as Multiaddr)
      await listener.close()
      return [near, far]
    },
  })

  async function connect(upgrader: PipeUpgrader, address: Multiaddr): Promise<[Pipe, Pipe]> {
    const count = upgrader.inbound.length + 1
    await transport.dial(address, { upgrader, signal })
    const far = (await upgrader.arrivals(count)).at(-1)
    const near = upgrader.outbound.at(-1)
    if (far === undefined || near === undefined) throw new Error('nothing was connected')
    return [near.pipe, far.pipe]
  }

  describe(`the transport over ${name}`, () => {
    test('listens on several addresses at once, and on the rest when one is stopped', async () => {
      const upgrader = new PipeUpgrader()
      const one = transport.createListener({ upgrader })
      const two = transport.createListener({ upgrader })
      let listening = 0
      let closed = 0
      one.addEventListener('listening', () => listening++)
      one.addEventListener('close', () => closed++)
      await Promise.all([one.listen(addresses[0]), two.listen(addresses[1])])
      const [first] = one.getAddrs() as [Multiaddr]
      const [second] = two.getAddrs() as [Multiaddr]
      const [near, far] = await connect(upgrader, first)
      await connect(upgrader, second)
      await one.close()
      await one.close()
      expect([listening, closed, one.getAddrs()]).toEqual([1, 1, []])
      // What stands, stays.
      const atFar = new Recorder(far)
      near.write([pattern(10)])
      await atFar.until(() => atFar.bytes === 10)
      await expect(transport.dial(first, { upgrader, signal })).rejects.toSatisfy((error) =>
        isP2pError(error, 'unavailable'),
      )
      await connect(upgrader, second)
      await two.close()
      upgrader.destroy()
    })

    test('an address is free again once its listener is closed', async () => {
      const upgrader = new PipeUpgrader()
      const one = transport.createListener({ upgrader })
      await one.listen(addresses[0])
      const [address] = one.getAddrs() as [Multiaddr]
      const taken = transport.createListener({ upgrader })
      await expect(taken.listen(address)).rejects.toSatisfy((error) =>
        isP2pError(error, 'failed_precondition'),
      )
      expect(taken.getAddrs()).toEqual([])
      await taken.close()
      await one.close()
      const again = transport.createListener({ upgrader })
      await again.listen(address)
      await again.close()
    })

    test('a listener that is closed while it comes up does not listen', async () => {
      const listener = transport.createListener({ upgrader: new PipeUpgrader() })
      const up = listener.listen(addresses[0])
      await listener.close()
      await up.catch(() => {})
      expect(listener.getAddrs()).toEqual([])
    })

    test('a listener is used once, for an address of its kind', async () => {
      const listener = transport.createListener({ upgrader: new PipeUpgrader() })
      await listener.listen(addresses[0])
      await expect(listener.listen(addresses[0])).rejects.toThrow(TypeError)
      await listener.close()
      const other = transport.createListener({ upgrader: new PipeUpgrader() })
      await expect(other.listen(multiaddr('/ip4/127.0.0.1/udp/0/quic-v1'))).rejects.toThrow(
        TypeError,
      )
    })

    test('tells upgraders the direction and the addresses, the dialled one with its peer id', async () => {
      const upgrader = new PipeUpgrader()
      const listener = transport.createListener({ upgrader })
      await listener.listen(addresses[0])
      const address = (listener.getAddrs()[0] as Multiaddr).encapsulate(PEER)
      await connect(upgrader, address)
      const [near, far] = [upgrader.outbound[0], upgrader.inbound[0]]
      expect(near?.connection.direction).toBe('outbound')
      expect(near?.connection.remoteAddr.toString()).toBe(address.toString())
      expect(far?.connection.direction).toBe('inbound')
      const dialled = far?.connection.remoteAddr as Multiaddr
      expect(transport.dialFilter([dialled])).toEqual([dialled])
      upgrader.destroy()
      await listener.close()
    })

    test('a dial to where nobody listens is unavailable', async () => {
      const upgrader = new PipeUpgrader()
      const error: unknown = await transport
        .dial(nowhere, { upgrader, signal })
        .catch((error: unknown) => error)
      expect(isP2pError(error, 'unavailable')).toBe(true)
      expect((error as Error).message).toContain(`Cannot dial "${nowhere.toString()}": `)
      expect(error).toMatchObject({ layer: 'dial', ran: 'no', address: nowhere.toString() })
    })

    test('an aborted dial rejects with the reason of its signal, before and during the upgrade', async () => {
      const reason = new Error('changed my mind')
      const upgrader = new PipeUpgrader()
      const listener = transport.createListener({ upgrader })
      await listener.listen(addresses[0])
      const [address] = listener.getAddrs() as [Multiaddr]
      const before = transport.dial(address, { upgrader, signal: AbortSignal.abort(reason) })
      await expect(before).rejects.toBe(reason)
      expect(upgrader.outbound).toEqual([])

      const during = new AbortController()
      const dial = transport.dial(address, { upgrader, signal: during.signal })
      during.abort(reason)
      await expect(dial).rejects.toBe(reason)
      await turns(50)
      for (const { pipe } of upgrader.inbound) {
        const at = new Recorder(pipe)
        await at.until(() => at.closed)
      }
      await listener.close()
    })

    test('a connection that cannot be upgraded is reset, inbound and outbound', async () => {
      const upgrader = new RefusingUpgrader()
      const listener = transport.createListener({ upgrader })
      await listener.listen(addresses[0])
      const [address] = listener.getAddrs() as [Multiaddr]
      const accepting = new PipeUpgrader()
      await transport.dial(address, { upgrader: accepting, signal })
      const near = new Recorder((accepting.outbound[0] as Taken).pipe)
      await near.until(() => near.closed)
      expect(near.error).toBeInstanceOf(Error)
      await listener.close()

      const inbound = new PipeUpgrader()
      const open = transport.createListener({ upgrader: inbound })
      await open.listen(addresses[0])
      const dial = transport.dial(open.getAddrs()[0] as Multiaddr, { upgrader, signal })
      await expect(dial).rejects.toThrow('refused')
      const far = new Recorder((await inbound.arrivals(1))[0]?.pipe as Pipe)
      await far.until(() => far.closed)
      expect(far.error).toBeInstanceOf(Error)
      await open.close()
    })

    test('closing a listener aborts and resets what is not upgraded yet', async () => {
      const upgrader = new StuckUpgrader()
      const listener = transport.createListener({ upgrader })
      await listener.listen(addresses[0])
      const dialler = new PipeUpgrader()
      await transport.dial(listener.getAddrs()[0] as Multiaddr, { upgrader: dialler, signal })
      const [inbound] = await upgrader.arrivals(1)
      await listener.close()
      expect(inbound?.options.signal.aborted).toBe(true)
      const near = new Recorder((dialler.outbound[0] as Taken).pipe)
      await near.until(() => near.closed)
      expect(near.error).toBeInstanceOf(Error)
    })
  })
}
