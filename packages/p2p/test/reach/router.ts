/** A router that maps ports, as far as UPnP sees it: it answers a search over UDP and calls over HTTP, on this machine. */
import { createSocket } from 'node:dgram'
import type { Socket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

import { routersAt } from '../../src/runtime/node-routers.ts'
import type { RouterRuntime } from '../../src/runtime/routers.ts'

/** What it was asked. */
export interface Asked {
  readonly action: string
  readonly values: Readonly<Record<string, string>>
}

/** A router on this machine. Whoever looks for one `through` it finds it. */
export class Router implements AsyncDisposable {
  readonly asked: Asked[] = []
  /** Ports outside that are mapped, and to where. */
  readonly mapped = new Map<number, { host: string; port: number; leaseSeconds: number }>()
  /** Its address outside. */
  outside = '9.9.9.9'
  /** Ports outside that somebody else has. */
  readonly taken = new Set<number>()
  onlyPermanent = false
  /** What it says of itself in the place of the truth. */
  description: string | undefined
  location: string | undefined
  readonly #udp: Socket = createSocket('udp4')
  readonly #http: Server = createServer((request, response) => {
    void this.#serve(request, response)
  })

  static async start(): Promise<Router> {
    const router = new Router()
    router.#udp.on('message', (packet, { port, address }) => {
      const wanted = /^ST: (\S+)/m.exec(packet.toString())?.[1] ?? ''
      if (!wanted.endsWith('InternetGatewayDevice:1')) return
      const answer = [
        'HTTP/1.1 200 OK',
        'CACHE-CONTROL: max-age=120',
        `LOCATION: ${router.location ?? router.#url}`,
        `ST: ${wanted}`,
        '\r\n',
      ]
      router.#udp.send(answer.join('\r\n'), port, address)
    })
    router.#udp.bind(0, '127.0.0.1')
    router.#http.listen(0, '127.0.0.1')
    await Promise.all([once(router.#udp, 'listening'), once(router.#http, 'listening')])
    return router
  }

  /** The way of a node to it. */
  get through(): RouterRuntime {
    const { port } = this.#udp.address()
    return routersAt({ group: '127.0.0.1', port, from: () => ['127.0.0.1'] })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#udp.close()
    this.#http.closeAllConnections()
    this.#http.close()
    await once(this.#http, 'close')
  }

  get #url(): string {
    return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}/rootDesc.xml`
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'GET') {
      response.end(this.description ?? DESCRIPTION)
      return
    }
    const body = (await Array.fromAsync(request as AsyncIterable<Buffer>)).join('')
    const action = /#(\w+)"/.exec(String(request.headers['soapaction']))?.[1] ?? ''
    const values = Object.fromEntries(
      [...body.matchAll(/<(New\w+)>([^<]*)<\/\1>/g)].map(([, name, value]) => [name, value]),
    ) as Record<string, string>
    this.asked.push({ action, values })
    const port = Number(values['NewExternalPort'])
    const leaseSeconds = Number(values['NewLeaseDuration'])
    if (action === 'AddPortMapping') {
      if (this.taken.has(port)) {
        refuse(response, 718, 'ConflictInMappingEntry')
        return
      }
      if (this.onlyPermanent && leaseSeconds > 0) {
        refuse(response, 725, 'OnlyPermanentLeasesSupported')
        return
      }
      const host = values['NewInternalClient'] ?? ''
      this.mapped.set(port, { host, port: Number(values['NewInternalPort']), leaseSeconds })
    } else if (action === 'DeletePortMapping') this.mapped.delete(port)
    const inside =
      action === 'GetExternalIPAddress'
        ? `<NewExternalIPAddress>${this.outside}</NewExternalIPAddress>`
        : ''
    response.end(`<?xml version="1.0"?><s:Envelope><s:Body>
      <u:${action}Response>${inside}</u:${action}Response></s:Body></s:Envelope>`)
  }
}

function refuse(response: ServerResponse, code: number, text: string): void {
  response.statusCode = 500
  response.end(`<s:Envelope><s:Body><s:Fault><detail><UPnPError><errorCode>${code}</errorCode>
    <errorDescription>${text}</errorDescription></UPnPError></detail></s:Fault></s:Body></s:Envelope>`)
}

const DESCRIPTION = `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>
  <deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>
  <serviceList><service>
    <serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType>
    <controlURL>/forwarding</controlURL>
  </service><service>
    <serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>
    <controlURL>/control</controlURL>
  </service></serviceList></device></root>`
