/**
 * Memory that is used again, over real sockets: every peer fills what it sends with its own byte, everybody keeps what was
 * handed out, and looks at it when all is over. What is cut off in the middle is part of it.
 */
import { expect, test } from 'vitest'

import { bidiStream, bytes, createNode, defineProtocol, serverStream, unary } from '../src/index.ts'
import type { Node } from '../src/index.ts'

const PEERS = 3
const ROUNDS = process.env['STRONGHOLD_LONG'] === '1' ? 60 : 4
/** About the lengths at which memory changes hands: blocks, slabs, parts, records. */
const LENGTHS = [1, 255, 257, 4095, 4097, 8192, 16_360, 16_385, 65_535, 70_000, 163_840, 400_000]

const protocol = defineProtocol('/own-bytes/1', {
  echo: unary({ request: bytes, response: bytes }),
  later: unary({ request: bytes, response: bytes }),
  down: serverStream({ request: bytes, download: bytes }),
  both: bidiStream({ request: bytes, upload: bytes, download: bytes }),
})

interface Kept {
  readonly mark: number
  readonly chunk: Uint8Array
}

/** A generator of numbers below one, the same each time. */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

function lengthOf(next: () => number): number {
  return LENGTHS[Math.floor(next() * LENGTHS.length)] ?? 1
}

function turns(count: number): Promise<void> {
  return new Promise((resolve) => {
    const again = (left: number): void => {
      if (left === 0) resolve()
      else setImmediate(again, left - 1)
    }
    again(count)
  })
}

function isOnly({ mark, chunk }: Kept): boolean {
  const filled = new Uint8Array(chunk.byteLength).fill(mark)
  return chunk.byteLength > 0 && Buffer.compare(chunk, filled) === 0
}

function serve(home: Node, kept: Kept[]): void {
  const keep = (chunk: Uint8Array, mark = chunk[0] ?? -1): Uint8Array => {
    kept.push({ mark, chunk })
    return chunk
  }
  home.serve(protocol, {
    echo: (message) => keep(message).slice(),
    later: async (message) => {
      keep(message)
      await turns(20)
      return message
    },
    down: async function* (message) {
      for (const length of LENGTHS) {
        yield new Uint8Array(length).fill(keep(message)[0] ?? 0)
        await turns(1)
      }
    },
    both: async function* (message, { upload }) {
      const [mark] = message
      for await (const item of upload) yield keep(item, mark)
    },
  })
}

async function ask(away: Node, home: Node, mark: number, kept: Kept[]): Promise<void> {
  const next = numbers(mark)
  const remote = away.client(protocol, home.addresses)
  const filled = (): Uint8Array => new Uint8Array(lengthOf(next)).fill(mark)
  const keep = (chunk: Uint8Array): void => {
    kept.push({ mark, chunk })
  }
  const upload = async function* (count: number): AsyncGenerator<Uint8Array> {
    for (let n = 0; n < count; n++) {
      yield filled()
      await turns(Math.floor(next() * 3))
    }
  }
  const one = async (): Promise<void> => {
    const signal = next() < 0.3 ? AbortSignal.timeout(Math.floor(next() * 8)) : undefined
    const options = signal === undefined ? {} : { signal }
    const kind = Math.floor(next() * 4)
    try {
      if (kind === 0) keep(await remote.echo(filled(), options))
      else if (kind === 1) keep(await remote.later(filled(), options))
      else {
        const items =
          kind === 2
            ? remote.down(filled(), options)
            : remote.both(filled(), { ...options, upload: upload(6) })
        const most = next() < 0.3 ? 2 : 100
        let count = 0
        for await (const item of items) {
          keep(item)
          // A reader that is slow, so that windows close and what arrives is held.
          await turns(Math.floor(next() * 10))
          if (++count === most) break
        }
      }
    } catch (error) {
      if (signal?.aborted !== true) throw error
    }
  }
  for (let round = 0; round < ROUNDS; round++) {
    await Promise.all(Array.from({ length: 6 }, one))
  }
}

test.each(['noise', 'tls'] as const)(
  'Over TCP with %s nobody ever sees a byte of somebody else’s',
  async (security) => {
    const kept: Kept[] = []
    const limits = { requestWindowBytes: 96 * 1024 }
    await using home = await createNode({
      firewall: { inbound: { fallback: 'allow' } },
      security: [security],
      listen: ['/ip4/127.0.0.1/tcp/0'],
      limits,
    })
    serve(home, kept)
    const aways = await Promise.all(
      Array.from({ length: PEERS }, () => createNode({ security: [security], limits })),
    )
    const asking = aways.map((away, peer) => ask(away, home, 0x11 * (peer + 1), kept))
    try {
      await Promise.all(asking)
    } finally {
      for (const away of aways) await away[Symbol.asyncDispose]()
    }
    expect(kept.length).toBeGreaterThan(ROUNDS * PEERS)
    expect(kept.filter((one) => !isOnly(one))).toEqual([])
  },
  ROUNDS * 5000,
)
