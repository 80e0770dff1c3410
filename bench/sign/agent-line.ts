/**
 * Signatures by an ssh-agent, over its socket (draft-ietf-sshm-ssh-agent): many requests on one connection, answered in order.
 * It knows one key, the first that the agent names.
 */
import { createConnection } from 'node:net'
import type { Socket } from 'node:net'

const REQUEST_IDENTITIES = 11
const IDENTITIES_ANSWER = 12
const SIGN_REQUEST = 13
const SIGN_RESPONSE = 14

/** One connection to an agent. */
export class AgentLine {
  readonly #socket: Socket
  readonly #waiting: {
    resolve: (message: Buffer) => void
    reject: (error: unknown) => void
  }[] = []
  #received: Buffer = Buffer.alloc(0)
  #key: Promise<Buffer> | undefined

  constructor(path: string) {
    this.#socket = createConnection(path)
    this.#socket.on('data', (chunk) => {
      this.#take(chunk)
    })
    this.#socket.on('close', () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error('the agent is gone'))
    })
    this.#socket.on('error', () => {})
  }

  /** Asks for a signature. */
  async sign(message: Uint8Array): Promise<void> {
    const key = await (this.#key ??= this.#firstKey())
    const flags = Buffer.alloc(4)
    const answer = await this.#ask(SIGN_REQUEST, Buffer.concat([text(key), text(message), flags]))
    if (answer[0] !== SIGN_RESPONSE) throw new Error(`the agent answered with ${answer[0]}`)
  }

  async #firstKey(): Promise<Buffer> {
    const answer = await this.#ask(REQUEST_IDENTITIES, Buffer.alloc(0))
    if (answer[0] !== IDENTITIES_ANSWER || answer.readUInt32BE(1) === 0) {
      throw new Error('the agent holds no key')
    }
    return answer.subarray(9, 9 + answer.readUInt32BE(5))
  }

  #ask(type: number, body: Buffer): Promise<Buffer> {
    const head = Buffer.alloc(5)
    head.writeUInt32BE(1 + body.byteLength)
    head[4] = type
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#socket.write(Buffer.concat([head, body]))
    })
  }

  #take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk])
    while (this.#received.byteLength >= 4) {
      const end = 4 + this.#received.readUInt32BE(0)
      if (this.#received.byteLength < end) return
      this.#waiting.shift()?.resolve(this.#received.subarray(4, end))
      this.#received = this.#received.subarray(end)
    }
  }
}

function text(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.byteLength)
  return Buffer.concat([length, bytes])
}
