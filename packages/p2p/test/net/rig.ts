/**
 * Hosts behind routers, made of Linux network namespaces: a relay on the outside, and hosts inside networks of their own
 * whose routers translate addresses. Needs root, `ip` and `iptables`; everything it made is gone once it is disposed.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** How a router gives out ports: the one that the host chose, or another for each destination. */
export type Ports = 'kept' | 'random'

/** What a process of the rig said. */
export type Line = Readonly<Record<string, unknown>> & { readonly type: string }

/** A cable that is slow, loses packets, and can be cut. */
export interface Cable {
  /** From then on nothing comes through; whoever waits hears nothing. */
  cut(): void
  mend(): void
}

/** How bad a cable is: one way each. */
export interface Badness {
  readonly delayMs: number
  readonly lossPercent: number
}

/** A process on a host. */
export interface Process {
  readonly lines: Line[]
  /** The first line like that, said already or still to come. @throws when time is over or the process ended */
  until(like: (line: Line) => boolean, timeoutMs: number): Promise<Line>
}

const HOST = fileURLToPath(new URL('host.ts', import.meta.url))
const CABLE = fileURLToPath(new URL('cable.py', import.meta.url))

/** Why the rig cannot be made here; undefined where it can. */
export function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root'
  for (const tool of ['ip', 'iptables']) {
    if (spawnSync(tool, ['-V']).status !== 0) return `no ${tool}`
  }
  const name = `sh-${process.pid}-try`
  if (spawnSync('ip', ['netns', 'add', name]).status !== 0) return 'no network namespaces'
  const translates = spawnSync('ip', ['netns', 'exec', name, ...MASQUERADE('lo', 'kept')])
  spawnSync('ip', ['netns', 'del', name])
  return translates.status === 0 ? undefined : 'no address translation in this kernel'
}

/** Why no bad cable can be made here; undefined where one can. */
export function whyNoCable(): string | undefined {
  if (spawnSync('python3', ['-V']).status !== 0) return 'no python3'
  return existsSync('/dev/net/tun') ? undefined : 'no /dev/net/tun'
}

const MASQUERADE = (out: string, ports: Ports): string[] => [
  ...['iptables', '-t', 'nat', '-A', 'POSTROUTING', '-o', out, '-j', 'MASQUERADE'],
  ...(ports === 'random' ? ['--random-fully'] : []),
]

/** One network of hosts and routers. */
export class Rig implements AsyncDisposable {
  readonly #prefix = `sh-${process.pid}-`
  readonly #names: string[] = []
  readonly #processes: ChildProcess[] = []

  /** Makes the outside. Before anything else. */
  outside(): void {
    this.#namespace('out')
    this.#in('out', 'ip', 'link', 'add', 'lan0', 'type', 'bridge')
    this.#in('out', 'ip', 'addr', 'add', '198.51.100.1/24', 'dev', 'lan0')
    this.#in('out', 'ip', 'link', 'set', 'lan0', 'up')
  }

  /** Where the relay is. */
  readonly relayHost = '198.51.100.1'

  /** A host, and the router it is behind. */
  behind(name: string, number: number, ports: Ports): void {
    const router = `${name}-r`
    this.#namespace(router)
    this.#namespace(name)
    this.#join(name, 'eth', router, 'lan')
    this.#route(name, number, ports)
  }

  /** The same, by a bad cable. */
  async farBehind(name: string, number: number, ports: Ports, bad: Badness): Promise<Cable> {
    const router = `${name}-r`
    this.#namespace(router)
    this.#namespace(name)
    const cable = await this.#badly(name, 'eth', router, 'lan', bad)
    this.#route(name, number, ports)
    return cable
  }

  /**
   * The router of a host forgets who is connected, and gets another address outside.
   *
   * @param downMs - how long nothing comes through
   */
  async restartRouter(name: string, number: number, downMs: number): Promise<void> {
    const router = `${name}-r`
    this.#in(router, 'ip', 'link', 'set', 'wan', 'down')
    await new Promise((resolve) => {
      setTimeout(resolve, downMs)
    })
    this.#in(router, 'ip', 'addr', 'flush', 'dev', 'wan')
    this.#in(router, 'ip', 'addr', 'add', `198.51.100.${50 + number}/24`, 'dev', 'wan')
    this.#in(router, 'ip', 'link', 'set', 'wan', 'up')
  }

  #route(name: string, number: number, ports: Ports): void {
    const router = `${name}-r`
    // From the router to the outside.
    this.#join(router, 'wan', 'out', `p${number}`)
    this.#in('out', 'ip', 'link', 'set', `p${number}`, 'master', 'lan0')
    this.#in(router, 'ip', 'addr', 'add', `198.51.100.${10 + number}/24`, 'dev', 'wan')
    // From the host to its router.
    this.#in(router, 'ip', 'addr', 'add', `10.0.${number}.1/24`, 'dev', 'lan')
    this.#in(name, 'ip', 'addr', 'add', `10.0.${number}.2/24`, 'dev', 'eth')
    this.#in(name, 'ip', 'route', 'add', 'default', 'via', `10.0.${number}.1`)
    this.#in(router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    // A connection that it did not see begin is none.
    this.#in(router, 'sysctl', '-qw', 'net.netfilter.nf_conntrack_tcp_loose=0')
    this.#in(router, ...MASQUERADE('wan', ports))
    // As routers at home do: what nobody inside asked for is met with silence.
    const known = ['-m', 'conntrack', '--ctstate', 'ESTABLISHED,RELATED', '-j', 'ACCEPT']
    for (const chain of ['INPUT', 'FORWARD']) {
      this.#in(router, 'iptables', '-A', chain, '-i', 'wan', ...known)
      this.#in(router, 'iptables', '-A', chain, '-i', 'wan', '-j', 'DROP')
    }
  }

  /** Starts a node there; `out` is where the relay is. */
  start(host: string, ...args: string[]): Process {
    const node = [process.execPath, '--conditions=@stronghold/source', HOST, ...args]
    const child = spawn('ip', ['netns', 'exec', this.#name(host), ...node], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#processes.push(child)
    const lines: Line[] = []
    const waiting = new Set<(line: Line | undefined) => void>()
    const tell = (line: Line | undefined): void => {
      for (const one of [...waiting]) one(line)
    }
    const reader = createInterface({ input: child.stdout })
    reader.on('line', (text) => {
      const line = JSON.parse(text) as Line
      lines.push(line)
      tell(line)
    })
    child.once('exit', () => {
      tell(undefined)
    })
    return {
      lines,
      until: (like, timeoutMs) =>
        new Promise((resolve, reject) => {
          const known = lines.find(like)
          if (known !== undefined) {
            resolve(known)
            return
          }
          const settle = (line: Line | undefined): void => {
            if (line !== undefined && !like(line)) return
            clearTimeout(timer)
            waiting.delete(settle)
            if (line !== undefined) resolve(line)
            else reject(new Error(`${host} ended, or said nothing like it: ${last()}`))
          }
          const last = (): string => JSON.stringify(lines.slice(-5))
          const timer = setTimeout(() => {
            settle(undefined)
          }, timeoutMs)
          waiting.add(settle)
        }),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Those that ask first: whoever loses a connection goes on otherwise.
    for (const child of this.#processes.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    }
    for (const name of this.#names.reverse()) spawnSync('ip', ['netns', 'del', name])
  }

  #name(host: string): string {
    return `${this.#prefix}${host}`
  }

  #namespace(host: string): void {
    const name = this.#name(host)
    execFileSync('ip', ['netns', 'add', name])
    this.#names.push(name)
    this.#in(host, 'ip', 'link', 'set', 'lo', 'up')
  }

  /** A cable between two. */
  #join(a: string, linkA: string, b: string, linkB: string): void {
    const peer = ['peer', 'name', linkB, 'netns', this.#name(b)]
    this.#in(a, 'ip', 'link', 'add', linkA, 'type', 'veth', ...peer)
    this.#in(a, 'ip', 'link', 'set', linkA, 'up')
    this.#in(b, 'ip', 'link', 'set', linkB, 'up')
  }

  /** A cable that a process carries, packet by packet. */
  async #badly(a: string, linkA: string, b: string, linkB: string, bad: Badness): Promise<Cable> {
    const [one, other] = [`sh${process.pid}a`, `sh${process.pid}b`]
    const args = [CABLE, one, other, String(bad.delayMs), String(bad.lossPercent)]
    const child = spawn('python3', args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#processes.push(child)
    await once(child.stdout, 'data')
    for (const [made, host, link] of [
      [one, a, linkA],
      [other, b, linkB],
    ] as const) {
      execFileSync('ip', ['link', 'set', made, 'netns', this.#name(host)])
      this.#in(host, 'ip', 'link', 'set', made, 'name', link)
      this.#in(host, 'ip', 'link', 'set', link, 'up')
    }
    return {
      cut: () => child.stdin.write('cut\n'),
      mend: () => child.stdin.write('mend\n'),
    }
  }

  #in(host: string, ...command: string[]): void {
    execFileSync('ip', ['netns', 'exec', this.#name(host), ...command])
  }
}
