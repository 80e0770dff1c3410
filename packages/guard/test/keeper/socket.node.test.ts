/** A door at a socket that is nobody's in particular: what a method fails with, whichever way it answers. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, test } from 'vitest'
import { z } from 'zod'

import {
  callMethod,
  DoorError,
  doorOver,
  methodOf,
  openSocket,
  readArgs,
  SocketTransport,
} from '../../src/keeper/socket-entry.ts'
import type { DoorTable } from '../../src/keeper/socket-entry.ts'

interface Door {
  call(): Promise<never>
  wait(options: { signal: AbortSignal }): Promise<never>
  stream(options: { signal: AbortSignal }): AsyncIterable<number>
}
const METHODS: DoorTable<Door> = {
  call: { kind: 'call', args: z.tuple([]) },
  wait: { kind: 'wait', args: z.tuple([]) },
  stream: { kind: 'stream', args: z.tuple([]) },
}
const fault = new DoorError('unavailable', 'Cannot reach home: it is away', 'no', 'layer_dial')
const door: Door = {
  call: () => Promise.reject(fault),
  wait: () => Promise.reject(fault),
  stream: async function* () {
    yield 1
    throw fault
  },
}

test('a failure arrives with code, reason and sentence, at once, late, and after items', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'stronghold-socket-'))
  const path = join(folder, 'door.sock')
  const socket = await openSocket({
    path,
    methods: METHODS,
    admit: () => (called, given, signal) => {
      const { name, method } = methodOf(METHODS, called)
      return callMethod(door, name, method, readArgs(name, method, given), signal)
    },
  })
  try {
    const there = doorOver(METHODS, new SocketTransport({ path, name: 'door' }))
    const { signal } = new AbortController()
    const same = { code: 'unavailable', reason: 'layer_dial', ran: 'no', message: fault.message }
    await expect(there.call()).rejects.toMatchObject(same)
    await expect(there.wait({ signal })).rejects.toMatchObject(same)
    const items: number[] = []
    const all = (async () => {
      for await (const item of there.stream({ signal })) items.push(item)
    })()
    await expect(all).rejects.toMatchObject(same)
    expect(items).toEqual([1])
  } finally {
    await socket.close()
    rmSync(folder, { recursive: true })
  }
})
