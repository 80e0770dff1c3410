/**
 * Echoes, and asks for echoes, in every way this library speaks: to try other implementations against it.
 *
 *   node examples/echo.ts serve [--listen MULTIADDR]… [--security noise|tls|noise,tls]
 *                               [--key ed25519|secp256k1|ecdsa|rsa] [--firewall allow|deny|ask] [--relay]
 *   node examples/echo.ts send ADDRESS --as channel|original|original-p2p|json|cbor|raw|ping TEXT
 *                               [--security …] [--key …]
 *
 * `--listen RELAY/p2p-circuit` listens through a relay, `--relay` is one. `serve` prints one JSON line when it listens
 * and one for each event; with `--firewall ask` each line `allow` on stdin lets the oldest request that waits pass, any
 * other line denies it. It runs until it is interrupted. `send` prints one JSON line: the answer (exit 0) or the error
 * (exit 1). Exit 2 is for what cannot be understood.
 */
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

import {
  bytes,
  createNode,
  defineProtocol,
  isP2pError,
  original,
  requestResponse,
  serverStream,
  unary,
} from '@stronghold/p2p'
import type { AskAnswer, Framing, Node, NodeInit } from '@stronghold/p2p'
import { z } from 'zod'

const echo = defineProtocol('/example/echo/1.0.0', {
  bytes: unary({ request: bytes, response: bytes, readOnly: true }),
  value: unary({ request: z.json(), response: z.json(), readOnly: true }),
  stream: serverStream({
    request: z.object({ text: z.string(), times: z.int().min(0).max(1_000_000) }),
    download: bytes,
  }),
})

/** The same methods, as others ask for them. */
const framings = {
  original: original({ method: 'value' }),
  'original-p2p': original({ method: 'value', protocol: '/p2p/1.0.0' }),
  json: requestResponse('/echo/json/1', 'json', { method: 'value' }),
  cbor: requestResponse('/echo/cbor/1', 'cbor', { method: 'value' }),
  raw: requestResponse('/echo/raw/1', 'raw', { method: 'bytes' }),
}
const WAYS = ['channel', ...Object.keys(framings), 'ping']
const KEYS = ['ed25519', 'secp256k1', 'ecdsa', 'rsa'] as const
const SECURITIES = ['noise', 'tls'] as const
const VERDICTS = ['allow', 'deny', 'ask'] as const

/** What was asked for cannot be understood. */
class UsageError extends Error {}

async function main(args: string[]): Promise<number> {
  const [command, ...rest] = args
  if (command === 'serve') return serve(rest)
  if (command === 'send') return send(rest)
  throw new UsageError('expected serve or send, as in: echo serve --listen /ip4/127.0.0.1/tcp/0')
}

async function serve(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      listen: { type: 'string', multiple: true },
      security: { type: 'string' },
      key: { type: 'string' },
      firewall: { type: 'string', default: 'allow' },
      relay: { type: 'boolean', default: false },
    },
  })
  const verdict = oneOf(VERDICTS, values.firewall, '--firewall')
  const stopping = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      stopping.abort()
    })
  }
  await using node = await createNode({
    ...common(values),
    listen: values.listen ?? ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws'],
    relay: { serve: values.relay },
    firewall: {
      inbound: { fallback: verdict },
      ...(verdict === 'ask' ? { onAsk: asker(stopping.signal) } : {}),
    },
  })
  node.serve(
    echo,
    {
      bytes: (message) => message,
      value: (value) => value,
      stream: function* ({ text, times }) {
        for (let at = 0; at < times; at++) yield new TextEncoder().encode(text)
      },
    },
    { as: [framings.original, framings.json, framings.cbor, framings.raw] },
  )
  const types = [
    'connected',
    'disconnected',
    'asked',
    'request',
    'denied',
    'refused',
    'relayReserved',
    'relayLost',
  ] as const
  const events = node.events({ types, signal: stopping.signal })
  print({ peer: node.peer, addrs: node.addresses })
  for await (const event of events) print(event)
  return 0
}

/** Lets each line on stdin decide on one request, the oldest first. Once stdin ended, nobody is there to be asked. */
function asker(stopped: AbortSignal): NonNullable<NonNullable<NodeInit['firewall']>['onAsk']> {
  const waiting = new Set<(answer: AskAnswer) => void>()
  const lines = createInterface({ input: process.stdin })
  let ended = false
  lines.on('line', (line) => {
    const [oldest] = waiting
    oldest?.(line.trim() === 'allow' ? 'allow' : 'deny')
  })
  lines.on('close', () => {
    ended = true
    for (const decide of waiting) decide('deny')
  })
  stopped.addEventListener('abort', () => {
    lines.close()
    process.stdin.destroy()
  })
  return ({ signal }) =>
    new Promise((resolve) => {
      const decide = (answer: AskAnswer): void => {
        waiting.delete(decide)
        resolve(answer)
      }
      if (ended) return decide('deny')
      waiting.add(decide)
      signal.addEventListener('abort', () => {
        decide('deny')
      })
    })
}

async function send(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { as: { type: 'string' }, security: { type: 'string' }, key: { type: 'string' } },
  })
  const way = oneOf(WAYS, values.as, '--as')
  const [address, text, ...more] = positionals
  if (address === undefined) throw new UsageError('expected an address to send to')
  // A ping carries bytes of its own: a text given to it is not needed, and not refused.
  if (more.length > 0 || (text === undefined && way !== 'ping')) {
    throw new UsageError('expected an address and one text')
  }
  await using node = await createNode(common(values))
  try {
    const connection = await node.connect(address)
    const startedMs = performance.now()
    const answer = await ask(node, connection.peer, way, text ?? '')
    const ms = Math.round((performance.now() - startedMs) * 1000) / 1000
    const { transport, security, muxer } = connection
    print({ answer, ms, transport, security, muxer })
    return 0
  } catch (error) {
    if (!isP2pError(error)) throw error
    const { code, layer, ran, reason, message } = error
    print({ error: { code, layer, ran, reason, message } })
    return 1
  }
}

async function ask(node: Node, peer: string, way: string, text: string): Promise<unknown> {
  if (way === 'ping')
    return { roundTripMs: await node.ping(node.connections()[0]?.peer ?? (peer as never)) }
  const as = (framings as Record<string, Framing>)[way]
  const remote = node.client(echo, peer, as === undefined ? {} : { as })
  if (as !== undefined && as !== framings.raw) return remote.value(text)
  return new TextDecoder().decode(await remote.bytes(new TextEncoder().encode(text)))
}

function common(values: { security?: string; key?: string }): NodeInit {
  const { security, key } = values
  const init: NodeInit = {}
  if (key !== undefined) init.identity = { generate: oneOf(KEYS, key, '--key') }
  if (security !== undefined) {
    init.security = security.split(',').map((one) => oneOf(SECURITIES, one, '--security'))
  }
  return init
}

function oneOf<T extends string>(
  allowed: readonly T[],
  given: string | undefined,
  name: string,
): T {
  const found = allowed.find((one) => one === given)
  if (found !== undefined) return found
  const state = given === undefined ? 'nothing' : JSON.stringify(given.slice(0, 64))
  throw new UsageError(`expected ${allowed.join(', ')} for ${name}, not ${state}`)
}

function print(line: unknown): void {
  console.log(JSON.stringify(line))
}

/** Whether the caller has to write something else; otherwise something went wrong. */
function isUsage(error: unknown): boolean {
  const misused = [UsageError, TypeError, RangeError, SyntaxError]
  return misused.some((kind) => error instanceof kind)
}

function sentence(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  // The options' parser goes on to explain itself.
  return text.split('. ')[0] ?? text
}

// Whoever read our output may leave first.
process.stdout.on('error', () => process.exit(1))
try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  console.error(`echo: error: ${sentence(error)}`)
  process.exitCode = isUsage(error) ? 2 : 1
}
