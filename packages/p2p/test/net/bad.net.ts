/**
 * Requests that may not be done twice, over a network that is slow, loses packets, is cut and has its router restarted:
 * `npm run test:net`, as root on Linux.
 */
import { afterEach, expect, test } from 'vitest'

import { Rig, whyNoCable, whyNot } from './rig.ts'
import type { Line, Process } from './rig.ts'

const not = whyNot() ?? whyNoCable()
const rigged = test.skipIf(not !== undefined)
const because = not === undefined ? '' : ` (skipped: ${not})`

const BAD = { delayMs: 100, lossPercent: 2 }
/** Longer than any request may take, and than any connection stays silent. */
const PARTITION_MS = 30_000
const RESTART_MS = 3000
/** Enough to see that it goes on. */
const ANSWERS = 50

let rig: Rig | undefined
afterEach(async () => {
  await rig?.[Symbol.asyncDispose]()
  rig = undefined
})

rigged(
  `100 ms, 2 % loss, 30 s cut, a router restarted: nothing is done twice, nothing lost without an error${because}`,
  async () => {
    rig = new Rig()
    rig.outside()
    rig.behind('home', 1, 'kept')
    const cable = await rig.farBehind('away', 2, 'kept', BAD)
    const address = `/ip4/${rig.relayHost}/tcp/4001`
    const relay = await rig.start('out', 'relay', address).until(isReady, 30_000)
    const through = `${address}/p2p/${String(relay['peer'])}`
    const home = rig.start('home', 'home', through)
    const ready = await home.until(isReady, 30_000)
    const away = rig.start('away', 'counter', `${through}/p2p-circuit/p2p/${String(ready['peer'])}`)

    await more(away, ANSWERS)
    cable.cut()
    await pause(PARTITION_MS)
    cable.mend()
    const mendedMs = Date.now()
    await more(away, ANSWERS)
    const backMs = Date.now() - mendedMs
    await rig.restartRouter('away', 2, RESTART_MS)
    const restartedMs = Date.now()
    await more(away, ANSWERS)
    const againMs = Date.now() - restartedMs
    // What was asked last has its time to end, too.
    const last = asked(away).length
    await away.until(({ type, number }) => ended(type) && Number(number) >= last, 60_000)
    await pause(15_000)

    const ran = numbersOf(home, 'ran')
    expect(new Set(ran).size).toBe(ran.length)
    const ends = away.lines.filter(({ type }) => ended(type))
    const all = asked(away).filter((number) => number < last)
    const unsaid = all.filter((number) => !ends.some((line) => line['number'] === number))
    expect(unsaid).toEqual([])
    expect(new Set(ends.map((line) => line['number'])).size).toBe(ends.length)
    const answers = away.lines.filter(({ type }) => type === 'answered')
    for (const line of answers) expect(line['answer']).toBe(line['number'])
    const did = new Set(ran)
    expect(answers.filter((line) => !did.has(Number(line['number'])))).toEqual([])
    // Who was told that it did not run can ask again.
    const failed = away.lines.filter(({ type }) => type === 'failed')
    expect(
      failed.filter((line) => line['ran'] === 'no' && did.has(Number(line['number']))),
    ).toEqual([])
    console.log(
      `asked ${all.length}, answered ${answers.length}, failed ${failed.length}, done ${ran.length}; ` +
        `answers again ${backMs} ms after the cut, ${againMs} ms after the restart`,
    )
  },
  240_000,
)

function isReady({ type }: Line): boolean {
  return type === 'ready'
}

function ended(type: string): boolean {
  return type === 'answered' || type === 'failed'
}

function numbersOf({ lines }: Process, type: string): number[] {
  return lines.filter((line) => line.type === type).map((line) => Number(line['number']))
}

function asked(away: Process): number[] {
  return numbersOf(away, 'asked')
}

/** So many requests that are asked from now on are answered. */
async function more(away: Process, count: number): Promise<void> {
  const from = asked(away).length
  const answered = new Set<unknown>()
  await away.until(({ type, number }) => {
    if (type === 'answered' && Number(number) >= from) answered.add(number)
    return answered.size >= count
  }, 90_000)
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
