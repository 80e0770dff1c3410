/** Two hosts behind routers of their own and a relay, over the system's TCP: `npm run test:net`, as root on Linux. */
import { afterEach, expect, test } from 'vitest'

import { Rig, whyNot } from './rig.ts'
import type { Line, Ports, Process } from './rig.ts'

const not = whyNot()
const rigged = test.skipIf(not !== undefined)
const because = not === undefined ? '' : ` (skipped: ${not})`

let rig: Rig | undefined
afterEach(async () => {
  await rig?.[Symbol.asyncDispose]()
  rig = undefined
})

/** Both hosts up, and requests going every 100 ms. */
async function scene(home: Ports, away: Ports): Promise<{ host: Process; guest: Process }> {
  rig = new Rig()
  rig.outside()
  rig.behind('home', 1, home)
  rig.behind('away', 2, away)
  const address = `/ip4/${rig.relayHost}/tcp/4001`
  const relay = await rig.start('out', 'relay', address).until(isReady, 30_000)
  const through = `${address}/p2p/${String(relay['peer'])}`
  const host = rig.start('home', 'home', through)
  const ready = await host.until(isReady, 30_000)
  const target = `${through}/p2p-circuit/p2p/${String(ready['peer'])}`
  return { host, guest: rig.start('away', 'away', target) }
}

function isReady({ type }: Line): boolean {
  return type === 'ready'
}

function answered(ways: readonly boolean[]): (line: Line) => boolean {
  return (line) => line.type === 'answered' && JSON.stringify(line['ways']) === JSON.stringify(ways)
}

rigged(
  `behind two routers: relayed first, direct within five seconds, and the relayed connection goes${because}`,
  async () => {
    const { host, guest } = await scene('kept', 'kept')
    const first = await guest.until(
      ({ type, relayed }) => type === 'connected' && relayed === true,
      30_000,
    )
    const direct = await guest.until(
      ({ type, address, relayed }) =>
        type === 'connected' && relayed === false && String(address).includes('198.51.100.11'),
      10_000,
    )
    expect(Number(direct['atMs']) - Number(first['atMs'])).toBeLessThan(5000)
    expect(await host.until(({ type }) => type === 'direct', 10_000)).toMatchObject({
      reached: true,
    })
    await guest.until(answered([false]), 10_000)
    const sent = guest.lines.filter(({ type }) => type === 'answered').map((line) => line['sent'])
    expect(sent).toEqual(sent.map((_, i) => i))
  },
  90_000,
)

rigged(
  `behind a router that gives every destination another port the relayed connection stays${because}`,
  async () => {
    const { host, guest } = await scene('random', 'random')
    const failed = await host.until(({ type }) => type === 'direct', 60_000)
    expect(failed).toMatchObject({ reached: false, attempts: 3 })
    const before = guest.lines.length
    await guest.until(
      (line) => guest.lines.indexOf(line) > before && answered([true])(line),
      10_000,
    )
    expect(guest.lines.some(answered([true, false]))).toBe(false)
  },
  120_000,
)
