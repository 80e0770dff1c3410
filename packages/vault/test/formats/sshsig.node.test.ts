import { concat, encodeUtf8, fromHex } from '@stronghold/core'
import { sign, verify } from 'node:crypto'
import { describe, expect, test } from 'vitest'

import { GIT_NAMESPACE, readGitObject } from '../../src/formats/git.ts'
import {
  readSshLine,
  readSshSignature,
  writeAllowedSigner,
  writeSshSignature,
} from '../../src/formats/ssh-public.ts'
import { readPublicPem, writePem } from '../../src/formats/pem.ts'
import { sshString } from '../../src/formats/ssh-wire.ts'
import type { SshPublicKey, SshType } from '../../src/formats/ssh-public.ts'
import {
  readSshsig,
  readSshsigBlob,
  sshsigSubject,
  writeSshsig,
  writeSshsigBlob,
} from '../../src/formats/sshsig.ts'
import { desk, isThere } from './_judges.ts'
import { testPair } from './_keys.ts'
import type { TestPair } from './_keys.ts'

const TYPES = ['ed25519', 'p256', 'p384'] as const
const DIGESTS = { ed25519: null, p256: 'sha256', p384: 'sha384' } as const
const MESSAGE = encodeUtf8('a message\n')

interface SshPair extends TestPair {
  readonly type: SshType
}

function pairOf(type: SshType): SshPair {
  return { ...testPair(type), type }
}

function keyOf({ type, publicKey }: SshPair): SshPublicKey {
  return { type, publicKey }
}

/** What a vault will do: sign the blob, armour the signature. */
function signed(
  pair: SshPair,
  namespace: string,
  message: Uint8Array,
  hash: 'sha256' | 'sha512' = 'sha512',
): string {
  const subject = sshsigSubject(namespace, message, hash)
  const key = { key: pair.privateObject, dsaEncoding: 'ieee-p1363' as const }
  const signature = Uint8Array.from(sign(DIGESTS[pair.type], writeSshsigBlob(subject), key))
  return writeSshsig({ key: keyOf(pair), namespace, hash, signature })
}

function verified(pair: SshPair, text: string, message: Uint8Array): boolean {
  const { key, namespace, hash, signature } = readSshsig(encodeUtf8(text))
  expect(key).toEqual(keyOf(pair))
  const blob = writeSshsigBlob(sshsigSubject(namespace, message, hash))
  return verify(
    DIGESTS[pair.type],
    blob,
    { key: pair.publicObject, dsaEncoding: 'ieee-p1363' },
    signature,
  )
}

// PROTOCOL.sshsig, "Blob format" and "Signed Data, of which the signature goes into the blob above", laid out by hand.
test('the bytes that are signed are those of PROTOCOL.sshsig', () => {
  const digest = new Uint8Array(32).fill(7)
  const blob = fromHex(
    `53534853494700000003676974000000000000000673686132353600000020${'07'.repeat(32)}`,
  )
  const subject = { namespace: 'git', hash: 'sha256', digest } as const
  expect(writeSshsigBlob(subject)).toEqual(blob)
  expect(readSshsigBlob(blob)).toEqual(subject)
})

describe.each(TYPES)('%s', (type) => {
  test.each(['sha512', 'sha256'] as const)(
    'what was written with %s is read and verifies',
    (hash) => {
      const pair = pairOf(type)
      for (let i = 0; i < 20; i++) {
        const text = signed(pair, 'file', Uint8Array.of(i), hash)
        expect(verified(pair, text, Uint8Array.of(i))).toBe(true)
        expect(verified(pair, text, Uint8Array.of(i + 1))).toBe(false)
      }
    },
  )

  test('a signature of another length is refused', () => {
    const pair = pairOf(type)
    expect(() => writeSshSignature(type, new Uint8Array(63))).toThrow(RangeError)
    const sshsig = {
      key: keyOf(pair),
      namespace: 'file',
      hash: 'sha512',
      signature: new Uint8Array(1),
    } as const
    expect(() => writeSshsig(sshsig)).toThrow(RangeError)
  })

  test('halves that begin with zeros keep their place', () => {
    const width = type === 'p384' ? 48 : 32
    for (const zeros of [0, 1, 2, width - 1, width]) {
      const signature = new Uint8Array(2 * width).fill(0x81)
      signature.fill(0, 0, zeros)
      expect(readSshSignature(writeSshSignature(type, signature))).toEqual({ type, signature })
    }
  })
})

describe('what is refused', () => {
  test.each(['', 'x'.repeat(256), 'a\nb', '\u0000', 'a\u202eb'])(
    'the namespace %j',
    (namespace) => {
      expect(() => writeSshsigBlob(sshsigSubject(namespace, MESSAGE))).toThrow('is no namespace')
      expect(() =>
        writeSshsig({
          key: keyOf(pairOf('ed25519')),
          namespace,
          hash: 'sha512',
          signature: new Uint8Array(64),
        }),
      ).toThrow('is no namespace')
    },
  )

  test('a namespace of 255 bytes is the longest', () => {
    const subject = sshsigSubject('x'.repeat(255), MESSAGE)
    expect(readSshsigBlob(writeSshsigBlob(subject))).toEqual(subject)
  })

  test('a digest of another length', () => {
    const digest = new Uint8Array(63)
    expect(() => writeSshsigBlob({ namespace: 'file', hash: 'sha512', digest })).toThrow(RangeError)
  })

  const blob = (...parts: string[]): Uint8Array => fromHex(parts.join(''))
  const sha256 = `0000000673686132353600000020${'07'.repeat(32)}`
  test.each([
    ['another beginning', blob('535348534948', '0000000367697400000000', sha256), 'no "SSHSIG"'],
    ['an empty namespace', blob('535348534947', '0000000000000000', sha256), 'an empty namespace'],
    ['a reserved field in use', blob('535348534947', '000000036769740000000100', sha256), 'no ""'],
    [
      'an unknown hash',
      blob('535348534947', '0000000367697400000000', '00000004736861310000000101'),
      'an unknown hash',
    ],
    [
      'a digest of another length',
      blob('535348534947', '0000000367697400000000', '000000067368613235360000000101'),
      'no sha256',
    ],
    [
      'something behind',
      blob('535348534947', '0000000367697400000000', sha256, '00'),
      'more than there should be',
    ],
    ['a length past the end', blob('535348534947', 'ffffffff'), 'cut off'],
    [
      'a namespace that is no UTF-8',
      blob('535348534947', '00000001ff00000000', sha256),
      'not UTF-8',
    ],
  ])('%s', (_, bytes, message) => {
    expect(() => readSshsigBlob(bytes)).toThrow(message)
    expect(() => readSshsigBlob(bytes)).toThrow(SyntaxError)
  })
})

describe('an armoured signature', () => {
  const key = keyOf(pairOf('ed25519'))
  const about = { namespace: 'file', hash: 'sha512' } as const
  const text = writeSshsig({ ...about, key, signature: new Uint8Array(64) })
  const { der } = readPublicPem(encodeUtf8(text))
  const armoured = (bytes: Uint8Array): Uint8Array =>
    encodeUtf8(writePem('SSH SIGNATURE', bytes, 70))

  test.each([
    ['another version', der.with(9, 2), 'an unknown version'],
    ['another beginning', der.with(0, 0), 'no "SSHSIG"'],
    ['something behind', concat([der, Uint8Array.of(0)]), 'more than there should be'],
  ])('with %s is refused', (_, bytes, message) => {
    expect(() => readSshsig(armoured(bytes))).toThrow(message)
  })

  test('of another type than its key is refused', () => {
    const p256 = writeSshSignature('p256', new Uint8Array(64).fill(1))
    const ed25519 = writeSshSignature('ed25519', new Uint8Array(64))
    const bytes = concat([der.slice(0, -ed25519.byteLength - 4), sshString(p256)])
    expect(() => readSshsig(armoured(bytes))).toThrow('key and signature of different types')
  })

  test('with another label is refused', () => {
    expect(() => readSshsig(encodeUtf8(writePem('SSH SIGNATUR', der)))).toThrow(SyntaxError)
  })
})

describe('writeAllowedSigner()', () => {
  const key = keyOf(pairOf('ed25519'))
  test('writes the line, with namespaces where they are named', () => {
    const line = writeAllowedSigner({ principal: 'me@example.org' }, key)
    expect(line).toMatch(/^me@example\.org ssh-ed25519 AAAA[A-Za-z0-9+/=]+$/)
    expect(writeAllowedSigner({ principal: 'me', namespaces: ['git', 'file'] }, key)).toMatch(
      /^me namespaces="git,file" ssh-ed25519 /,
    )
  })

  test.each(['', 'a b', 'a,b', '*', 'a?', '!a', '"a"', '#a', 'a\nb'])(
    'the principal %j is refused',
    (principal) => {
      expect(() => writeAllowedSigner({ principal }, key)).toThrow('is no principal')
    },
  )

  test.each([[[]], [['']], [['a,b']], [['*']], [['git', '"']], [['a\nb']]])(
    'the namespaces %j are refused',
    (namespaces) => {
      expect(() => writeAllowedSigner({ principal: 'me', namespaces }, key)).toThrow(
        'is no namespace',
      )
    },
  )
})

describe.skipIf(!isThere('ssh-keygen'))('ssh-keygen', () => {
  test.each(
    TYPES.flatMap((type) => (['sha512', 'sha256'] as const).map((hash) => [type, hash] as const)),
  )('-Y verify takes our signature: %s, %s', (type, hash) => {
    const { run, write } = desk()
    const pair = pairOf(type)
    write('signature', signed(pair, 'file', MESSAGE, hash))
    write(
      'allowed',
      `${writeAllowedSigner({ principal: 'me', namespaces: ['file'] }, keyOf(pair))}\n`,
    )
    const args = ['-Y', 'verify', '-f', 'allowed', '-I', 'me', '-s', 'signature']
    expect(run('ssh-keygen', [...args, '-n', 'file'], MESSAGE)).toContain(
      'Good "file" signature for me',
    )
    expect(
      run('ssh-keygen', ['-Y', 'check-novalidate', '-n', 'file', '-s', 'signature'], MESSAGE),
    ).toContain('Good "file" signature')
    expect(() => run('ssh-keygen', [...args, '-n', 'git'], MESSAGE)).toThrow()
    expect(() => run('ssh-keygen', [...args, '-n', 'file'], 'another message')).toThrow()
  })

  test.each([
    ['ed25519', ['-t', 'ed25519']],
    ['p256', ['-t', 'ecdsa', '-b', '256']],
    ['p384', ['-t', 'ecdsa', '-b', '384']],
  ] as const)('-Y sign: its signature is read, %s', (type, kind) => {
    const { run, read, write } = desk()
    run('ssh-keygen', ['-q', ...kind, '-f', 'id', '-N', ''])
    const key = readSshLine(new TextDecoder().decode(read('id.pub')))
    write('message', MESSAGE)
    run('ssh-keygen', ['-q', '-Y', 'sign', '-f', 'id', '-n', 'some namespace', 'message'])
    const text = read('message.sig')
    const sshsig = readSshsig(text)
    expect(sshsig.key).toEqual({ type, publicKey: key.publicKey })
    expect([sshsig.namespace, sshsig.hash]).toEqual(['some namespace', 'sha512'])
    // Written again it is byte for byte the same.
    expect(writeSshsig(sshsig)).toBe(new TextDecoder().decode(text))
  })
})

describe.skipIf(!isThere('git') || !isThere('ssh-keygen'))('git', () => {
  test.each(TYPES)('verify-commit and verify-tag take our signature: %s', (type) => {
    const { run, write } = desk()
    const pair = pairOf(type)
    const git = (args: readonly string[], input?: string): string =>
      run(
        'git',
        [
          '-c',
          'user.name=Some One',
          '-c',
          'user.email=me@example.org',
          '-c',
          'gpg.format=ssh',
          '-c',
          'gpg.ssh.allowedSignersFile=allowed',
          ...args,
        ],
        input,
      )
    write(
      'allowed',
      `${writeAllowedSigner({ principal: 'me@example.org', namespaces: [GIT_NAMESPACE] }, keyOf(pair))}\n`,
    )
    git(['init', '-q'])
    git(['commit', '-q', '--allow-empty', '-m', 'First'])
    git(['commit', '-q', '--allow-empty', '-m', 'Second\n\nWith a body\n'])

    const payload = git(['cat-file', 'commit', 'HEAD'])
    expect(readGitObject(encodeUtf8(payload))).toMatchObject({
      kind: 'commit',
      parents: [git(['rev-parse', 'HEAD~1']).trim()],
      tree: git(['rev-parse', 'HEAD^{tree}']).trim(),
      author: { name: 'Some One', email: 'me@example.org' },
      message: 'Second\n\nWith a body\n',
      others: [],
    })
    const signature = signed(pair, GIT_NAMESPACE, encodeUtf8(payload))
    const header = `gpgsig ${signature.trimEnd().replaceAll('\n', '\n ')}\n`
    const commit = git(
      ['hash-object', '-t', 'commit', '-w', '--stdin'],
      payload.replace('\n\n', `\n${header}\n`),
    ).trim()
    git(['verify-commit', commit])
    expect(() => readGitObject(encodeUtf8(git(['cat-file', 'commit', commit])))).toThrow(
      'signed already',
    )

    git(['tag', '-a', '-m', 'A tag', 'v1', commit])
    const tag = git(['cat-file', 'tag', 'v1'])
    expect(readGitObject(encodeUtf8(tag))).toMatchObject({
      kind: 'tag',
      object: commit,
      type: 'commit',
      name: 'v1',
      tagger: { name: 'Some One' },
      message: 'A tag\n',
    })
    const whole = tag + signed(pair, GIT_NAMESPACE, encodeUtf8(tag))
    const object = git(['hash-object', '-t', 'tag', '-w', '--stdin'], whole).trim()
    git(['verify-tag', object])
    expect(() => readGitObject(encodeUtf8(whole))).toThrow('signed already')
    expect(() => git(['verify-tag', 'v1'])).toThrow()
  })

  test('what git hands over to be signed is read', () => {
    const { run, read, write, path } = desk()
    // Stands in for ssh-keygen: keeps what it was to sign.
    write(
      'keep',
      `#!/bin/sh\nfor last; do :; done\ncp "$last" '${path}/kept'\nexec ssh-keygen "$@"\n`,
    )
    run('chmod', ['+x', 'keep'])
    run('ssh-keygen', ['-q', '-t', 'ed25519', '-f', 'id', '-N', ''])
    run('git', ['init', '-q'])
    const config = [
      'user.name=Some One',
      'user.email=me@example.org',
      'gpg.format=ssh',
      `gpg.ssh.program=${path}/keep`,
      `user.signingKey=${path}/id`,
    ]
    run('git', [
      ...config.flatMap((line) => ['-c', line]),
      'commit',
      '-q',
      '-S',
      '--allow-empty',
      '-m',
      'Signed',
    ])
    expect(readGitObject(read('kept'))).toMatchObject({
      kind: 'commit',
      parents: [],
      message: 'Signed\n',
    })
    run('git', [...config.flatMap((line) => ['-c', line]), 'tag', '-s', '-m', 'Tagged', 'v1'])
    expect(readGitObject(read('kept'))).toMatchObject({
      kind: 'tag',
      name: 'v1',
      message: 'Tagged\n',
    })
  })
})
