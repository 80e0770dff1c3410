/**
 * Ports that a router is asked to let through to us (UPnP): found, mapped, renewed before they end and removed at the end.
 * That a port was mapped says nothing about whether anybody reaches it: its address is announced by others, once checked.
 */
import type { Clock } from '../clock.ts'
import { parseIp } from '../connection/ip.ts'
import type { Address } from '../identity.ts'
import type { P2pLimits } from '../limits.ts'
import type { RouterRuntime } from '../runtime/routers.ts'
import { scopeOf } from './scope.ts'
import {
  CONFLICT,
  encodeCall,
  ONLY_PERMANENT,
  readCallAnswer,
  readDescription,
  readSearchAnswer,
  searchMessages,
} from './upnp-message.ts'
import type { MappingService } from './upnp-message.ts'

/** How it stands with one port. Frozen, prints as JSON. */
export interface PortMapping {
  /** That we listen on. */
  readonly port: number
  /** `asking` until the router answered; `failed` until it is tried again. */
  readonly state: 'asking' | 'mapped' | 'failed'
  /** The router's address outside, and the port there, once mapped. */
  readonly outside?: { readonly host: string; readonly port: number }
  /** For people, where it failed. */
  readonly message?: string
  /** When it is renewed, or tried again, since the epoch. */
  readonly nextAtMs?: number
}

/** What mapping needs. */
export interface PortMappingsInit {
  readonly limits: Pick<
    P2pLimits,
    | 'maxPortMappings'
    | 'portMappingLeaseMs'
    | 'portMappingRetryMs'
    | 'routerTimeoutMs'
    | 'maxRouterAnswerBytes'
  >
  readonly clock: Clock
  /** Undefined: this platform reaches no router. */
  readonly runtime: RouterRuntime | undefined
  /** Whether a router counts whose own address outside is private. */
  readonly privately: boolean
  /** So many bytes nobody can foresee. */
  random(length: number): Uint8Array
  /** A mapping is another now. */
  onChange(mapping: PortMapping): void
}

interface Router {
  readonly service: MappingService
  /** Our own address towards it. */
  readonly localHost: string
}

// Ours. Where the port is taken outside, so many others are tried.
const OTHER_PORTS = 3
const LEAST_OTHER_PORT = 20_000
const OTHER_PORT_COUNT = 40_000

/** The port mappings of one node. */
export class PortMappings {
  readonly #init: PortMappingsInit
  readonly #all = new Map<number, PortMapping>()
  readonly #stopping = new AbortController()
  #wanted: readonly number[] = []
  #router: Router | undefined
  #work: Promise<void> = Promise.resolve()
  #queued = false
  #stopTimer: (() => void) | undefined

  constructor(init: PortMappingsInit) {
    this.#init = init
  }

  /** All of them. */
  get list(): PortMapping[] {
    return [...this.#all.values()]
  }

  /** Maps these ports and no others from now on. */
  want(ports: readonly number[]): void {
    const few = [...new Set(ports)].slice(0, this.#init.limits.maxPortMappings)
    if (few.join() === this.#wanted.join() || this.#stopping.signal.aborted) return
    this.#wanted = few
    this.#next()
  }

  /** Where somebody outside reaches an address that we listen on. */
  outside(listened: Address): Address | undefined {
    const [, kind, , , port, ...rest] = listened.split('/')
    const mapping = this.#all.get(Number(port))
    if (kind !== 'ip4' || mapping?.outside === undefined) return undefined
    const { host, port: outside } = mapping.outside
    return ['', 'ip4', host, 'tcp', String(outside), ...rest].join('/') as Address
  }

  /** Takes every mapping back. Idempotent. */
  async close(): Promise<void> {
    this.#stopTimer?.()
    this.#wanted = []
    this.#stopping.abort(new Error('the node stops'))
    await this.#work
    const mapped = this.list.filter(({ state }) => state === 'mapped')
    this.#all.clear()
    await Promise.all(mapped.map((one) => this.#unmap(one)))
  }

  #next(): void {
    if (this.#queued || this.#stopping.signal.aborted) return
    this.#queued = true
    this.#work = this.#work.then(async () => {
      this.#queued = false
      await this.#once()
    })
  }

  async #once(): Promise<void> {
    const { clock } = this.#init
    this.#stopTimer?.()
    for (const one of this.list) {
      if (this.#wanted.includes(one.port)) continue
      this.#all.delete(one.port)
      if (one.state === 'mapped') await this.#unmap(one)
    }
    for (const port of this.#wanted) {
      if (this.#stopping.signal.aborted) return
      const known = this.#all.get(port)
      if (known?.nextAtMs !== undefined && known.nextAtMs > clock.nowMs()) continue
      if (known === undefined) this.#set({ port, state: 'asking' })
      await this.#mapOne(port, known)
    }
    const times = this.list.map(({ nextAtMs }) => nextAtMs ?? Infinity)
    const next = Math.min(...times)
    if (next === Infinity) return
    this.#stopTimer = clock.setTimer(Math.max(0, next - clock.nowMs()), () => {
      this.#next()
    })
  }

  async #mapOne(port: number, known: PortMapping | undefined): Promise<void> {
    const { clock, limits } = this.#init
    try {
      this.#router ??= await this.#find()
      const host = await this.#outsideHost(this.#router)
      const outside = await this.#map(this.#router, port, known?.outside?.port ?? port)
      const nextAtMs = clock.nowMs() + limits.portMappingLeaseMs / 2
      this.#set({ port, state: 'mapped', outside: { host, port: outside }, nextAtMs })
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      // It may have been replaced, or have begun anew elsewhere.
      this.#router = undefined
      const state = error instanceof Error ? error.message : String(error)
      const nextAtMs = clock.nowMs() + limits.portMappingRetryMs
      this.#set({ port, state: 'failed', message: `Cannot map port ${port}: ${state}`, nextAtMs })
    }
  }

  #set(mapping: PortMapping): void {
    const frozen = Object.freeze(mapping)
    this.#all.set(mapping.port, frozen)
    this.#init.onChange(frozen)
  }

  /** The first router that answers and maps ports. */
  async #find(): Promise<Router> {
    const { runtime, limits } = this.#init
    if (runtime === undefined) throw new Error('this platform reaches no router')
    return this.#within(limits.routerTimeoutMs, 'no router answers UPnP', async (signal) => {
      const found = Promise.withResolvers<Router>()
      const tried = new Set<string>()
      const answered = (packet: Uint8Array, from: string): void => {
        const url = readSearchAnswer(packet, from)
        if (url === undefined || tried.has(url.href) || tried.size >= MAX_ROUTERS) return
        tried.add(url.href)
        void this.#describe(runtime, url, signal).then(found.resolve, () => {})
      }
      await runtime.search(searchMessages(), answered, signal)
      signal.addEventListener('abort', () => {
        found.reject(signal.reason as Error)
      })
      signal.throwIfAborted()
      return found.promise
    })
  }

  async #describe(runtime: RouterRuntime, url: URL, signal: AbortSignal): Promise<Router> {
    const { maxRouterAnswerBytes: maxBytes } = this.#init.limits
    const told = await runtime.exchange({ url, method: 'GET', maxBytes, signal })
    const service = readDescription(told.body, url)
    if (service === undefined) throw new Error('it maps no ports')
    return { service, localHost: told.localHost }
  }

  async #outsideHost(router: Router): Promise<string> {
    const values = await this.#call(router, 'GetExternalIPAddress', {})
    const host = values.get('NewExternalIPAddress') ?? ''
    if (parseIp(host)?.version !== 4) throw new Error('the router has no address outside')
    if (!this.#init.privately && scopeOf(`/ip4/${host}` as Address) !== 'public') {
      throw new Error(`the router is behind another one, its address outside is ${host}`)
    }
    return host
  }

  /** The port outside. */
  async #map(router: Router, port: number, first: number): Promise<number> {
    let wanted = first
    let leaseMs = this.#init.limits.portMappingLeaseMs
    for (let others = 0; ;) {
      const answer = await this.#ask(router, 'AddPortMapping', {
        NewRemoteHost: '',
        NewExternalPort: wanted,
        NewProtocol: 'TCP',
        NewInternalPort: port,
        NewInternalClient: router.localHost,
        NewEnabled: 1,
        NewPortMappingDescription: 'stronghold',
        NewLeaseDuration: Math.ceil(leaseMs / 1000),
      })
      if ('values' in answer) return wanted
      if (answer.error === ONLY_PERMANENT && leaseMs > 0) leaseMs = 0
      else if (answer.error === CONFLICT && others < OTHER_PORTS) {
        others += 1
        wanted = this.#otherPort()
      } else throw refusal(answer)
    }
  }

  #otherPort(): number {
    const [a = 0, b = 0] = this.#init.random(2)
    return LEAST_OTHER_PORT + ((a * 256 + b) % OTHER_PORT_COUNT)
  }

  async #unmap({ outside }: PortMapping): Promise<void> {
    if (this.#router === undefined || outside === undefined) return
    const values = { NewRemoteHost: '', NewExternalPort: outside.port, NewProtocol: 'TCP' }
    // Where it is gone, so is the mapping; else its lease ends it.
    await this.#ask(this.#router, 'DeletePortMapping', values, false).catch(() => {})
  }

  async #call(
    router: Router,
    action: string,
    values: Readonly<Record<string, string | number>>,
  ): Promise<ReadonlyMap<string, string>> {
    const answer = await this.#ask(router, action, values)
    if ('values' in answer) return answer.values
    throw refusal(answer)
  }

  async #ask(
    { service }: Router,
    action: string,
    values: Readonly<Record<string, string | number>>,
    stops = true,
  ): Promise<ReturnType<typeof readCallAnswer>> {
    const { runtime, limits } = this.#init
    if (runtime === undefined) throw new Error('this platform reaches no router')
    const { routerTimeoutMs, maxRouterAnswerBytes: maxBytes } = limits
    const late = 'the router does not answer'
    return this.#within(
      routerTimeoutMs,
      late,
      async (signal) => {
        const call = encodeCall(service, action, values)
        const url = service.controlUrl
        const told = await runtime.exchange({ url, method: 'POST', ...call, maxBytes, signal })
        return readCallAnswer(told.status, told.body)
      },
      stops,
    )
  }

  async #within<T>(
    timeoutMs: number,
    late: string,
    work: (signal: AbortSignal) => Promise<T>,
    stops = true,
  ): Promise<T> {
    const over = new AbortController()
    const error = new Error(late)
    const stopTimer = this.#init.clock.setTimer(timeoutMs, () => {
      over.abort(error)
    })
    const all = stops ? [over.signal, this.#stopping.signal] : [over.signal]
    try {
      return await work(AbortSignal.any(all))
    } catch (cause) {
      throw over.signal.aborted ? error : cause
    } finally {
      stopTimer()
      // Whatever still listens for answers ends.
      over.abort(error)
    }
  }
}

// Ours. A network has few routers; whoever answers as more is not asked.
const MAX_ROUTERS = 8

function refusal({ error, message }: { error: number; message: string }): Error {
  return new Error(
    `the router refuses, ${message === '' ? 'without a reason' : message} (${error})`,
  )
}
