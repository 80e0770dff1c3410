/** Streams of items between an iterable and a flow, as fast as the slower of both. Knows nothing of who sends. */
import type { Carrier } from './carry.ts'
import type { Inflow, Outflow } from './channel/flow.ts'
import { P2pError } from './errors.ts'
import type { P2pLimits } from './limits.ts'

/** What can be sent item by item. */
export type Items = Iterable<unknown> | AsyncIterable<unknown>

/** Sends items as fast as the other side takes them; stops, and closes the iterator, when nobody wants more. */
export async function sendItems(
  items: Items,
  carrier: Carrier,
  outflow: Outflow,
  limits: P2pLimits,
): Promise<void> {
  for await (const item of items) {
    if (outflow.stopped) return
    const message = carrier.pack(item)
    if (message.byteLength > limits.maxMessageBytes) {
      const text = `Cannot send the item: longer than ${limits.maxMessageBytes} bytes`
      throw new P2pError('resource_exhausted', text, { layer: 'limit', ran: 'yes' })
    }
    outflow.push(message)
    const room = outflow.room()
    if (room !== undefined) await room
    if (outflow.stopped) return
  }
  outflow.end()
}

/** The items of a flow, checked; leaving early tells the sender. */
export async function* readItems(
  inflow: Inflow,
  carrier: Carrier,
  limits: P2pLimits,
): AsyncGenerator<unknown, void> {
  try {
    for (;;) {
      const message = await inflow.next()
      if (message === undefined) return
      const checked = await carrier.unpack(message, limits)
      if (!checked.ok) {
        throw new P2pError('invalid_argument', `Cannot read an item: ${checked.problem}`, {
          layer: 'handler',
        })
      }
      yield checked.value
    }
  } finally {
    inflow.abandon()
  }
}
