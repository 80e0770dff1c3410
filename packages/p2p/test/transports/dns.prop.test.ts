import { fc, test } from '@fast-check/vitest'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'vitest'

import { isP2pError } from '../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../src/limits.ts'
import { resolveAddress } from '../../src/transports/dns.ts'

const name = fc.constantFrom('a.test', 'b.test', 'c.test')
const record = fc.oneof(
  name.map((host) => `dnsaddr=/dnsaddr/${host}`),
  name.map((host) => `dnsaddr=/dns/${host}/tcp/1`),
  fc.nat(255).map((last) => `dnsaddr=/ip4/1.1.1.${last}/tcp/1`),
  fc.string().map((junk) => `dnsaddr=${junk}`),
  fc.string(),
)
const records = fc.array(fc.tuple(record, fc.nat(20)), { maxLength: 100 })

test.prop([fc.dictionary(name, records), fc.array(fc.string())])(
  'whatever the answers are, resolving ends in bounded work, with addresses that hold no name, or one error',
  async (zone, hosts) => {
    let questions = 0
    const resolver = {
      resolve4: () => {
        questions++
        return Promise.resolve(hosts)
      },
      resolve6: () => {
        questions++
        return Promise.resolve(hosts)
      },
      resolveTxt: (asked: string) => {
        questions++
        const answer = zone[asked.replace('_dnsaddr.', '')] ?? []
        return Promise.resolve(answer.map(([text, at]) => [text.slice(0, at), text.slice(at)]))
      },
    }
    const { signal } = new AbortController()
    try {
      const found = await resolveAddress(multiaddr('/dnsaddr/a.test'), {
        resolver,
        limits: DEFAULT_LIMITS,
        signal,
      })
      expect(found.length).toBeLessThanOrEqual(DEFAULT_LIMITS.maxDnsAnswers)
      expect(found.filter((address) => address.toString().startsWith('/dns'))).toEqual([])
    } catch (error) {
      expect(isP2pError(error, 'unavailable')).toBe(true)
    }
    expect(questions).toBeLessThanOrEqual(1 + 2 * DEFAULT_LIMITS.maxDnsAnswers)
  },
)
