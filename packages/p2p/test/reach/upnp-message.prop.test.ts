/** What routers say: what is well formed is read, and nothing else does more than be ignored. */
import { decodeUtf8, encodeUtf8 } from '@stronghold/core'
import { expect, test } from 'vitest'

import {
  encodeCall,
  readCallAnswer,
  readDescription,
  readSearchAnswer,
  searchMessages,
} from '../../src/reach/upnp-message.ts'
import { INPUTS, mangled, numbers } from './malformed.ts'

const AT = new URL('http://192.168.1.1:5000/rootDesc.xml')

const ANSWER = encodeUtf8(
  [
    'HTTP/1.1 200 OK',
    'LOCATION: http://192.168.1.1:5000/rootDesc.xml',
    'ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1',
    '\r\n',
  ].join('\r\n'),
)
const DESCRIPTION = encodeUtf8(
  `<root><URLBase>http://192.168.1.1:5000</URLBase><service>
    <serviceType>urn:schemas-upnp-org:service:WANPPPConnection:1</serviceType>
    <controlURL>/ctl?a=1&amp;b=2</controlURL></service></root>`,
)
const FAULT = encodeUtf8(
  '<errorCode>718</errorCode><errorDescription>Con\u001bflict</errorDescription>',
)
const VALUES = encodeUtf8('<NewExternalIPAddress> 9.9.9.9 </NewExternalIPAddress>')

test('an answer, a description and a call are read', () => {
  expect(readSearchAnswer(ANSWER, '192.168.1.1')?.href).toBe(AT.href)
  const service = readDescription(DESCRIPTION, AT)
  expect(service?.controlUrl.href).toBe('http://192.168.1.1:5000/ctl?a=1&b=2')
  expect(readCallAnswer(200, VALUES)).toEqual({
    values: new Map([['NewExternalIPAddress', '9.9.9.9']]),
  })
  // What moves a cursor is not shown.
  expect(readCallAnswer(500, FAULT)).toEqual({ error: 718, message: 'Con?flict' })
  expect(readCallAnswer(404, new Uint8Array(0))).toEqual({ error: 0, message: 'status 404' })
  const call = encodeCall(service ?? expect.fail('none'), 'DeletePortMapping', {
    NewProtocol: 'TCP',
  })
  expect(call.headers['soapaction']).toBe(
    '"urn:schemas-upnp-org:service:WANPPPConnection:1#DeletePortMapping"',
  )
  expect(decodeUtf8(call.body)).toContain('<NewProtocol>TCP</NewProtocol></u:DeletePortMapping>')
  expect(searchMessages().map((one) => decodeUtf8(one))).toMatchObject([
    expect.stringContaining('ST: urn:schemas-upnp-org:device:InternetGatewayDevice:2'),
    expect.stringContaining('ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1'),
  ])
})

test('nobody sends us to another host', () => {
  expect(readSearchAnswer(ANSWER, '192.168.1.2')).toBeUndefined()
  expect(readDescription(DESCRIPTION, new URL('http://192.168.1.2/'))).toBeUndefined()
})

test(`${INPUTS.toLocaleString('en')} malformed answers are ignored`, () => {
  const readers: [(bytes: Uint8Array) => unknown, Uint8Array][] = [
    [(bytes) => readSearchAnswer(bytes, '192.168.1.1'), ANSWER],
    [(bytes) => readDescription(bytes, AT), DESCRIPTION],
    [(bytes) => readCallAnswer(500, bytes), FAULT],
    [(bytes) => readCallAnswer(200, bytes), VALUES],
  ]
  const random = numbers()
  for (const [read, seed] of readers) {
    for (let i = 0; i < INPUTS / readers.length; i++) {
      read(mangled(seed, random, 130))
    }
  }
})
