import { multiaddr } from '@multiformats/multiaddr'
import { describe, expect, test } from 'vitest'

import { isP2pError } from '../../src/errors.ts'
import { DEFAULT_LIMITS, resolveLimits } from '../../src/limits.ts'
import { dnsResolvers, isResolvable, resolveAddress } from '../../src/transports/dns.ts'
import type { Resolver } from '../../src/transports/dns.ts'

const PEER = '12D3KooWQMhKfCxdCBUnLG1NLd4tYyvM85iPLxtsUDS7zk93zu1u'
const OTHER = '12D3KooWRm8J3iL796zPFi2EtGGtUJn58AG67gcqzMFjbDrsaASf'
const { signal } = new AbortController()

/** A domain name system of a few records; what is not in it does not exist. */
class Zone implements Resolver {
  readonly asked: string[] = []
  readonly #records: Readonly<Record<string, readonly string[]>>

  constructor(records: Readonly<Record<string, readonly string[]>>) {
    this.#records = records
  }

  resolve4(name: string): Promise<readonly string[]> {
    return this.#ask(`A ${name}`)
  }

  resolve6(name: string): Promise<readonly string[]> {
    return this.#ask(`AAAA ${name}`)
  }

  async resolveTxt(name: string): Promise<readonly (readonly string[])[]> {
    const records = await this.#ask(`TXT ${name}`)
    return records.map((record) => [record.slice(0, 9), record.slice(9)])
  }

  async #ask(question: string): Promise<readonly string[]> {
    this.asked.push(question)
    const answer = this.#records[question]
    if (answer === undefined) throw new Error(`${question}: not found`)
    return answer
  }
}

async function resolve(address: string, resolver: Resolver, limits = DEFAULT_LIMITS) {
  const found = await resolveAddress(multiaddr(address), { resolver, limits, signal })
  return found.map(String)
}

describe('resolveAddress()', () => {
  const zone = {
    'A a.test': ['1.2.3.4', '5.6.7.8'],
    'AAAA a.test': ['2001:db8::1'],
    'A four.test': ['1.2.3.4'],
  }

  test('an address without a name is its own answer', async () => {
    const nobody = new Zone({})
    expect(await resolve('/ip4/1.2.3.4/tcp/1', nobody)).toEqual(['/ip4/1.2.3.4/tcp/1'])
    expect(nobody.asked).toEqual([])
    expect(isResolvable(multiaddr('/ip4/1.2.3.4/tcp/1'))).toBe(false)
  })

  test('dns4, dns6 and dns become the addresses of their families', async () => {
    const rest = `/tcp/4001/p2p/${PEER}`
    const resolver = new Zone(zone)
    const four = [`/ip4/1.2.3.4${rest}`, `/ip4/5.6.7.8${rest}`]
    const six = [`/ip6/2001:db8::1${rest}`]
    expect(await resolve(`/dns4/a.test${rest}`, resolver)).toEqual(four)
    expect(await resolve(`/dns6/a.test${rest}`, resolver)).toEqual(six)
    expect(await resolve(`/dns/a.test${rest}`, resolver)).toEqual([...four, ...six])
    expect(await resolve(`/dns/four.test${rest}`, resolver)).toEqual([`/ip4/1.2.3.4${rest}`])
  })

  test('the name of a secure WebSocket goes on to the certificate', async () => {
    const resolver = new Zone(zone)
    const end = `/tls/sni/four.test/ws/p2p/${PEER}`
    for (const secure of ['/wss', '/tls/ws']) {
      const address = `/dns4/four.test/tcp/443${secure}/p2p/${PEER}`
      expect(await resolve(address, resolver)).toEqual([`/ip4/1.2.3.4/tcp/443${end}`])
    }
    expect(await resolve('/dns4/four.test/tcp/443/tls/sni/b.test/ws', resolver)).toEqual([
      '/ip4/1.2.3.4/tcp/443/tls/sni/b.test/ws',
    ])
    expect(await resolve('/dns4/four.test/tcp/80/ws', resolver)).toEqual(['/ip4/1.2.3.4/tcp/80/ws'])
  })

  test('a relayed address resolves its relay', async () => {
    const rest = `/tcp/1/p2p/${OTHER}/p2p-circuit/p2p/${PEER}`
    expect(await resolve(`/dns4/four.test${rest}`, new Zone(zone))).toEqual([`/ip4/1.2.3.4${rest}`])
  })

  test('dnsaddr follows its records, over names and further records', async () => {
    const resolver = new Zone({
      ...zone,
      'TXT _dnsaddr.start.test': [
        `dnsaddr=/ip4/9.9.9.9/tcp/1/p2p/${PEER}`,
        `dnsaddr=/dnsaddr/more.test/p2p/${PEER}`,
        'v=spf1 -all',
        'dnsaddr=',
        'dnsaddr=/nonsense/x',
      ],
      'TXT _dnsaddr.more.test': [`dnsaddr=/dns4/four.test/tcp/2/p2p/${PEER}`],
    })
    expect(await resolve('/dnsaddr/start.test', resolver)).toEqual([
      `/ip4/9.9.9.9/tcp/1/p2p/${PEER}`,
      `/ip4/1.2.3.4/tcp/2/p2p/${PEER}`,
    ])
  })

  test('what follows a dnsaddr must end each answer', async () => {
    const resolver = new Zone({
      'TXT _dnsaddr.start.test': [
        `dnsaddr=/ip4/1.1.1.1/tcp/1/p2p/${PEER}`,
        `dnsaddr=/ip4/2.2.2.2/tcp/1/p2p/${OTHER}`,
        'dnsaddr=/ip4/3.3.3.3/tcp/1',
        `dnsaddr=/ip4/4.4.4.4/tcp/1/p2p/${PEER}/p2p-circuit`,
      ],
    })
    expect(await resolve(`/dnsaddr/start.test/p2p/${PEER}`, resolver)).toEqual([
      `/ip4/1.1.1.1/tcp/1/p2p/${PEER}`,
    ])
  })

  test('a loop ends, and what else the records say is found', async () => {
    const resolver = new Zone({
      'TXT _dnsaddr.a.test': ['dnsaddr=/dnsaddr/b.test', 'dnsaddr=/dnsaddr/a.test'],
      'TXT _dnsaddr.b.test': ['dnsaddr=/dnsaddr/a.test', 'dnsaddr=/ip4/1.1.1.1/tcp/1'],
    })
    expect(await resolve('/dnsaddr/a.test', resolver)).toEqual(['/ip4/1.1.1.1/tcp/1'])
    expect(resolver.asked).toEqual(['TXT _dnsaddr.a.test', 'TXT _dnsaddr.b.test'])
  })

  test('maxDnsDepth: one dnsaddr leads to another that often, not once more', async () => {
    const records: Record<string, string[]> = {}
    for (let i = 0; i < 10; i++) {
      records[`TXT _dnsaddr.n${i}.test`] = [
        `dnsaddr=/dnsaddr/n${i + 1}.test`,
        `dnsaddr=/ip4/1.1.1.${i}/tcp/1`,
      ]
    }
    const found = await resolve('/dnsaddr/n0.test', new Zone(records))
    expect(found.map((address) => address.split('/')[2]?.at(-1)).sort()).toEqual([
      '0',
      '1',
      '2',
      '3',
      '4',
    ])
    expect(DEFAULT_LIMITS.maxDnsDepth).toBe(4)
  })

  test('maxDnsAnswers: no more records are read, and no more addresses given', async () => {
    const limits = resolveLimits({ maxDnsAnswers: 5 })
    const many = (make: (i: number) => string): string[] =>
      Array.from({ length: 50 }, (_, i) => make(i))
    const records = new Zone({
      'TXT _dnsaddr.a.test': many((i) => `dnsaddr=/ip4/1.1.1.${i}/tcp/1`),
      'TXT _dnsaddr.junk.test': [...many((i) => `junk ${i}`), 'dnsaddr=/ip4/1.1.1.1/tcp/1'],
      'TXT _dnsaddr.wide.test': many((i) => `dnsaddr=/dns4/h${i}.test/tcp/1`),
      'A a.test': many((i) => `1.1.1.${i}`),
    })
    expect(await resolve('/dnsaddr/a.test', records, limits)).toHaveLength(5)
    expect(await resolve('/dns4/a.test/tcp/1', records, limits)).toHaveLength(5)
    await expect(resolve('/dnsaddr/junk.test', records, limits)).rejects.toThrow('no address found')
    const before = records.asked.length
    await expect(resolve('/dnsaddr/wide.test', records, limits)).rejects.toThrow('no address found')
    expect(records.asked.length - before).toBe(6)
  })

  test('nothing found is unavailable, and says what went wrong', async () => {
    const error: unknown = await resolve('/dns4/none.test/tcp/1', new Zone({})).catch(
      (error: unknown) => error,
    )
    expect(isP2pError(error, 'unavailable')).toBe(true)
    expect(error).toMatchObject({ layer: 'dial', address: '/dns4/none.test/tcp/1' })
    expect((error as Error).message).toBe(
      'Cannot resolve "/dns4/none.test/tcp/1": no address found',
    )
    expect((error as Error).cause).toMatchObject({ message: 'A none.test: not found' })
  })

  test('only host names are asked for', async () => {
    const nobody = new Zone({
      'TXT _dnsaddr.a.test': [
        'dnsaddr=/dns4/-x/tcp/1',
        'dnsaddr=/dns4/a b/tcp/1',
        'dnsaddr=/dns4/ä/tcp/1',
      ],
    })
    for (const name of ['-x', 'a b', 'a..b', `${'a'.repeat(64)}.test`, 'a.'.repeat(130)]) {
      const error: unknown = await resolve(`/dns4/${name}/tcp/1`, nobody).catch(
        (error: unknown) => error,
      )
      expect(isP2pError(error, 'invalid_argument')).toBe(true)
    }
    await expect(resolve('/dnsaddr/a.test', nobody)).rejects.toThrow('no address found')
    expect(nobody.asked).toEqual(['TXT _dnsaddr.a.test'])
  })

  test('ends with the reason of its signal, asking nothing more', async () => {
    const controller = new AbortController()
    const reason = new Error('changed my mind')
    const resolver: Resolver = {
      resolve4: () => Promise.reject(new Error('not asked')),
      resolve6: () => Promise.reject(new Error('not asked')),
      resolveTxt: () => {
        controller.abort(reason)
        return Promise.resolve([['dnsaddr=/dns4/a.test/tcp/1']])
      },
    }
    const options = { resolver, limits: DEFAULT_LIMITS, signal: controller.signal }
    await expect(resolveAddress(multiaddr('/dnsaddr/a.test'), options)).rejects.toBe(reason)
    await expect(resolveAddress(multiaddr('/ip4/1.1.1.1/tcp/1'), options)).rejects.toBe(reason)
  })
})

describe('dnsResolvers()', () => {
  test('stand in connectionManager.resolvers, where one failed name does not spoil the others', async () => {
    const { dns } = dnsResolvers({
      resolver: new Zone({ 'A a.test': ['1.2.3.4'] }),
      limits: DEFAULT_LIMITS,
    })
    const options = { log: undefined as never }
    expect(dns?.canResolve(multiaddr('/dns4/a.test/tcp/1'))).toBe(true)
    expect(dns?.canResolve(multiaddr('/ip4/1.2.3.4/tcp/1'))).toBe(false)
    const found = await dns?.resolve(multiaddr('/dns4/a.test/tcp/1'), options)
    expect(found?.map(String)).toEqual(['/ip4/1.2.3.4/tcp/1'])
    expect(await dns?.resolve(multiaddr('/dns4/none.test/tcp/1'), options)).toEqual([])
    const aborted = AbortSignal.abort(new Error('enough'))
    await expect(
      dns?.resolve(multiaddr('/dns4/a.test/tcp/1'), { ...options, signal: aborted }),
    ).rejects.toThrow('enough')
  })
})
