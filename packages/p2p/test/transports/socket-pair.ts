/** Two connected TCP sockets of this process, as a transport makes them, and the proof that none is left. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

import { afterEach, beforeEach, expect } from 'vitest'

import { turns } from './pipe-events.ts'

export async function socketPair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const near = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  near.pause()
  const [[far]] = (await Promise.all([once(server, 'connection'), once(near, 'connect')])) as [
    [Socket],
    unknown,
  ]
  server.close()
  return [near, far]
}

/** Every test of the file must leave as many TCP sockets and servers as it found. */
export function leavesNoSockets(): void {
  let before: string[] = []
  beforeEach(() => {
    before = sockets()
  })
  afterEach(async () => {
    for (let i = 0; i < 2000 && sockets().length > before.length; i++) await turns(1)
    expect(sockets().length, sockets().join()).toBeLessThanOrEqual(before.length)
  })
}

function sockets(): string[] {
  return process.getActiveResourcesInfo().filter((kind) => /^(TCP|TLS|Pipe)/.test(kind))
}
