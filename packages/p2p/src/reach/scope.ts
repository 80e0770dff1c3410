/** From where an address can be reached, as far as its text tells. It resolves no name. */
import { ipPrefix, parseIp } from '../connection/ip.ts'
import type { IpPrefix } from '../connection/ip.ts'
import type { Address } from '../identity.ts'

/** From anywhere; from the same network; from the same machine or link only. */
export type Scope = 'public' | 'private' | 'local'

// RFC 6890 and RFC 4193: what routers on the internet do not carry.
const PRIVATE = prefixes(
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  'fc00::/7',
)
const LOCAL = prefixes('127.0.0.0/8', '169.254.0.0/16', '0.0.0.0/8', '::/127', 'fe80::/10')

function prefixes(...texts: string[]): readonly IpPrefix[] {
  return texts.map(parseIp).filter((prefix) => prefix !== undefined)
}

/** The scope of the first host in an address. Names count as public, but for `localhost` and `*.local`. */
export function scopeOf(address: Address): Scope {
  const parts = address.split('/')
  const host = parts[1] === 'ip6zone' ? parts[4] : parts[2]
  const kind = parts[1] === 'ip6zone' ? parts[3] : parts[1]
  if (host === undefined) return 'public'
  if (kind === 'memory' || kind === 'unix') return 'local'
  if (kind !== 'ip4' && kind !== 'ip6') {
    if (/^(.*\.)?localhost\.?$/i.test(host)) return 'local'
    return /\.local\.?$/i.test(host) ? 'private' : 'public'
  }
  const ip = parseIp(host)
  if (ip === undefined) return 'public'
  if (LOCAL.some((prefix) => within(ip, prefix))) return 'local'
  return PRIVATE.some((prefix) => within(ip, prefix)) ? 'private' : 'public'
}

function within(ip: IpPrefix, prefix: IpPrefix): boolean {
  return ip.version === prefix.version && ipPrefix(ip, prefix.length).bits === prefix.bits
}
