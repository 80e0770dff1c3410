/** The example programs as their users run them: processes of their own. */
import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { afterEach, describe, expect, test } from 'vitest'

interface Ended {
  code: number | null
  lines: unknown[]
  stdout: string
  stderr: string
}

const running = new Set<ChildProcessWithoutNullStreams>()

afterEach(() => {
  for (const child of running) child.kill('SIGKILL')
})

function start(program: string, args: string[]): ChildProcessWithoutNullStreams {
  const path = fileURLToPath(new URL(program, import.meta.url))
  const child = spawn(process.execPath, ['--conditions=@stronghold/source', path, ...args])
  running.add(child)
  child.on('close', () => running.delete(child))
  return child
}

async function run(program: string, ...args: string[]): Promise<Ended> {
  const child = start(program, args)
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => (stdout += String(chunk)))
  child.stderr.on('data', (chunk) => (stderr += String(chunk)))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  const lines = stdout.trim().startsWith('{') ? stdout.trim().split('\n').map(parse) : []
  return { code, lines, stdout, stderr }
}

function parse(line: string): unknown {
  return JSON.parse(line)
}

/** A server that echoes; `line` is the next thing it printed, `stop` interrupts it and gives its exit code. */
async function serve(...args: string[]): Promise<{
  address: string
  all: string[]
  line(type: string): Promise<Record<string, unknown>>
  say(text: string): void
  stop(signal?: NodeJS.Signals): Promise<number | null>
}> {
  const child = start('echo.ts', ['serve', ...args])
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<Record<string, unknown>> => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error('the server ended')
    return parse(value) as Record<string, unknown>
  }
  const { peer, addrs } = (await next()) as { peer: string; addrs: string[] }
  for (const one of addrs) expect(one.endsWith(`/p2p/${peer}`)).toBe(true)
  return {
    address: addrs[0] ?? '',
    all: addrs,
    line: async (type) => {
      for (;;) {
        const line = await next()
        if (line['type'] === type) return line
      }
    },
    say: (text) => child.stdin.write(`${text}\n`),
    stop: (signal = 'SIGTERM') => {
      const closed = new Promise<number | null>((resolve) => child.on('close', resolve))
      child.kill(signal)
      return closed
    },
  }
}

const send = (address: string, way: string, ...rest: string[]): Promise<Ended> =>
  run('echo.ts', 'send', address, '--as', way, ...rest)

describe.each([
  ['noise', 'ed25519', 'SIGTERM', ['channel', 'original', 'json', 'ping']],
  ['noise', 'rsa', 'SIGTERM', ['original-p2p', 'cbor', 'raw']],
  ['tls', 'ecdsa', 'SIGINT', ['channel', 'original', 'json', 'ping']],
  ['tls', 'secp256k1', 'SIGTERM', ['original-p2p', 'cbor', 'raw']],
] as const)('echo over %s with an %s key', (security, key, signal, ways) => {
  test(`answers as ${ways.join(', ')}`, { timeout: 60_000 }, async () => {
    const options = ['--security', security, '--key', key]
    const server = await serve(...options)
    const text = 'Grüße, "hi" \u{1f44b}'
    const sent = ways.map((way) => send(server.address, way, text, ...options))
    for (const [at, { code, lines, stderr }] of (await Promise.all(sent)).entries()) {
      expect(stderr).toBe('')
      expect(lines).toEqual([
        {
          answer: ways[at] === 'ping' ? { roundTripMs: expect.any(Number) } : text,
          ms: expect.any(Number),
          transport: 'tcp',
          security,
          muxer: '/yamux/1.0.0',
        },
      ])
      expect(code).toBe(0)
    }
    expect(await server.line('connected')).toMatchObject({
      transport: 'tcp',
      security,
      muxer: '/yamux/1.0.0',
    })
    expect(await server.stop(signal)).toBe(0)
  })
})

test(
  'echo listens where it is told, over WebSocket, and denies whom it is told',
  { timeout: 60_000 },
  async () => {
    const server = await serve(
      '--listen',
      '/ip4/127.0.0.1/tcp/0/ws',
      '--listen',
      '/ip4/127.0.0.1/tcp/0',
      '--firewall',
      'deny',
    )
    expect(server.all).toHaveLength(2)
    const webSocket = server.all.find((one) => one.includes('/ws/')) ?? ''
    const denied = await Promise.all(
      ['channel', 'original'].map((way) => send(webSocket, way, 'hi')),
    )
    for (const { code, lines } of denied) {
      expect(lines).toMatchObject([
        { error: { code: 'unimplemented', ran: 'no', layer: 'protocol' } },
      ])
      expect(code).toBe(1)
    }
    expect(await server.line('connected')).toMatchObject({ transport: 'ws' })
    expect(await server.line('denied')).toMatchObject({ by: 'fallback' })
    expect(await server.stop()).toBe(0)
  },
)

test('echo listens through a relay, and is asked through it', { timeout: 60_000 }, async () => {
  const relay = await serve('--relay', '--listen', '/ip4/127.0.0.1/tcp/0')
  const server = await serve('--listen', `${relay.address}/p2p-circuit`)
  expect(server.address.startsWith(`${relay.address}/p2p-circuit/p2p/`)).toBe(true)
  const ways = ['channel', 'original', 'json', 'ping']
  for (const sent of await Promise.all(ways.map((way) => send(server.address, way, 'hi')))) {
    expect(sent.lines).toMatchObject([{ transport: 'relay', security: 'noise' }])
    expect(sent.code).toBe(0)
  }
  expect(await server.line('connected')).toMatchObject({ relayed: true })
  expect(await relay.stop()).toBe(0)
  expect(await server.line('relayLost')).toMatchObject({ code: 'unavailable' })
  expect(await server.stop()).toBe(0)
})

test('echo asks, and does as it is told', { timeout: 60_000 }, async () => {
  const server = await serve('--firewall', 'ask')
  const allowed = send(server.address, 'channel', 'hi')
  expect(await server.line('asked')).toMatchObject({ method: 'bytes' })
  server.say('allow')
  expect(await allowed).toMatchObject({ code: 0, lines: [{ answer: 'hi' }] })
  const denied = send(server.address, 'channel', 'hi')
  await server.line('asked')
  server.say('no')
  expect(await denied).toMatchObject({ code: 1, lines: [{ error: { code: 'permission_denied' } }] })
  expect(await server.line('denied')).toMatchObject({ asked: 'answered' })
  // One that still waits does not hold the end up.
  const waiting = send(server.address, 'json', 'hi')
  await server.line('asked')
  expect(await server.stop()).toBe(0)
  expect(await waiting).toMatchObject({ code: 1, lines: [{ error: { code: 'unavailable' } }] })
})

test('echo says in one sentence what it cannot do', { timeout: 60_000 }, async () => {
  const somebody = '/p2p/12D3KooWEqzXKp3ecZHeWdmBj8MEqwEzWQQqKaGiCQQC8JoBFMHu'
  const usage = [
    [],
    ['serve', '--bogus'],
    ['serve', '--security', 'noise,none'],
    ['serve', '--listen', 'here'],
    ['send', '/ip4/127.0.0.1/tcp/1', '--as', 'xml', 'hi'],
    ['send', 'nowhere', '--as', 'json', 'hi'],
  ]
  for (const { code, stdout, stderr } of await Promise.all(
    usage.map((args) => run('echo.ts', ...args)),
  )) {
    expect(stderr).toMatch(/^echo: error: [^\n]+[^.\n]\n$/)
    expect(stdout).toBe('')
    expect(code).toBe(2)
  }
  const dead = await send(`/ip4/127.0.0.1/tcp/1${somebody}`, 'json', 'hi')
  expect(dead).toMatchObject({ code: 1, stderr: '' })
  expect(dead.lines).toMatchObject([{ error: { code: 'unavailable', layer: 'dial', ran: 'no' } }])
  const taken = await run('echo.ts', 'serve', '--listen', '/ip4/192.0.2.1/tcp/0')
  expect(taken).toMatchObject({ code: 1, stdout: '' })
  expect(taken.stderr).toMatch(/^echo: error: Cannot listen on [^\n]+\n$/)
})

test('files runs and ends by itself', { timeout: 30_000 }, async () => {
  const { code, stdout, stderr } = await run('files.ts')
  expect(stderr).toBe('')
  expect(stdout).toBe(`asked write { name: 'a' } allow
wrote { chunks: 2 }
stat { chunks: 2 }
read 3
read 1
not_found yes handler
asked write { name: 'b' } deny
permission_denied no firewall
connected laptop
denied laptop
`)
  expect(code).toBe(0)
})

test('vault shows a signature that ssh-keygen verifies', { timeout: 60_000 }, async () => {
  const { code, stdout, stderr } = await run('vault.ts')
  expect(stderr).toBe('')
  expect(stdout).toMatch(/^made a vault +its secrets live in 4 MiB of memory, locked: (yes|no)\n/)
  expect(stdout).toMatch(/\n {2}ssh-ed25519 AAAA\S+ release\/app\n/)
  expect(stdout).toMatch(/\nlocked +Cannot use vault: it is locked\n/)
  expect(stdout).toMatch(/\nunlocked +and signed in \d+ ms: the same signature\n/)
  expect(stdout).toMatch(
    /\n(ssh-keygen says +Good "file" signature for release\/app|not verified +ssh-keygen is not installed here)[^\n]*\n$/,
  )
  expect(code).toBe(0)
  const missing = await run('vault.ts', 'no-such-file')
  expect(missing).toMatchObject({ code: 1, stdout: '' })
  expect(missing.stderr).toMatch(/^vault: error: ENOENT[^\n]+\n$/)
})
