import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { encode } from '@stronghold/core'
import { describe, expect, it } from 'vitest'

import { allApprovals } from '../../src/all-approvals.ts'
import type { OwnerDoor } from '../../src/doors.ts'
import { CBOR_TYPE } from '../../src/keeper/http.ts'
import { connectOwner, createToken, readToken } from '../../src/keeper/owner-client.ts'
import { openOwnerSocket } from '../../src/keeper/owner-door.ts'
import { OWNER_METHODS } from '../../src/keeper/owner-methods.ts'
import { DEFAULT_KEEPER_LIMITS, MAX_SOCKET_PATH_BYTES } from '../../src/limits.ts'
import type { KeeperLimits } from '../../src/limits.ts'
import { CI, guarded, signing, step } from '../guard-of.ts'
import type { Guarded } from '../guard-of.ts'

interface Doored extends AsyncDisposable {
  readonly all: Guarded
  readonly path: string
  readonly files: { readonly admin: string; readonly approver: string }
  readonly admin: OwnerDoor
  readonly approver: OwnerDoor
}

/** A guard in this thread with a socket in front of its owner door. */
async function doored(limits: Partial<KeeperLimits> = {}): Promise<Doored> {
  const at = mkdtempSync(join(tmpdir(), 'stronghold-door-'))
  const path = join(at, 'run', 'owner.sock')
  const files = { admin: join(at, 'admin.token'), approver: join(at, 'approver.token') }
  const tokens = { admin: createToken(files.admin), approver: createToken(files.approver) }
  const all = await guarded()
  const socket = await openOwnerSocket({
    path,
    tokens: files,
    door: all.guard.owner,
    limits: { ...DEFAULT_KEEPER_LIMITS, ...limits },
  })
  return {
    all,
    path,
    files,
    admin: connectOwner(path, tokens.admin),
    approver: connectOwner(path, tokens.approver),
    async [Symbol.asyncDispose]() {
      await socket.close()
      await all.guard.close()
      rmSync(at, { recursive: true, force: true })
    },
  }
}

/** Says something and hears everything until the other side ends. */
async function say(path: string, bytes: Uint8Array | string): Promise<string> {
  const socket = connect(path)
  socket.on('error', () => {})
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  await new Promise((resolve) => socket.once('close', resolve))
  return Buffer.concat(chunks).toString('latin1')
}

function head(token: string, fields: readonly string[], method = 'status'): string {
  const all = [
    `POST /v1/${method} HTTP/1.1`,
    'host: x',
    `authorization: Bearer ${token}`,
    `content-type: ${CBOR_TYPE}`,
    'connection: close',
    ...fields,
  ]
  return `${all.join('\r\n')}\r\n\r\n`
}

const NO_ARGS = Buffer.from(encode([])).toString('latin1')
const status = (answer: string): number => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0)

describe('the owner’s socket', () => {
  it('lets an approver do what an approver may, and nothing else', async () => {
    await using door = await doored()
    const allowed = ['boxKey', 'status', 'approvals', 'explainApproval', 'decide', 'watchApprovals']
    expect(await door.approver.status()).toMatchObject({ locked: false })
    expect(await allApprovals(door.approver)).toEqual([])
    for (const [name, { kind }] of Object.entries(OWNER_METHODS)) {
      if (allowed.includes(name)) continue
      const method: unknown = Reflect.get(door.approver, name)
      const options = kind === 'call' ? [] : [{ signal: AbortSignal.timeout(10_000) }]
      const answer = (method as (...args: unknown[]) => Promise<unknown> | AsyncIterable<unknown>)(
        ...options,
      )
      const called = Symbol.asyncIterator in answer ? Array.fromAsync(answer) : answer
      await expect(called, name).rejects.toMatchObject({ code: 'permission_denied', ran: 'no' })
    }
  })

  it('writes down that an approver decided, whoever it says it is', async () => {
    await using door = await doored()
    const { network, owner } = door.all.guard
    await owner.addRule({ peers: ['ci'], procedures: ['sign'], paths: ['**'], effect: 'ask' })
    await network.submit(CI, signing('x'))
    const [approval] = await allApprovals(door.approver)
    await door.approver.decide([approval?.boundHash ?? new Uint8Array()], 'deny', { by: 'owner' })
    const told = JSON.stringify(await owner.auditEntries())
    expect(told).toContain('"by":"approver"')
    expect(told).not.toContain('"by":"owner"')
  })

  it('opens to no token but the two, and to no token that was replaced', async () => {
    await using door = await doored()
    for (const token of ['', 'x', 'f'.repeat(64), 'F'.repeat(64), 'f'.repeat(5000)]) {
      const call = connectOwner(door.path, token === '' ? '-' : token).status()
      await expect(call, token).rejects.toMatchObject({
        code: token.length > 128 ? expect.any(String) : 'unauthenticated',
      })
    }
    createToken(door.files.admin, { replace: true })
    await expect(door.admin.status()).rejects.toMatchObject({ code: 'unauthenticated' })
    const next = connectOwner(door.path, readToken(door.files.admin))
    expect(await next.status()).toMatchObject({ locked: false })
    // A token that others may read is nobody's.
    chmodSync(door.files.admin, 0o644)
    await expect(next.status()).rejects.toMatchObject({ code: 'unauthenticated' })
  })

  it('takes no secret that is not sealed', async () => {
    await using door = await doored()
    const input = {
      to: 'a/b',
      as: { format: 'raw', type: 'ed25519' },
      secret: new Uint8Array(randomBytes(32)),
    }
    await expect(door.admin.run([step('import', input)])).rejects.toThrow(
      'secret is secret and has to be sealed',
    )
  })

  it('says in one sentence what does not fit', async () => {
    await using door = await doored()
    const { admin } = door
    const bad = Reflect.get(admin, 'addPeer') as (...args: unknown[]) => Promise<unknown>
    await expect(bad(7, 'x')).rejects.toMatchObject({ code: 'invalid_argument', ran: 'no' })
    await expect(bad('x', 'y', [], 'z')).rejects.toMatchObject({ code: 'invalid_argument' })
    await expect(admin.newTicket({ lifetimeMs: 0 })).rejects.toThrow('Cannot open ticket')
    const missing = say(door.path, head(readToken(door.files.admin), [], 'constructor'))
    expect(status(await missing)).toBe(501)
  })

  it('tells approvals as they happen, from the call on', async () => {
    await using door = await doored()
    const { network, owner } = door.all.guard
    await owner.addRule({ peers: ['ci'], procedures: ['sign'], paths: ['**'], effect: 'ask' })
    const stop = new AbortController()
    const watching = door.approver.watchApprovals({ signal: stop.signal })
    const news = watching[Symbol.asyncIterator]()
    expect(await allApprovals(door.approver)).toEqual([])
    await network.submit(CI, signing('x'))
    const asked = await news.next()
    expect(asked.value).toMatchObject({ type: 'asked', approval: { peerName: 'ci' } })
    const [approval] = await allApprovals(door.approver)
    await door.approver.decide([approval?.boundHash ?? new Uint8Array()], 'once')
    expect(await news.next()).toMatchObject({ value: { type: 'ended' } })
    stop.abort()
    expect(await news.next()).toMatchObject({ done: true })
  })

  it('is asked the next thing when it listens to the one before', async () => {
    const at = mkdtempSync(join(tmpdir(), 'stronghold-order-'))
    const order: string[] = []
    const server = createServer((socket) => {
      socket.on('error', () => {})
      order.push('connection')
      if (order.length > 1) {
        socket.end()
        return
      }
      let turns = 0
      const answer = (): void => {
        if (turns++ < 200) setImmediate(answer)
        else {
          order.push('listens')
          socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n\0\0\0\0\r\n')
        }
      }
      answer()
    })
    try {
      await new Promise<void>((resolve) => server.listen(join(at, 's'), resolve))
      const owner = connectOwner(join(at, 's'), 'f'.repeat(64))
      const stop = new AbortController()
      owner.watchApprovals({ signal: stop.signal })
      await expect(allApprovals(owner)).rejects.toMatchObject({ code: 'unavailable' })
      expect(order).toEqual(['connection', 'listens', 'connection'])
      stop.abort()
    } finally {
      server.close()
      rmSync(at, { recursive: true, force: true })
    }
  })

  it('maxBodyBytes: a body of that length is read, one byte more is not', async () => {
    await using door = await doored({ maxBodyBytes: 1000 })
    // The head of a byte string this long has three bytes, that of an empty one has one.
    const room = 1000 - encode(['k', new Uint8Array(0)]).byteLength - 2
    await door.admin.storeSet('k', new Uint8Array(room))
    await expect(door.admin.storeSet('k', new Uint8Array(room + 1))).rejects.toMatchObject({
      code: 'resource_exhausted',
      ran: 'no',
    })
    // What a body says of itself makes nobody hold anything.
    const lie = head(readToken(door.files.admin), ['content-length: 999999999999'])
    expect(status(await say(door.path, `${lie}${'x'.repeat(2000)}`))).toBe(429)
  })

  it('maxHeaders and maxHeaderBytes bound the head', async () => {
    await using door = await doored({ maxHeaders: 8, maxHeaderBytes: 1024 })
    const token = readToken(door.files.admin)
    const length = `content-length: ${encode([]).byteLength}`
    const more = (count: number): string[] => Array.from({ length: count }, (_, i) => `x-${i}: y`)
    expect(status(await say(door.path, head(token, [length, ...more(3)]) + NO_ARGS))).toBe(200)
    expect(status(await say(door.path, head(token, [length, ...more(4)]) + NO_ARGS))).toBe(429)
    const long = head(token, [length, `x-long: ${'y'.repeat(1024)}`])
    expect(status(await say(door.path, long + NO_ARGS))).toBe(431)
  })

  it('maxConnections: one more is closed at once; it is free again when one is gone', async () => {
    await using door = await doored({ maxConnections: 3 })
    const idle: Socket[] = []
    for (let i = 0; i < 3; i++) {
      const socket = connect(door.path)
      socket.on('error', () => {})
      await once(socket, 'connect')
      idle.push(socket)
    }
    await expect(door.admin.status()).rejects.toMatchObject({ code: 'unavailable' })
    const [first] = idle
    first?.destroy()
    await expect
      .poll(() => door.admin.status().catch(() => undefined))
      .toMatchObject({ locked: false })
    for (const socket of idle) socket.destroy()
  })

  it('maxOwnerCalls: one more is refused, and calls go on when one has ended', async () => {
    await using door = await doored({ maxOwnerCalls: 2 })
    const stop = new AbortController()
    const watches = [1, 2].map(() => door.admin.watchApprovals({ signal: stop.signal }))
    const next = watches.map((watch) => watch[Symbol.asyncIterator]().next())
    await expect(door.admin.status()).rejects.toMatchObject({ code: 'resource_exhausted' })
    stop.abort()
    await Promise.all(next)
    await expect
      .poll(() => door.admin.status().catch(() => undefined))
      .toMatchObject({ locked: false })
  })

  it('arrivalTimeoutMs: who sends a byte now and then, or none, is cut off, others are served meanwhile', async () => {
    await using door = await doored({ arrivalTimeoutMs: 400 })
    const token = readToken(door.files.admin)
    const slow = [head(token, ['x: y']).slice(0, 40), head(token, ['content-length: 100'])]
    const silent = connect(door.path)
    silent.on('error', () => {})
    silent.resume()
    const silence = new Promise((resolve) => silent.once('close', resolve))
    const cut = slow.map((start) => {
      const socket = connect(door.path)
      socket.on('error', () => {})
      socket.resume()
      socket.write(start)
      const drip = setInterval(() => socket.write('x'), 50)
      return new Promise<void>((resolve) => {
        socket.once('close', () => {
          clearInterval(drip)
          resolve()
        })
      })
    })
    expect(await door.admin.status()).toMatchObject({ locked: false })
    await Promise.all([silence, ...cut])
  })

  it('outlives garbage', async () => {
    await using door = await doored({ arrivalTimeoutMs: 1000 })
    const token = readToken(door.files.admin)
    const blobs: (Uint8Array | string)[] = Array.from({ length: 150 }, (_, i) => randomBytes(i * 9))
    for (let i = 0; i < 50; i++) {
      const body = randomBytes(40).toString('latin1')
      blobs.push(head(token, [`content-length: 40`], i % 2 === 0 ? 'status' : 'run') + body)
      blobs.push(`GET /v1/${i} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`)
    }
    blobs.push(head(token, ['content-length: 3', 'transfer-encoding: chunked']) + NO_ARGS)
    for (const some of [blobs.slice(0, 60), blobs.slice(60, 120), blobs.slice(120)]) {
      const batch = some.map((blob) => say(door.path, blob).catch(() => ''))
      expect(await door.admin.peers().catch(() => 'full')).toBeDefined()
      await Promise.all(batch)
    }
    expect(await door.admin.status()).toMatchObject({ locked: false })
  })
})

describe('where the socket stands', () => {
  it('only its user can reach it: 0600 in a directory of 0700', async () => {
    await using door = await doored()
    expect(statSync(door.path).mode & 0o777).toBe(0o600)
    expect(statSync(join(door.path, '..')).mode & 0o777).toBe(0o700)
  })

  it.skipIf(process.getuid?.() !== 0)(
    'a second user is refused, also where the directories let everybody in',
    async () => {
      await using door = await doored()
      const child = fileURLToPath(new URL('_second-user.ts', import.meta.url))
      const attempt = (): string =>
        execFileSync(process.execPath, [child, door.path], { encoding: 'utf8' })
      expect(attempt()).toBe('EACCES')
      chmodSync(join(door.path, '..'), 0o755)
      chmodSync(join(door.path, '../..'), 0o755)
      expect(attempt()).toBe('EACCES')
      chmodSync(door.path, 0o666)
      expect(attempt()).toBe('connected')
    },
  )

  it(`a path of more than ${MAX_SOCKET_PATH_BYTES} bytes is refused with a sentence`, async () => {
    await using door = await doored()
    const at = join(door.path, '..')
    const open = (length: number): Promise<{ close(): Promise<void> }> =>
      openOwnerSocket({
        path: join(at, 'x'.repeat(length - at.length - 1)),
        tokens: door.files,
        door: door.all.guard.owner,
        limits: DEFAULT_KEEPER_LIMITS,
      })
    await expect(open(MAX_SOCKET_PATH_BYTES + 1)).rejects.toThrow(
      'the path has 104 bytes where a socket may have 103',
    )
    const socket = await open(MAX_SOCKET_PATH_BYTES)
    await socket.close()
  })

  it('a directory that others may enter, or a file in its place, is refused; a dead socket is replaced', async () => {
    await using door = await doored()
    const at = mkdtempSync(join(tmpdir(), 'stronghold-place-'))
    const open = (path: string): Promise<{ close(): Promise<void> }> =>
      openOwnerSocket({
        path,
        tokens: door.files,
        door: door.all.guard.owner,
        limits: DEFAULT_KEEPER_LIMITS,
      })
    try {
      mkdirSync(join(at, 'wide'), { mode: 0o755 })
      await expect(open(join(at, 'wide', 's'))).rejects.toMatchObject({ reason: 'unsafe_file' })
      writeFileSync(join(at, 'file'), '')
      await expect(open(join(at, 'file'))).rejects.toMatchObject({ reason: 'unsafe_file' })
      const dead = createServer()
      await new Promise<void>((resolve) => dead.listen(join(at, 'dead'), resolve))
      const socket = await open(join(at, 'dead'))
      const token = readToken(door.files.admin)
      expect(await connectOwner(join(at, 'dead'), token).status()).toMatchObject({ locked: false })
      await socket.close()
      dead.close()
    } finally {
      rmSync(at, { recursive: true, force: true })
    }
  })

  it('a socket where others may put one is shown no token', async () => {
    await using door = await doored()
    const token = readToken(door.files.admin)
    const folder = join(door.path, '..')
    expect(await connectOwner(door.path, token).status()).toMatchObject({ locked: false })
    const seen: string[] = []
    const foreign = createServer((socket) => {
      socket.on('data', (data) => seen.push(data.toString()))
    })
    await new Promise<void>((resolve) => foreign.listen(join(folder, 'foreign'), resolve))
    try {
      for (const mode of [0o777, 0o1777, 0o770, 0o702]) {
        chmodSync(folder, mode)
        for (const path of [door.path, join(folder, 'foreign')]) {
          const call = connectOwner(path, token).status()
          await expect(call).rejects.toMatchObject({ code: 'failed_precondition', ran: 'no' })
        }
      }
      expect(seen).toEqual([])
    } finally {
      chmodSync(folder, 0o700)
      foreign.close()
    }
  })

  it('where nobody listens, or nothing that answers as a keeper does, one sentence says so', async () => {
    const at = mkdtempSync(join(tmpdir(), 'stronghold-none-'))
    try {
      const nobody = connectOwner(join(at, 's'), 'f'.repeat(64)).status()
      await expect(nobody).rejects.toMatchObject({
        code: 'unavailable',
        ran: 'no',
        message: expect.stringMatching(/^Cannot reach keeper at ".*": nobody listens there$/),
      })
      const server = createServer((socket) => {
        socket.on('error', () => {})
        socket.end('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc')
      })
      await new Promise<void>((resolve) => server.listen(join(at, 's'), resolve))
      await expect(connectOwner(join(at, 's'), 'f'.repeat(64)).status()).rejects.toMatchObject({
        code: 'unavailable',
        ran: 'maybe',
        message: expect.stringContaining('it does not answer as it should'),
      })
      server.close()
    } finally {
      rmSync(at, { recursive: true, force: true })
    }
  })
})
