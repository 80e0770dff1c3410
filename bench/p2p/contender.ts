/**
 * What every way of asking another process has in common, so that each is measured by the same code. Knows nothing of
 * what is measured.
 */

/** One connection to the other process, which sends back whatever it is asked with. */
export interface Line {
  ask(body: Uint8Array): Promise<Uint8Array>
  close(): Promise<void>
}

/** The asking side, in a process of its own. */
export interface Dialer {
  /** Makes what a connection needs and what is there before it, as a node with its key, for so many of them. */
  prepare(slots: number): Promise<void>
  /** A new connection, secured by both sides. One per slot at a time. `port` leads to the same server another way. */
  connect(slot: number, port?: number): Promise<Line>
}

/** The answering side, in a process of its own. */
export interface Served {
  /** Whatever the dialer must know, as JSON. `port` is a TCP port where there is one. */
  address: ServedAddress
}

/** Where the answering side is. */
export interface ServedAddress {
  port?: number
  [key: string]: unknown
}

/** Both sides. */
export interface Contender {
  serve(): Promise<Served>
  dialer(address: ServedAddress): Promise<Dialer>
}
