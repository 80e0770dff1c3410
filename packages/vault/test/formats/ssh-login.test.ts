import { concat } from '@stronghold/core'
import { describe, expect, test } from 'vitest'

import { readSshLogin } from '../../src/formats/ssh-login.ts'
import { writeSshBlob } from '../../src/formats/ssh-public.ts'
import { sshString } from '../../src/formats/ssh-wire.ts'
import { testPair } from './_keys.ts'

const KEY = writeSshBlob({ type: 'ed25519', publicKey: testPair('ed25519').publicKey })
const HOST_KEY = concat([sshString('ssh-rsa'), new Uint8Array(300)])

interface Parts {
  sessionId: Uint8Array
  message: number
  user: string
  service: string
  method: string
  signed: number
  algorithm: string
  key: Uint8Array
  rest: Uint8Array
}

/** RFC 4252 §7, field by field. */
function login(change: Partial<Parts> = {}): Uint8Array {
  const parts: Parts = {
    sessionId: new Uint8Array(32).fill(9),
    message: 50,
    user: 'root',
    service: 'ssh-connection',
    method: 'publickey',
    signed: 1,
    algorithm: 'ssh-ed25519',
    key: KEY,
    rest: new Uint8Array(0),
    ...change,
  }
  return concat([
    sshString(parts.sessionId),
    Uint8Array.of(parts.message),
    sshString(parts.user),
    sshString(parts.service),
    sshString(parts.method),
    Uint8Array.of(parts.signed),
    sshString(parts.algorithm),
    sshString(parts.key),
    parts.rest,
  ])
}

const BOUND = 'publickey-hostbound-v00@openssh.com'
const PLAIN = {
  sessionId: new Uint8Array(32).fill(9),
  user: 'root',
  service: 'ssh-connection',
  algorithm: 'ssh-ed25519',
  publicKey: KEY,
}

describe('readSshLogin()', () => {
  test('reads the login of RFC 4252', () => {
    expect(readSshLogin(login())).toEqual(PLAIN)
  })

  test("reads the login that is bound to a host's key, of any type", () => {
    expect(readSshLogin(login({ method: BOUND, rest: sshString(HOST_KEY) }))).toEqual({
      ...PLAIN,
      hostKey: HOST_KEY,
    })
  })

  test.each<[string, Partial<Parts>]>([
    ['a session id of 19 bytes', { sessionId: new Uint8Array(19) }],
    ['a session id of 65 bytes', { sessionId: new Uint8Array(65) }],
    ['another message', { message: 51 }],
    ['another method', { method: 'password' }],
    ['a question without a signature', { signed: 0 }],
    ['a boolean of two', { signed: 2 }],
    ['another algorithm than that of the key', { algorithm: 'ecdsa-sha2-nistp256' }],
    ['a key without a type', { key: sshString(''), algorithm: '' }],
    ['a user with control characters', { user: 'a\u001b[2J' }],
    ['a user of 256 bytes', { user: 'x'.repeat(256) }],
    ['something behind', { rest: Uint8Array.of(0) }],
    ['a host key where none belongs', { rest: sshString(HOST_KEY) }],
    ['no host key where one belongs', { method: BOUND }],
    ['a host key without a type', { method: BOUND, rest: sshString(sshString('')) }],
  ])('%s is refused', (_, change) => {
    expect(() => readSshLogin(login(change))).toThrow(SyntaxError)
  })

  test('what is cut off anywhere is refused', () => {
    const whole = login({ method: BOUND, rest: sshString(HOST_KEY) })
    for (let length = 0; length < whole.byteLength; length++) {
      expect(() => readSshLogin(whole.subarray(0, length))).toThrow(SyntaxError)
    }
  })
})
