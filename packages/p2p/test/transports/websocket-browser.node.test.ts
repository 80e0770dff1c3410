/** The transport of browsers, on the `WebSocket` that Node.js has too, against our listener. */
import { multiaddr } from '@multiformats/multiaddr'
import type { Multiaddr } from '@multiformats/multiaddr'
import { describe, expect, test } from 'vitest'

import type { Clock } from '../../src/clock.ts'
import { isP2pError } from '../../src/errors.ts'
import { resolveLimits } from '../../src/limits.ts'
import { browserWebSocket } from '../../src/transports/websocket-browser.ts'
import { webSocket } from '../../src/transports/websocket-node.ts'

import { pattern, Recorder } from './pipe-events.ts'
import { pipeSuite } from './pipe-suite.ts'
import { components, PipeUpgrader } from './upgraders.ts'
import type { Taken } from './upgraders.ts'

const { signal } = new AbortController()

/** What a browser must be asked again and again is asked once a turn. */
const everyTurn: Clock = {
  nowMs: () => 0,
  setTimer: (_, fire) => {
    const immediate = setImmediate(fire)
    return () => {
      clearImmediate(immediate)
    }
  },
}

async function connect(limits = resolveLimits()): Promise<[Taken, Taken]> {
  const upgrader = new PipeUpgrader()
  const listener = webSocket()(components).createListener({ upgrader })
  await listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0/ws'))
  const browser = browserWebSocket({ limits, clock: everyTurn })(components)
  await browser.dial(listener.getAddrs()[0] as Multiaddr, { upgrader, signal })
  const [far] = (await upgrader.arrivals(1)) as [Taken]
  await listener.close()
  return [upgrader.outbound[0] as Taken, far]
}

pipeSuite('the WebSocket of a browser', {
  open: async () => {
    const [near, far] = await connect()
    return [near.pipe, far.pipe]
  },
  maxUnreadBytes: 16 * 1024 * 1024,
  halfClose: false,
})

describe('the WebSocket transport of a browser', () => {
  test('maxConnectionReceiveBytes: what comes while paused is held up to there, then the connection ends', async () => {
    for (const [length, fits] of [
      [50_000, true],
      [50_001, false],
    ] as const) {
      const [near, far] = await connect(resolveLimits({ maxConnectionReceiveBytes: 50_000 }))
      const atNear = new Recorder(near.pipe, false)
      const atFar = new Recorder(far.pipe)
      far.pipe.write([pattern(length)])
      if (fits) far.pipe.end()
      await atFar.until(() => atFar.closed)
      near.pipe.resume()
      await atNear.until(() => atNear.closed)
      expect(atNear.bytes).toBe(fits ? length : 0)
      expect(isP2pError(atNear.error, 'resource_exhausted')).toBe(!fits)
    }
  })

  test('listens on nothing, and dials names as they are', async () => {
    const browser = browserWebSocket()(components)
    const addresses = ['/dns4/a.test/tcp/443/tls/ws', '/ip4/1.2.3.4/tcp/1/ws'].map((a) =>
      multiaddr(a),
    )
    expect(browser.listenFilter(addresses)).toEqual([])
    expect(browser.dialFilter(addresses)).toEqual(addresses)
    expect(() => browser.createListener({ upgrader: new PipeUpgrader() })).toThrow(TypeError)
  })

  test('a dial that does not come through is unavailable, one that is aborted has the reason', async () => {
    const browser = browserWebSocket()(components)
    const upgrader = new PipeUpgrader()
    const nowhere = multiaddr('/ip4/127.0.0.1/tcp/1/ws')
    await expect(browser.dial(nowhere, { upgrader, signal })).rejects.toMatchObject({
      code: 'unavailable',
      layer: 'dial',
    })
    const controller = new AbortController()
    const dial = browser.dial(nowhere, { upgrader, signal: controller.signal })
    const reason = new Error('changed my mind')
    controller.abort(reason)
    await expect(dial).rejects.toBe(reason)
  })
})
