/**
 * A peer in the manner of the Rust original: TCP, Noise and Yamux alone, every protocol negotiated strictly step by
 * step, no muxer inside the handshake, no identify, no ping; one stream for each request, in its framing. The pieces
 * are stock, what puts them together is written here.
 */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { PassThroughUpgrader } from '@libp2p/daemon-protocol/upgrader'
import type {
  Listener,
  MessageStream,
  MultiaddrConnection,
  Stream,
  StreamMuxer,
  Transport,
} from '@libp2p/interface'
import { defaultLogger } from '@libp2p/logger'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { lpStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'

const MULTISTREAM = '/multistream/1.0.0'
const NOISE = '/noise'
const YAMUX = '/yamux/1.0.0'
const UNKNOWN = 'na'
const MAX_NAME_BYTES = 1024
const MAX_MESSAGE_BYTES = 1024 * 1024
const TIMEOUT_MS = 10_000

/** Answers one request, both as JSON. */
export type Answer = (request: string) => string

/** A connection of the peer. */
export interface OriginalConnection {
  /** Asks on a stream of its own, with JSON. @throws where the other side does not know the protocol, or gives nothing */
  ask(protocol: string, request: string): Promise<string>
  /** What the other side has asked for, in order. */
  readonly asked: readonly string[]
  close(): Promise<void>
}

/** The peer. */
export interface OriginalPeer {
  /** Its peer id. */
  readonly peer: string
  dial(address: string): Promise<OriginalConnection>
  /** On loopback. @returns the address, with the peer id */
  listen(): Promise<string>
  /** The next connection that came in and was secured. */
  accepted(): Promise<OriginalConnection>
  stop(): Promise<void>
}

/** Makes one, which answers what it is asked under these protocol ids. */
export async function originalPeer(
  protocols: readonly string[],
  answer: Answer,
): Promise<OriginalPeer> {
  const privateKey = await generateKeyPair('Ed25519')
  const logger = defaultLogger()
  const dialed = new PassThroughUpgrader()
  const transport: Transport = tcp()({ logger })
  const secure = noise()({
    privateKey,
    peerId: peerIdFromPrivateKey(privateKey),
    logger,
    upgrader: dialed,
  })
  const muxers = yamux({ enableKeepAlive: false })()
  const open = new Set<OriginalConnection>()
  const accepted: OriginalConnection[] = []
  let onAccepted: (() => void) | undefined
  let listener: Listener | undefined

  const upgrade = async (raw: MultiaddrConnection): Promise<OriginalConnection> => {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const options = { signal, skipStreamMuxerNegotiation: true }
    const isDialer = raw.direction === 'outbound'
    const negotiate = isDialer ? select : respond
    await negotiate(raw, [NOISE])
    const { connection } = isDialer
      ? await secure.secureOutbound(raw, options)
      : await secure.secureInbound(raw, options)
    await negotiate(connection, [YAMUX])
    const muxer = muxers.createStreamMuxer(connection)
    const made = speak(muxer, protocols, answer, () => raw.close())
    open.add(made)
    return made
  }

  const listened = new PassThroughUpgrader((raw) => {
    upgrade(raw).then(
      (connection) => {
        accepted.push(connection)
        onAccepted?.()
      },
      (error: unknown) => {
        raw.abort(error instanceof Error ? error : new Error(String(error)))
      },
    )
  })

  return {
    peer: privateKey.publicKey.toString(),
    dial: async (address) => {
      const signal = AbortSignal.timeout(TIMEOUT_MS)
      const raw: unknown = await transport.dial(multiaddr(address), { upgrader: dialed, signal })
      // What the pass-through gives is no connection yet.
      return upgrade(raw as MultiaddrConnection)
    },
    listen: async () => {
      listener = transport.createListener({ upgrader: listened })
      await listener.listen(multiaddr('/ip4/127.0.0.1/tcp/0'))
      return `${String(listener.getAddrs()[0])}/p2p/${privateKey.publicKey.toString()}`
    },
    accepted: async () => {
      for (;;) {
        const next = accepted.shift()
        if (next !== undefined) return next
        await new Promise<void>((resolve) => (onAccepted = resolve))
      }
    },
    stop: async () => {
      await Promise.all([...open].map((one) => one.close()))
      await listener?.close()
    },
  }
}

function speak(
  muxer: StreamMuxer,
  protocols: readonly string[],
  answer: Answer,
  close: () => Promise<void>,
): OriginalConnection {
  const asked: string[] = []
  muxer.addEventListener('stream', ({ detail: stream }) => {
    respond(stream, protocols, asked)
      .then(() => answerOne(stream, answer))
      .catch((error: unknown) => {
        stream.abort(error instanceof Error ? error : new Error(String(error)))
      })
  })
  return {
    asked,
    ask: async (protocol, request) => {
      const stream = await muxer.createStream()
      await select(stream, [protocol])
      const messages = lpStream(stream, { maxDataLength: MAX_MESSAGE_BYTES })
      await messages.write(new TextEncoder().encode(request))
      const response = await messages.read()
      await stream.close()
      return new TextDecoder().decode(response.subarray())
    },
    close,
  }
}

/** The answerer closes when it has written; it does not wait for the end of the asker's side. */
async function answerOne(stream: Stream, answer: Answer): Promise<void> {
  const messages = lpStream(stream, { maxDataLength: MAX_MESSAGE_BYTES })
  const request = new TextDecoder().decode((await messages.read()).subarray())
  await messages.write(new TextEncoder().encode(answer(request)))
  await stream.close()
}

/** Proposes one after another; says nothing before the last word was answered. */
async function select(stream: MessageStream, protocols: readonly string[]): Promise<string> {
  const names = lines(stream)
  await names.write(MULTISTREAM)
  if ((await names.read()) !== MULTISTREAM) throw new Error('the other side is no multistream')
  for (const protocol of protocols) {
    await names.write(protocol)
    const said = await names.read()
    if (said !== UNKNOWN && said !== protocol) throw new Error(`unexpected ${said}`)
    if (said === UNKNOWN) continue
    names.end()
    return protocol
  }
  throw new Error(`${protocols.join()} is not known there`)
}

/** Answers word by word, and takes nothing before its answer is written. */
async function respond(
  stream: MessageStream,
  protocols: readonly string[],
  asked: string[] = [],
): Promise<string> {
  const names = lines(stream)
  if ((await names.read()) !== MULTISTREAM) throw new Error('the other side is no multistream')
  await names.write(MULTISTREAM)
  for (;;) {
    const proposed = await names.read()
    asked.push(proposed)
    const isKnown = protocols.includes(proposed)
    await names.write(isKnown ? proposed : UNKNOWN)
    if (!isKnown) continue
    names.end()
    return proposed
  }
}

interface Lines {
  read(): Promise<string>
  write(line: string): Promise<void>
  /** Gives back what came beyond the last line. */
  end(): void
}

function lines(stream: MessageStream): Lines {
  const framed = lpStream(stream, { maxDataLength: MAX_NAME_BYTES })
  return {
    read: async () => {
      const line = new TextDecoder().decode((await framed.read()).subarray())
      if (!line.endsWith('\n')) throw new Error('a line without an end')
      return line.slice(0, -1)
    },
    write: (line) => framed.write(new TextEncoder().encode(`${line}\n`)),
    end: () => {
      framed.unwrap()
    },
  }
}
