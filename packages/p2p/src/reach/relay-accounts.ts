/**
 * Who may use a relay, for how much, and what they used: reservations, circuits and bytes, counted by peer and by
 * address. Pure bookkeeping: it opens and closes nothing, and time is handed in.
 */
import type { PeerId } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import type { CircuitLimit, StatusName } from './relay-message.ts'

/** The limits that a relay keeps. */
export type RelayLimits = Pick<
  P2pLimits,
  | 'maxRelayReservations'
  | 'maxRelayReservationsPerAddress'
  | 'relayReservationMs'
  | 'maxRelayCircuits'
  | 'maxRelayCircuitsPerPeer'
  | 'maxRelayCircuitsPerAddress'
  | 'maxRelayCircuitsPerTarget'
  | 'maxRelayCircuitBytes'
  | 'maxRelayCircuitMs'
  | 'maxRelayBytesPerPeer'
  | 'maxRelayAccounts'
  | 'maxBlocked'
>

/** What one peer, or everybody, may have in the place of the limits. Zero: no bound, where the limit itself may be zero. */
export interface RelayQuota {
  /** In the place of `maxRelayBytesPerPeer`. */
  readonly bytesPerDay?: number
  /** Circuits it opens at once, in the place of `maxRelayCircuitsPerPeer`, and that lead to it at once. */
  readonly circuits?: number
  /** In the place of `maxRelayCircuitBytes`, on circuits that lead to it. */
  readonly circuitBytes?: number
  /** In the place of `maxRelayCircuitMs`, on circuits that lead to it. */
  readonly circuitMs?: number
}

/** What a peer used of a relay. */
export interface RelayUsage {
  readonly peer: PeerId
  /** Since the epoch; undefined: it has no reservation. */
  readonly reservedUntilMs: number | undefined
  /** Reservations granted, renewals included. */
  readonly reservations: number
  /** Circuits that stand now, from it and to it. */
  readonly openCircuits: number
  /** All circuits there were, from it and to it. */
  readonly circuits: number
  /** Bytes carried on them, both directions. */
  readonly bytes: number
  /** Those of the day that `maxRelayBytesPerPeer` counts. */
  readonly bytesToday: number
}

/** What all peers together use. */
export interface RelayTotals {
  readonly reservations: number
  readonly openCircuits: number
  readonly circuits: number
  readonly bytes: number
  /** Reservations and circuits that were refused. */
  readonly refused: number
}

/** Why a reservation or a circuit is refused. */
export type RelayRefusal = Extract<
  StatusName,
  'RESERVATION_REFUSED' | 'RESOURCE_LIMIT_EXCEEDED' | 'PERMISSION_DENIED' | 'NO_RESERVATION'
>

/** A circuit that is counted. */
export interface CircuitAccount {
  readonly from: PeerId
  readonly to: PeerId
  /** Undefined: no bound at all. */
  readonly limit: CircuitLimit | undefined
  /**
   * Counts bytes that are about to leave. False: they are too many, and are not counted.
   *
   * @param forth - from the one who opened it
   */
  carry(bytes: number, forth: boolean, nowMs: number): boolean
  /** Gives its place back. Idempotent. */
  release(): void
}

/** What accounts are made of. */
export interface RelayAccountsInit {
  readonly limits: RelayLimits
  /** Whether everybody who is not denied may reserve, or only who is allowed. */
  readonly everybody: boolean
  readonly allowed?: Iterable<PeerId>
  /** What everybody may use in the place of the limits. */
  readonly quota?: RelayQuota | undefined
}

const DAY_MS = 24 * 60 * 60_000

interface Account {
  readonly peer: PeerId
  reservation: { group: string | undefined; expiresAtMs: number } | undefined
  reservations: number
  outbound: number
  inbound: number
  circuits: number
  bytes: number
  dayFromMs: number
  dayBytes: number
}

/** The books of one relay. */
export class RelayAccounts {
  readonly #limits: RelayLimits
  // The least recently used first.
  readonly #accounts = new Map<PeerId, Account>()
  readonly #allowed: Set<PeerId>
  readonly #denied = new Set<PeerId>()
  readonly #quotas = new Map<PeerId, RelayQuota>()
  readonly #reserved = new Set<Account>()
  readonly #reservedByGroup = new Map<string, number>()
  readonly #circuitsByGroup = new Map<string, number>()
  #everybody: boolean
  #quota: RelayQuota
  #openCircuits = 0
  #circuits = 0
  #bytes = 0
  #refused = 0

  constructor(init: RelayAccountsInit) {
    this.#limits = init.limits
    this.#everybody = init.everybody
    this.#quota = Object.freeze({ ...init.quota })
    this.#allowed = new Set(init.allowed)
  }

  /** Whether everybody who is not denied may reserve. */
  get everybody(): boolean {
    return this.#everybody
  }

  set everybody(everybody: boolean) {
    this.#everybody = everybody
  }

  /** Who is allowed by name. */
  get allowed(): PeerId[] {
    return [...this.#allowed]
  }

  /** Who is denied by name. */
  get denied(): PeerId[] {
    return [...this.#denied]
  }

  /** What everybody may use in the place of the limits, from the next look at it on. */
  get quota(): RelayQuota {
    return this.#quota
  }

  set quota(quota: RelayQuota) {
    this.#quota = Object.freeze({ ...quota })
  }

  /** What single peers may use in the place of that. */
  get quotas(): { peer: PeerId; quota: RelayQuota }[] {
    return [...this.#quotas].map(([peer, quota]) => ({ peer, quota }))
  }

  /** Lets a peer reserve. False: `maxBlocked` are named already. */
  allow(peer: PeerId): boolean {
    return this.#name(peer, this.#allowed, this.#denied)
  }

  /** Refuses a peer from now on, as one who reserves and as one who dials. False as for `allow`. */
  deny(peer: PeerId): boolean {
    if (!this.#name(peer, this.#denied, this.#allowed)) return false
    this.release(peer)
    return true
  }

  /** Gives a peer other bounds than everybody's; none given takes them back. False as for `allow`. */
  setQuota(peer: PeerId, quota: RelayQuota | undefined): boolean {
    if (quota === undefined) this.#quotas.delete(peer)
    else if (!this.#quotas.has(peer) && this.#quotas.size >= this.#limits.maxBlocked) return false
    else this.#quotas.set(peer, Object.freeze({ ...quota }))
    return true
  }

  /** What a peer was given by name. */
  quotaOf(peer: PeerId): RelayQuota | undefined {
    return this.#quotas.get(peer)
  }

  /**
   * A reservation, or a longer one.
   *
   * @param group - what the peer's address counts as; undefined counts with nobody
   */
  reserve(
    peer: PeerId,
    group: string | undefined,
    nowMs: number,
  ): { expiresAtMs: number } | { refused: RelayRefusal } {
    const limits = this.#limits
    if (this.#denied.has(peer) || !(this.#everybody || this.#allowed.has(peer))) {
      return this.#refuse('PERMISSION_DENIED')
    }
    this.#expire(nowMs)
    const known = this.#accounts.get(peer)
    const held = known?.reservation
    if (held === undefined && this.#reserved.size >= limits.maxRelayReservations) {
      return this.#refuse('RESERVATION_REFUSED')
    }
    if (group !== undefined && held?.group !== group) {
      const others = this.#reservedByGroup.get(group) ?? 0
      if (others >= limits.maxRelayReservationsPerAddress) {
        return this.#refuse('RESERVATION_REFUSED')
      }
    }
    const account = known ?? this.#account(peer, nowMs)
    if (account === undefined) return this.#refuse('RESERVATION_REFUSED')
    this.#unreserve(account)
    const expiresAtMs = nowMs + limits.relayReservationMs
    account.reservation = { group, expiresAtMs }
    account.reservations += 1
    this.#reserved.add(account)
    if (group !== undefined) add(this.#reservedByGroup, group, 1)
    this.#touch(account)
    return { expiresAtMs }
  }

  /** Ends a reservation: the peer is gone, or denied. False where there was none. */
  release(peer: PeerId): boolean {
    const account = this.#accounts.get(peer)
    return account !== undefined && this.#unreserve(account)
  }

  /** Whether a peer has a reservation. */
  holds(peer: PeerId, nowMs: number): boolean {
    const reservation = this.#accounts.get(peer)?.reservation
    return reservation !== undefined && reservation.expiresAtMs > nowMs
  }

  /**
   * A place for a circuit. Hold it as long as the circuit stands.
   *
   * @param group - as for `reserve`, of the one who opens it
   */
  open(
    from: PeerId,
    group: string | undefined,
    to: PeerId,
    nowMs: number,
  ): { circuit: CircuitAccount } | { refused: RelayRefusal } {
    const limits = this.#limits
    if (from === to || this.#denied.has(from) || this.#denied.has(to)) {
      return this.#refuse('PERMISSION_DENIED')
    }
    this.#expire(nowMs)
    const target = this.#accounts.get(to)
    if (target?.reservation === undefined) return this.#refuse('NO_RESERVATION')
    if (this.#openCircuits >= limits.maxRelayCircuits)
      return this.#refuse('RESOURCE_LIMIT_EXCEEDED')
    if (
      group !== undefined &&
      (this.#circuitsByGroup.get(group) ?? 0) >= limits.maxRelayCircuitsPerAddress
    ) {
      return this.#refuse('RESOURCE_LIMIT_EXCEEDED')
    }
    const known = this.#accounts.get(from)
    const ours = this.circuitsOf(from)
    const theirs = this.#given(to, 'circuits') ?? limits.maxRelayCircuitsPerTarget
    const full = (known?.outbound ?? 0) >= ours || target.inbound >= theirs
    const spent = known !== undefined && this.#isSpent(known, nowMs)
    if (full || spent || this.#isSpent(target, nowMs)) {
      return this.#refuse('RESOURCE_LIMIT_EXCEEDED')
    }
    // Not before: who is refused leaves no trace, and pushes nobody out.
    const source = known ?? this.#account(from, nowMs)
    if (source === undefined) return this.#refuse('RESOURCE_LIMIT_EXCEEDED')
    this.#touch(target)
    this.#touch(source)
    source.outbound += 1
    target.inbound += 1
    source.circuits += 1
    target.circuits += 1
    this.#openCircuits += 1
    this.#circuits += 1
    if (group !== undefined) add(this.#circuitsByGroup, group, 1)
    return { circuit: this.#circuit(source, group, target) }
  }

  /** How many circuits a peer may open at once. */
  circuitsOf(peer: PeerId): number {
    return this.#given(peer, 'circuits') ?? this.#limits.maxRelayCircuitsPerPeer
  }

  /** What a circuit to a peer may carry. Undefined: no bound at all. */
  limitOf(peer: PeerId): CircuitLimit | undefined {
    const { maxRelayCircuitBytes, maxRelayCircuitMs } = this.#limits
    const bytes = this.#given(peer, 'circuitBytes') ?? maxRelayCircuitBytes
    const durationMs = this.#given(peer, 'circuitMs') ?? maxRelayCircuitMs
    if (bytes === 0 && durationMs === 0) return undefined
    return {
      bytes: bytes === 0 ? undefined : bytes,
      durationMs: durationMs === 0 ? undefined : durationMs,
    }
  }

  /** What every known peer used, the most recently seen first. */
  usage(nowMs: number): RelayUsage[] {
    this.#expire(nowMs)
    return [...this.#accounts.values()].reverse().map((account) => ({
      peer: account.peer,
      reservedUntilMs: account.reservation?.expiresAtMs,
      reservations: account.reservations,
      openCircuits: account.outbound + account.inbound,
      circuits: account.circuits,
      bytes: account.bytes,
      bytesToday: nowMs - account.dayFromMs >= DAY_MS ? 0 : account.dayBytes,
    }))
  }

  /** What all used. */
  totals(nowMs: number): RelayTotals {
    this.#expire(nowMs)
    return {
      reservations: this.#reserved.size,
      openCircuits: this.#openCircuits,
      circuits: this.#circuits,
      bytes: this.#bytes,
      refused: this.#refused,
    }
  }

  #circuit(source: Account, group: string | undefined, target: Account): CircuitAccount {
    const limit = this.limitOf(target.peer)
    const most = limit?.bytes ?? Infinity
    let forthBytes = 0
    let backBytes = 0
    let released = false
    return {
      from: source.peer,
      to: target.peer,
      limit,
      carry: (bytes, forth, nowMs) => {
        if ((forth ? forthBytes : backBytes) + bytes > most) return false
        if (!this.#fits(source, bytes, nowMs) || !this.#fits(target, bytes, nowMs)) return false
        if (forth) forthBytes += bytes
        else backBytes += bytes
        count(source, bytes)
        count(target, bytes)
        this.#bytes += bytes
        return true
      },
      release: () => {
        if (released) return
        released = true
        source.outbound -= 1
        target.inbound -= 1
        this.#openCircuits -= 1
        if (group !== undefined) add(this.#circuitsByGroup, group, -1)
      },
    }
  }

  /** Whether so many bytes more are within the account's day. */
  #fits(account: Account, bytes: number, nowMs: number): boolean {
    if (nowMs - account.dayFromMs >= DAY_MS) {
      account.dayFromMs = nowMs
      account.dayBytes = 0
    }
    const most = this.#given(account.peer, 'bytesPerDay') ?? this.#limits.maxRelayBytesPerPeer
    return most === 0 || account.dayBytes + bytes <= most
  }

  /** Of a peer by name, else of everybody; undefined: what the limits say. */
  #given(peer: PeerId, what: keyof RelayQuota): number | undefined {
    return this.#quotas.get(peer)?.[what] ?? this.#quota[what]
  }

  #isSpent(account: Account, nowMs: number): boolean {
    return !this.#fits(account, 1, nowMs)
  }

  #refuse(refused: RelayRefusal): { refused: RelayRefusal } {
    this.#refused += 1
    return { refused }
  }

  #name(peer: PeerId, to: Set<PeerId>, from: Set<PeerId>): boolean {
    if (!to.has(peer) && to.size >= this.#limits.maxBlocked) return false
    from.delete(peer)
    to.add(peer)
    return true
  }

  #unreserve(account: Account): boolean {
    const { reservation } = account
    if (reservation === undefined) return false
    account.reservation = undefined
    this.#reserved.delete(account)
    if (reservation.group !== undefined) add(this.#reservedByGroup, reservation.group, -1)
    return true
  }

  /** Reservations are renewed in the order in which they end, so the oldest stand first. */
  #expire(nowMs: number): void {
    for (const account of this.#reserved) {
      if ((account.reservation?.expiresAtMs ?? 0) > nowMs) return
      this.#unreserve(account)
    }
  }

  #touch(account: Account): void {
    this.#accounts.delete(account.peer)
    this.#accounts.set(account.peer, account)
  }

  /** A new account; undefined where every one there is, is in use. */
  #account(peer: PeerId, nowMs: number): Account | undefined {
    if (this.#accounts.size >= this.#limits.maxRelayAccounts) {
      const idle = this.#idle()
      if (idle === undefined) return undefined
      this.#accounts.delete(idle.peer)
    }
    const account: Account = {
      peer,
      reservation: undefined,
      reservations: 0,
      outbound: 0,
      inbound: 0,
      circuits: 0,
      bytes: 0,
      dayFromMs: nowMs,
      dayBytes: 0,
    }
    this.#accounts.set(peer, account)
    return account
  }

  #idle(): Account | undefined {
    for (const account of this.#accounts.values()) {
      const busy = account.outbound > 0 || account.inbound > 0
      if (!busy && account.reservation === undefined) return account
    }
    return undefined
  }
}

function count(account: Account, bytes: number): void {
  account.bytes += bytes
  account.dayBytes += bytes
}

/** What reaches zero is forgotten. */
function add(counts: Map<string, number>, key: string, by: number): void {
  const sum = (counts.get(key) ?? 0) + by
  if (sum > 0) counts.set(key, sum)
  else counts.delete(key)
}
