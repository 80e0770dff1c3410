/**
 * IP addresses and prefixes as numbers of bits: what bans match and what limits per address count by. It resolves no
 * name and knows no port.
 */

/** An address, or a prefix of addresses: the first `length` bits of `bits`. */
export interface IpPrefix {
  version: 4 | 6
  /** 32 or 128 bits. Those behind `length` are zero. */
  bits: bigint
  /** 0 to 32 or 128. */
  length: number
}

/**
 * Reads `ADDRESS` or `ADDRESS/LENGTH`. An IPv4 address inside IPv6 (`::ffff:1.2.3.4`) is that IPv4 address, a zone
 * (`%eth0`) is dropped, bits behind the length are cleared. Undefined for anything else.
 */
export function parseIp(text: string): IpPrefix | undefined {
  const match = /^([0-9a-f.:]{2,45})(?:%[\w.-]{1,32})?(?:\/(\d{1,3}))?$/i.exec(text)
  if (match?.[1] === undefined) return undefined
  const version = match[1].includes(':') ? 6 : 4
  const bits = version === 6 ? parseIp6(match[1]) : parseIp4(match[1])
  const width = version === 6 ? 128 : 32
  const length = match[2] === undefined ? width : Number(match[2])
  if (bits === undefined || length > width) return undefined
  if (version === 6 && length >= 96 && bits >> 32n === 0xffffn) {
    return ipPrefix({ version: 4, bits: bits & 0xffff_ffffn, length: 32 }, length - 96)
  }
  return ipPrefix({ version, bits, length: width }, length)
}

/** The first `length` bits of an address. */
export function ipPrefix({ version, bits }: IpPrefix, length: number): IpPrefix {
  const cleared = BigInt((version === 6 ? 128 : 32) - length)
  return { version, bits: (bits >> cleared) << cleared, length }
}

/** What counts as one address: an IPv4 address, or the /64 of an IPv6 address, which is what one customer gets. */
export function ipGroup(address: IpPrefix): string {
  return address.version === 4 ? prefixKey(address) : prefixKey(ipPrefix(address, 64))
}

/** One text per prefix, to key maps by and to print. */
export function prefixKey({ version, bits, length }: IpPrefix): string {
  const size = version === 6 ? 16n : 8n
  const parts = Array.from({ length: version === 6 ? 8 : 4 }, (_, index) => {
    const part = (bits >> (size * BigInt((version === 6 ? 7 : 3) - index))) & ((1n << size) - 1n)
    return part.toString(version === 6 ? 16 : 10)
  })
  return `${parts.join(version === 6 ? ':' : '.')}/${length.toString()}`
}

function parseIp4(text: string): bigint | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  let bits = 0n
  for (const part of parts) {
    // A leading zero means octal to some readers: two readings of one text are none.
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined
    bits = (bits << 8n) | BigInt(part)
  }
  return bits
}

function parseIp6(text: string): bigint | undefined {
  const halves = withoutDots(text)
    ?.split('::')
    .map((half) => (half === '' ? [] : half.split(':')))
  const [head, tail] = halves ?? []
  if (halves === undefined || halves.length > 2 || head === undefined) return undefined
  const missing = 8 - head.length - (tail?.length ?? 0)
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined
  let bits = 0n
  for (const group of [...head, ...Array<string>(missing).fill('0'), ...(tail ?? [])]) {
    if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined
    bits = (bits << 16n) | BigInt(`0x${group}`)
  }
  return bits
}

/** An IPv4 address at the end, written as two groups. */
function withoutDots(text: string): string | undefined {
  const colon = text.lastIndexOf(':') + 1
  if (!text.includes('.')) return text
  const ip4 = parseIp4(text.slice(colon))
  if (ip4 === undefined) return undefined
  return `${text.slice(0, colon)}${(ip4 >> 16n).toString(16)}:${(ip4 & 0xffffn).toString(16)}`
}
