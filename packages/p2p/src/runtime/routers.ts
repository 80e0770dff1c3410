/** What this package asks of the platform to speak to the router of a network. No type of a platform stands here. */

/** What is sent to a router, and what bounds its answer. */
export interface RouterRequest {
  readonly url: URL
  readonly method: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** Longest answer taken, headers excluded. */
  readonly maxBytes: number
  readonly signal: AbortSignal
}

/** What it answered. */
export interface RouterResponse {
  readonly status: number
  readonly body: Uint8Array
  /** Our own address towards it. */
  readonly localHost: string
}

/** The platform's way to routers. */
export interface RouterRuntime {
  /** Asks everybody on the networks we are in. Rejects where there is none; ends when the signal aborts. */
  search(
    packets: readonly Uint8Array[],
    onAnswer: (packet: Uint8Array, from: string) => void,
    signal: AbortSignal,
  ): Promise<void>
  /** One exchange over HTTP. Rejects where it fails, the answer is longer, or the signal aborts. */
  exchange(request: RouterRequest): Promise<RouterResponse>
}
