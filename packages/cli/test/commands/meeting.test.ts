/** Meeting and reaching, as somebody types it: real nodes on loopback, everything in one process. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { Machine } from '../machine.ts'
import type { Standing } from '../machine.ts'

const NOBODY = '12D3KooWGjmG2kLsxiSUyHx1XF6u4qAZnEZrKEp3K12yomBjSh5J'
const LOOPBACK = '/ip4/127.0.0.1/tcp/0'

/** A home that serves its vault, and a machine that asks. Neither looks for anybody. */
let home: Machine
let ci: Machine
let served: Standing
beforeAll(async () => {
  home = await new Machine({ STRONGHOLD_FIND_MDNS: 'false' }).init()
  ci = new Machine({ STRONGHOLD_FIND_MDNS: 'false' })
  served = await home.start(`up --listen ${LOOPBACK}`)
})
afterAll(async () => {
  home.end()
  ci.end()
  expect((await served.ended).exit).toBe(0)
  home[Symbol.dispose]()
  ci[Symbol.dispose]()
})

/** A peer as lists and maps have it. */
interface Listed {
  readonly name: string
  readonly way: string | null
  readonly connected: readonly object[]
}

/** A ticket of the home, which nobody waits for. */
async function ticket(name: string): Promise<string> {
  return (await home.done(`pair new ${name} --no-wait --json`)).json.ticket as string
}

/** Waits until something holds, for a second at most. */
async function within(holds: () => Promise<boolean>): Promise<boolean> {
  const untilMs = performance.now() + 1000
  while (!(await holds())) if (performance.now() > untilMs) return false
  return true
}

describe('pair', () => {
  test('a ticket makes each known to the other, once, and gives no right', async () => {
    const person = new AbortController()
    const waiting = home.run('pair new ci --tag @builders --ttl 3m', { ending: person.signal })
    const untilOpen = async (): Promise<boolean> =>
      (await home.done('pair list --json')).json.tickets.length === 1
    expect(await within(untilOpen)).toBe(true)
    const [{ wrong, name, expires }] = (await home.done('pair list --json')).json.tickets
    expect({ wrong, name }).toEqual({ wrong: 0, name: 'ci' })
    expect(Math.round((Date.parse(expires as string) - Date.now()) / 60_000)).toBe(3)
    person.abort()
    expect((await waiting).exit).toBe(6)
    expect((await home.done('pair list --json')).json.tickets).toEqual([])

    const printed = Promise.withResolvers<string>()
    const used = home.run('pair new ci --tag @builders', {
      onStdout: (text) => {
        printed.resolve(text.trim())
      },
    })
    const joined = await ci.done(['pair', 'join', await printed.promise])
    expect(joined.stdout).toMatch(
      /^home {2}12D3\w+ {2}direct, noise, [\d.]+ ms · knows this machine as ci, allows nothing yet\n$/,
    )
    const { exit, stdout, stderr } = await used
    expect(exit).toBe(0)
    expect(stdout).toMatch(/^shpair1[0-9a-z]+\nci {2}12D3\w+ {2}known, may do nothing yet\n$/)
    expect(stderr).toContain('on the other machine, until ')
    const known = (await home.done('peer show ci --json')).json
    expect(known).toMatchObject({ name: 'ci', known: true, tags: ['builders'] })
    expect((await ci.done('peer show home --json')).json.peer).toBe(served.ready.peer)
    expect((await home.done('rule list --json')).json.rules).toEqual([])
    using other = new Machine({ STRONGHOLD_FIND_MDNS: 'false' })
    const again = await other.run(['pair', 'join', await printed.promise])
    expect(again.exit).toBe(3)
    expect(again.stderr).toContain('home does not take the ticket')
  })

  test('whoever pairs stands in the book also where nobody waits for it', async () => {
    using other = new Machine({ STRONGHOLD_FIND_MDNS: 'false' })
    const text = await ticket('laptop')
    // As it stands in the lines of a terminal.
    const stdin = `  ${text.slice(0, 80)}\n${text.slice(80)}\n`
    const { json } = await other.done('pair join - base --json', { stdin })
    expect(json).toMatchObject({ name: 'base', knownAs: 'laptop', way: 'local', known: false })
    expect((await home.done('peer show laptop --json')).json.known).toBe(true)
    await home.done('peer remove laptop')
  })

  test('names that others have are refused before anything happens', async () => {
    const text = await ticket('nas')
    await ci.done(`peer add base ${NOBODY}`)
    const taken = await ci.run(`pair join ${text} base`)
    expect(taken.exit).toBe(10)
    expect((await home.run('pair new ci')).exit).toBe(10)
    expect((await home.done('pair list --json')).json.tickets).toMatchObject([{ wrong: 0 }])
    expect((await home.done('pair cancel nas --dry-run')).stdout).toContain('would be closed')
    await home.done('pair cancel nas')
    expect((await home.run('pair cancel nas')).exit).toBe(9)
    expect((await ci.run(`pair join ${text}`)).exit).toBe(3)
  })

  test('nobody is a peer of their own', async () => {
    const own = served.ready.peer as string
    const text = await ticket('me')
    for (const line of [`pair join ${text}`, `peer add me ${own}`]) {
      const { exit, stderr } = await home.run(line)
      expect({ line, exit }).toEqual({ line, exit: 2 })
      expect(stderr).toContain('that is this Stronghold itself')
    }
    await home.done('pair cancel me')
  })

  test('without a Stronghold that runs, and with what is no ticket, it says what to type', async () => {
    using none = new Machine()
    expect((await none.run('pair new ci')).stderr).toContain('hint: stronghold init')
    await none.init()
    const { exit, stderr } = await none.run('pair new ci')
    expect(exit).toBe(9)
    expect(stderr).toContain('no Stronghold runs in this home')
    expect(stderr).toContain('hint: stronghold up')
    expect((await ci.run('pair join shpair1nonsense')).exit).toBe(2)
  })
})

describe('connections', () => {
  let running: Standing
  beforeAll(async () => {
    running = await ci.start(`up --listen ${LOOPBACK}`)
  })
  afterAll(async () => {
    await ci.done('down')
    expect((await running.ended).exit).toBe(0)
  })

  test('connect, ping, identify, list and map say who is reached how', async () => {
    const { json } = await ci.done('peer connect home --json')
    expect(json).toMatchObject({ name: 'home', way: 'local', security: 'noise' })
    const pinged = await ci.done('peer ping home --count 2 --json')
    expect(pinged.json).toMatchObject({ sent: 2, answered: 2 })
    expect(pinged.json.minMs).toBeLessThanOrEqual(pinged.json.avgMs)
    const said = (await ci.done('net identify home --json')).json
    expect(said.agent).toMatch(/^stronghold\//)
    expect(said.protocols).toContain('/ipfs/ping/1.0.0')
    const listed = (await ci.done('peer list --live --json')).json.peers as Listed[]
    const one = listed.find(({ name }) => name === 'home')
    expect(one?.connected).toMatchObject([{ way: 'local', security: 'noise' }])
    const [row] = (await ci.done('net map --json')).json.peers
    expect(row).toMatchObject({ name: 'home', way: 'local' })
    expect(row.sentBytes).toBeGreaterThan(100)
    expect((await ci.done('net map --try')).stdout).toMatch(/^base +not connected/m)
    expect((await ci.done('peer disconnect home --json')).json.closed).toBe(1)
    expect((await ci.done('peer list --live')).stdout).toContain('not connected')
  })

  test.each(['block', 'remove'])('%s cuts a peer off within a second', async (verb) => {
    await ci.done('peer connect home')
    const isConnected = async (): Promise<boolean> =>
      ((await home.done('net map --json')).json.peers as Listed[]).some(({ way }) => way !== null)
    expect(await isConnected()).toBe(true)
    await home.done(`peer ${verb} ci`)
    expect(await within(async () => !(await isConnected()))).toBe(true)
    if (verb === 'block') {
      const { exit, stderr } = await ci.run('peer connect home')
      expect(exit).not.toBe(0)
      expect(stderr).toContain('cannot reach home: ')
      await home.done('peer unblock ci')
    }
  })

  test('a peer that is not there is exit 8, with peer, address, layer and next step', async () => {
    const nowhere = await ci.run('peer ping base')
    expect(nowhere.exit).toBe(8)
    expect(nowhere.stderr).toContain('stronghold peer add base ADDRESS/p2p/PEER-ID')
    const address = `/ip4/127.0.0.1/tcp/1/p2p/${NOBODY}`
    const { exit, stderr } = await ci.run(`peer connect ${address}`)
    expect(exit).toBe(8)
    expect(stderr).toContain(`cannot reach ${NOBODY}: cannot dial`)
    expect(stderr).toContain(address)
    expect(stderr).toContain('layer dial')
    expect(stderr).toContain('hint: ')
  })

  test('listening, bans and addresses change while it runs', async () => {
    const { addrs } = (await ci.done(`net listen ${LOOPBACK} --json`)).json
    expect(addrs).toHaveLength(1)
    const shown = (await ci.done('net addrs --json')).json
    expect(shown.addrs).toHaveLength(2)
    const bare = String(addrs[0]).replace(/\/p2p\/.*/, '')
    await ci.done(`net unlisten ${bare}`)
    expect((await ci.run(`net unlisten ${bare}`)).exit).toBe(9)
    await ci.done('net ban 127.0.0.0/8')
    expect((await ci.run('peer connect home')).exit).not.toBe(0)
    expect((await ci.done('config get net.ban')).stdout).toContain('127.0.0.0/8')
    expect((await ci.done('net addrs --json')).json.banned).toEqual(['127.0.0.0/8'])
    await ci.done('net unban 127.0.0.0/8')
    await ci.done('peer connect home')
    expect((await ci.run('net ban nonsense')).exit).toBe(2)
    const lost = await ci.run('net discover --for 1s')
    expect(lost.exit).toBe(2)
    expect(lost.stderr).toContain('no way of finding is set up')
  })
})
