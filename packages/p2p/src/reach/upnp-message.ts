/**
 * What a router that maps ports is told and says (UPnP Device Architecture 2.0 §1.3 and §3.1, WANIPConnection:2). Pure:
 * text in, values out; whatever it reads is a stranger's, within a length that somebody else bounds.
 */
import { decodeUtf8, encodeUtf8 } from '@stronghold/core'

/** Where routers are asked for (Device Architecture §1.3.2). */
export const SEARCH_GROUP = '239.255.255.250'
/** The port there. */
export const SEARCH_PORT = 1900

const DEVICES = [2, 1].map((one) => `urn:schemas-upnp-org:device:InternetGatewayDevice:${one}`)
const SERVICE = /^urn:schemas-upnp-org:service:WAN(IP|PPP)Connection:[12]$/

/** A service that maps ports. */
export interface MappingService {
  readonly type: string
  readonly controlUrl: URL
}

/** What is answered to a call: its values by name, or the error's number. */
export type RouterAnswer =
  | { readonly values: ReadonlyMap<string, string> }
  | { readonly error: number; readonly message: string }

/** The port is taken (WANIPConnection:2 §2.5.16). */
export const CONFLICT = 718
/** Only mappings without an end are made (WANIPConnection:1 §2.4.16). */
export const ONLY_PERMANENT = 725

/** The questions after routers, each a packet. */
export function searchMessages(): Uint8Array[] {
  return DEVICES.map((device) =>
    encodeUtf8(
      [
        'M-SEARCH * HTTP/1.1',
        `HOST: ${SEARCH_GROUP}:${SEARCH_PORT}`,
        'MAN: "ssdp:discover"',
        'MX: 1',
        `ST: ${device}`,
        '\r\n',
      ].join('\r\n'),
    ),
  )
}

/**
 * Where the router that answered describes itself. Undefined for what is no answer, or points to another host than the one
 * it came from: nobody sends us elsewhere.
 */
export function readSearchAnswer(packet: Uint8Array, from: string): URL | undefined {
  const text = textOf(packet)
  if (text === undefined || !/^HTTP\/1\.[01] 200 /.test(text)) return undefined
  const device = /^st:[ \t]*(\S+)[ \t]*$/im.exec(text)?.[1]
  if (device === undefined || !DEVICES.includes(device)) return undefined
  const url = urlOf(/^location:[ \t]*(\S+)[ \t]*$/im.exec(text)?.[1])
  return url?.protocol === 'http:' && url.hostname === from ? url : undefined
}

/** The service that maps ports, on the same host. Undefined where there is none. */
export function readDescription(body: Uint8Array, at: URL): MappingService | undefined {
  const text = textOf(body)
  if (text === undefined) return undefined
  const base = urlOf(elementOf(text, 'URLBase')) ?? at
  for (const part of text.split('<service>').slice(1)) {
    const type = elementOf(part, 'serviceType')
    const control = elementOf(part, 'controlURL')
    if (type === undefined || control === undefined || !SERVICE.test(type)) continue
    const controlUrl = urlOf(control, base)
    if (controlUrl?.protocol !== 'http:' || controlUrl.hostname !== at.hostname) continue
    return { type, controlUrl }
  }
  return undefined
}

/** The body and headers of a call. */
export function encodeCall(
  service: MappingService,
  action: string,
  values: Readonly<Record<string, string | number>>,
): { body: Uint8Array; headers: Record<string, string> } {
  const inside = Object.entries(values).map(([name, value]) => `<${name}>${value}</${name}>`)
  const body = [
    '<?xml version="1.0"?>',
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"',
    ' s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>',
    `<u:${action} xmlns:u="${service.type}">${inside.join('')}</u:${action}>`,
    '</s:Body></s:Envelope>',
  ].join('')
  return {
    body: encodeUtf8(body),
    headers: {
      'content-type': 'text/xml; charset="utf-8"',
      soapaction: `"${service.type}#${action}"`,
    },
  }
}

/** What the router answered. */
export function readCallAnswer(status: number, body: Uint8Array): RouterAnswer {
  const text = textOf(body) ?? ''
  if (status === 200) {
    const values = [...text.matchAll(/<(New\w{1,64})>([^<]{0,256})<\/\1>/g)]
    return { values: new Map(values.map(([, name = '', value = '']) => [name, value.trim()])) }
  }
  const code = Number(elementOf(text, 'errorCode'))
  const said = elementOf(text, 'errorDescription') ?? `status ${status}`
  // For people: a stranger's text, without what moves a cursor.
  const message = said.replace(/[^\x20-\x7e]/g, '?').slice(0, 64)
  return { error: Number.isSafeInteger(code) ? code : 0, message }
}

function elementOf(text: string, name: string): string | undefined {
  const from = text.indexOf(`<${name}>`)
  if (from < 0) return undefined
  const to = text.indexOf(`</${name}>`, from)
  if (to < 0) return undefined
  const value = text.slice(from + name.length + 2, to).trim()
  return value.length > 256 ? undefined : value.replaceAll('&amp;', '&')
}

function urlOf(text: string | undefined, base?: URL): URL | undefined {
  if (text === undefined || text.length > 256) return undefined
  return URL.parse(text, base) ?? undefined
}

function textOf(bytes: Uint8Array): string | undefined {
  try {
    return decodeUtf8(bytes)
  } catch {
    return undefined
  }
}
