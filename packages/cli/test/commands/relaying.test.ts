/** Relays, and what the doctor says of a network, as somebody types it: real nodes on loopback, in one process. */
import { readFileSync } from 'node:fs'

import { afterAll, beforeAll, expect, test } from 'vitest'

import { Machine } from '../machine.ts'
import type { Standing } from '../machine.ts'

const QUIET = { STRONGHOLD_FIND_MDNS: 'false', STRONGHOLD_REACH_CHECK: 'false' }
const LOOPBACK = '/ip4/127.0.0.1/tcp/0'

let relay: Machine
let home: Machine
let ci: Machine
let relaying: Standing
let served: Standing
let at: string
beforeAll(async () => {
  relay = new Machine(QUIET)
  home = await new Machine(QUIET).init()
  ci = new Machine({ ...QUIET, STRONGHOLD_RELAY_PUNCH: 'false' })
  relaying = await relay.start(
    `relay serve --listen ${LOOPBACK} --quota circuits=9,bytes-per-day=1MiB --rendezvous`,
  )
  at = String(relaying.ready.addrs[0])
  served = await home.start(`up --listen ${at}/p2p-circuit`)
})
afterAll(async () => {
  for (const machine of [home, ci, relay]) machine.end()
  await Promise.all([served.ended, relaying.ended])
  for (const machine of [home, ci, relay]) machine[Symbol.dispose]()
})

/** Waits until something holds, for some seconds at most. */
async function until(holds: () => Promise<boolean>): Promise<boolean> {
  const untilMs = performance.now() + 8000
  while (!(await holds())) if (performance.now() > untilMs) return false
  return true
}

test('who listens through a relay is reached through it, and both see it', async () => {
  expect(served.ready.addrs).toEqual([`${at}/p2p-circuit/p2p/${String(served.ready.peer)}`])
  await ci.done(`peer add home ${String(served.ready.addrs[0])}`)
  const { json } = await ci.done('peer connect home --json')
  expect(json).toMatchObject({ name: 'home', way: 'relayed', security: 'noise' })
  const { relays } = (await home.done('relay status --json')).json
  expect(relays).toMatchObject([{ state: 'reserved', failures: 0 }])
  const { serving } = (await relay.done('relay status --json')).json
  expect(serving).toMatchObject({ everybody: true, reservations: 1, circuits: 1, refused: 0 })
  expect(serving.bytes).toBeGreaterThan(100)
  expect((await relay.done('relay usage')).stdout).toContain(String(served.ready.peer))
  expect((await relay.done('relay status --metrics')).stdout).toMatch(
    /# TYPE stronghold_relay_bytes_total counter\nstronghold_relay_bytes_total [1-9]/,
  )
})

test('the live view draws until ^C', async () => {
  const person = new AbortController()
  let drawn = 0
  const { exit, stdout } = await relay.run('relay status --watch', {
    columns: 100,
    ending: person.signal,
    onStdout: () => {
      drawn++
      if (drawn === 2) person.abort()
    },
  })
  expect(exit).toBe(0)
  expect(stdout.split('\u001b[H\u001b[J')).toHaveLength(3)
  expect(stdout).toContain('1 reservation')
})

test('who is denied is cut off and refused, now and after a restart, with its quota', async () => {
  const peer = String(served.ready.peer)
  expect((await relay.run('relay quota home circuits=2')).exit).toBe(9)
  const { json } = await relay.done(`relay quota ${peer} circuits=2 circuit-time=2m --json`)
  expect(json.quota).toEqual({ circuits: 2, circuitMs: 120_000 })
  expect((await relay.run(`relay quota ${peer} circuits=many`)).exit).toBe(2)
  // Of everybody, too, it counts at once: the next circuit is refused.
  const before = (await relay.done('relay quota everybody --json')).json.quota as unknown
  await relay.done('relay quota everybody circuits=0')
  const full = await ci.run('peer connect home')
  expect(full.exit).toBe(8)
  expect(full.stderr).toContain('too many circuits stand')
  expect((await relay.done('relay quota everybody circuits=9,bytes-per-day=1MiB')).stderr).toBe('')
  expect((await relay.done('relay quota everybody --json')).json.quota).toEqual(before)
  await ci.done('peer connect home')
  await relay.done(`relay deny ${peer}`)
  const refused = async (): Promise<boolean> => (await ci.run('peer connect home')).exit === 8
  expect(await until(refused)).toBe(true)
  await relay.done('down')
  expect((await relaying.ended).exit).toBe(0)
  const bare = at.replace(/\/p2p\/.*/, '')
  relaying = await relay.start(`relay serve --listen ${bare}`)
  expect((await relay.done(`relay quota ${peer} --json`)).json.quota.circuits).toBe(2)
  const kept = JSON.parse(readFileSync(relay.path('home', 'relay.json'), 'utf8')) as unknown
  expect(kept).toMatchObject({ denied: [peer], quota: { circuits: 9, bytesPerDay: 1024 ** 2 } })
  const status = async (): Promise<string> => (await home.done('relay status')).stdout
  expect(await until(async () => /waiting.*does not let us/.test(await status()))).toBe(true)
  const doctor = await home.run('doctor')
  expect(doctor.exit).toBe(1)
  expect(doctor.stdout).toMatch(/^bad {6}relay {8}not reached through /m)
  expect(doctor.stdout).toContain('hint: see whether it is up')
  await relay.done(`relay allow ${peer}`)
  expect(await until(async () => (await status()).includes('reserved'))).toBe(true)
  expect((await home.run('doctor')).exit).toBe(0)
})

test('use and unuse count now, and stand in the configuration', async () => {
  await home.done(`relay unuse ${at}`)
  expect((await home.run(`relay unuse ${at}`)).exit).toBe(9)
  expect((await home.done('relay status --json')).json.relays).toEqual([])
  await home.done(`relay use ${at}`)
  expect((await home.done('config get relay.use')).stdout).toContain(`${at}/p2p-circuit`)
  const reserved = async (): Promise<boolean> =>
    (await home.done('relay status')).stdout.includes('reserved')
  expect(await until(reserved)).toBe(true)
  expect((await home.run('relay use /ip4/127.0.0.1/tcp/1')).exit).toBe(2)
  expect((await home.run('relay use nonsense/p2p-circuit')).exit).toBe(2)
})

test('what waits for a person is asked, approved and fetched through the relay', async () => {
  await home.done('key create release/app')
  await home.done(`peer add ci ${String((await ci.done('status --json')).json.peer)}`)
  await home.done(
    'rule add --peers ci --procedures sign --paths release/** --formats sshsig --effect ask',
  )
  ci.write('app.tgz', 'what is to be signed')
  const asked = await ci.run('sign home:release/app --in app.tgz --out app.sig --no-wait')
  expect(asked.exit).toBe(5)
  const { approvals } = (await home.done('approval list --json')).json
  expect(approvals).toHaveLength(1)
  await home.done('approve')
  await ci.done('request wait home:')
  const peers = (await ci.done('net map --json')).json.peers as { name: string; way: string }[]
  expect(peers.find(({ name }) => name === 'home')?.way).toBe('relayed')
  expect(readFileSync(ci.path('app.sig'), 'utf8')).toMatch(/^-----BEGIN SSH SIGNATURE-----/)
})

test('a ticket carries the way through the relay', async () => {
  const { ticket } = (await home.done('pair new laptop --no-wait --json')).json
  using laptop = new Machine({ ...QUIET, STRONGHOLD_RELAY_PUNCH: 'false' })
  const { json } = await laptop.done(`pair join ${String(ticket)} --json`)
  expect(json).toMatchObject({ name: 'home', way: 'relayed', knownAs: 'laptop' })
})

test('only who is allowed by name may be reached, where somebody is', async () => {
  using strict = new Machine(QUIET)
  const standing = await strict.start(
    `relay serve --listen ${LOOPBACK} --allow ${String(served.ready.peer)}`,
  )
  const there = String(standing.ready.addrs[0])
  using stranger = new Machine(QUIET)
  const refused = await stranger.run(`up --listen ${there}/p2p-circuit`)
  expect(refused.exit).toBe(3)
  expect(refused.stderr).toContain('it does not let us')
  await home.done(`net listen ${there}/p2p-circuit`)
  await home.done(`relay unuse ${there}`)
  strict.end()
  await standing.ended
})

test('without anything that runs, the doctor says what that means', async () => {
  using none = new Machine(QUIET)
  const { exit, stdout } = await none.run('doctor')
  expect(exit).toBe(0)
  expect(stdout).toMatch(/^warning {2}running {6}nothing runs in this home/m)
  expect(stdout).toMatch(/^ok {7}clock {8}\d{4}-/m)
  const behind = new Machine(QUIET, { nowMs: () => 0, setTimer: () => () => {} })
  expect((await behind.run('doctor')).stdout).toMatch(/^bad {6}clock .* before what this home/m)
  behind[Symbol.dispose]()
})
