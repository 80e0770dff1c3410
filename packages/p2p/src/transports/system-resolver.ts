/** The resolver of the machine: its host file and name service for hosts, its DNS servers for TXT. */
import { lookup, Resolver as DnsResolver } from 'node:dns/promises'

import type { Resolver } from './dns.ts'

/** How the machine is asked. */
export interface SystemResolverInit {
  /** DNS servers for TXT records, `IP` or `IP:port`. Default those of the machine. */
  servers?: readonly string[]
}

/** A resolver over `getaddrinfo` for hosts, so that `localhost` and names on the local network work, and DNS for TXT. */
export function systemResolver(init: SystemResolverInit = {}): Resolver {
  const host = async (name: string, family: 4 | 6, signal: AbortSignal): Promise<string[]> => {
    const answers = await orAborted(lookup(name, { family, all: true }), signal)
    return answers.map(({ address }) => address)
  }
  return {
    resolve4: (name, { signal }) => host(name, 4, signal),
    resolve6: (name, { signal }) => host(name, 6, signal),
    resolveTxt: async (name, { signal }) => {
      // One of its own for each question: `cancel` ends every question of a resolver.
      const resolver = new DnsResolver()
      if (init.servers !== undefined) resolver.setServers(init.servers)
      try {
        return await orAborted(resolver.resolveTxt(name), signal)
      } finally {
        resolver.cancel()
      }
    },
  }
}

/** The answer, or the signal's reason as soon as it aborts; an answer that comes later is dropped. */
function orAborted<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      reject(signal.reason as Error)
    }
    if (signal.aborted) aborted()
    signal.addEventListener('abort', aborted)
    answer.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', aborted)
    })
  })
}
