/** The side that wants signatures, one question by name for each way to ask. */
import { createNode } from '@stronghold/p2p'
import { connectVault } from '@stronghold/remote/connect'
import { sign } from '@stronghold/vault/catalog'

import { AgentLine } from './agent-line.ts'
import { echo, KEY_PATH, MESSAGE } from './protocol.ts'

/** Ways to ask, each for one answer. */
export type Asked = Record<string, () => void | Promise<void>>

/** Somebody who is going to ask. */
export interface Asker {
  readonly peer: string
  readonly asked: Asked
  /** One round trip that nobody decides on. */
  ping(): Promise<void>
  /** Learns where to. */
  reach(address: Readonly<Record<string, string>>): void
}

/** Gets ready. */
export async function meet(): Promise<Asker> {
  const node = await createNode({ limits: { maxOutboundPerPeer: 2048 } })
  const asked: Asked = {}
  return {
    peer: node.peer,
    asked,
    ping: async () => {
      const [connection] = node.connections()
      if (connection === undefined) throw new Error('there is no connection')
      await node.ping(connection.peer)
    },
    reach: ({ node: home, agent }) => {
      if (agent !== undefined) {
        const line = new AgentLine(agent)
        asked['agent'] = () => line.sign(MESSAGE)
      }
      if (home === undefined) return
      const vault = connectVault(node, home)
      const client = node.client(echo, home)
      const input = { key: KEY_PATH, message: MESSAGE, as: { format: 'raw' as const } }
      asked['stronghold'] = async () => {
        assertSignature((await vault.run(sign, input)).signature)
      }
      asked['receipts'] = async () => {
        assertSignature((await vault.run(sign, input, { receipt: true })).signature)
      }
      asked['channel'] = async () => {
        await client.echo(MESSAGE)
      }
    },
  }
}

function assertSignature(signature: Uint8Array): void {
  if (signature.byteLength !== 64) throw new Error(`a signature of ${signature.byteLength} bytes`)
}
