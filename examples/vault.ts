/**
 * A vault in one minute: made, a key generated in it, a file signed, locked, unlocked again, and the signature verified
 * by a program that knows nothing of us.
 *
 *   node examples/vault.ts [FILE TO SIGN]
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

import { createVault, isVaultError } from '@stronghold/vault'
import { generate, pub, sign } from '@stronghold/vault/catalog'

const directory = mkdtempSync(join(tmpdir(), 'stronghold-example-'))
const text = new TextDecoder()
try {
  await tour(process.argv[2])
} catch (error) {
  if (!isVaultError(error) && !isSystemError(error)) throw error
  console.error(`vault: error: ${error.message}`)
  process.exitCode = 1
} finally {
  rmSync(directory, { recursive: true, force: true })
}

async function tour(file = example()): Promise<void> {
  const message = readFileSync(file)
  const passphrase = new TextEncoder().encode('an example is no place for a secret')

  await using vault = await createVault({
    at: join(directory, 'vault'),
    credential: { passphrase },
  })
  const { locked, bytes } = vault.status().memory
  say('made a vault', `its secrets live in ${bytes / 1024 / 1024} MiB of memory, locked: ${locked}`)

  const { record } = await vault.run(generate, { type: 'ed25519', to: 'release/app' })
  say(
    `made ${record.path}`,
    `${record.type}, version ${record.version}; no procedure gives the key out`,
  )

  const [ssh, signers] = await Promise.all([
    vault.run(pub, { key: 'release/app', as: { format: 'openssh', comment: 'release/app' } }),
    vault.run(pub, {
      key: 'release/app',
      as: { format: 'allowed-signers', principal: 'release/app' },
    }),
  ])
  console.log(`\n  ${ssh.text ?? ''}\n`)

  const { signature } = await vault.run(sign, { key: 'release/app', message })
  say(`signed ${basename(file)}`, 'as SSHSIG, in namespace file')
  console.log(`\n${text.decode(signature).trimEnd().replaceAll(/^/gm, '  ')}\n`)

  await vault.lock()
  const refused = await vault.run(sign, { key: 'release/app', message }).catch((error: unknown) => {
    if (isVaultError(error)) return error.message
    throw error
  })
  say('locked', typeof refused === 'string' ? refused : 'and it signed all the same')

  const startedAtMs = performance.now()
  await vault.unlock({ passphrase })
  const again = await vault.run(sign, { key: 'release/app', message })
  const ms = (performance.now() - startedAtMs).toFixed(0)
  const same = text.decode(again.signature) === text.decode(signature)
  say('unlocked', `and signed in ${ms} ms: ${same ? 'the same signature' : 'ANOTHER SIGNATURE'}`)

  verify(message, signature, signers.text ?? '')
}

/** `ssh-keygen` has the last word. */
function verify(message: Uint8Array, signature: Uint8Array, signers: string): void {
  writeFileSync(join(directory, 'signers'), `${signers.trimEnd()}\n`)
  writeFileSync(join(directory, 'signature'), signature)
  const args = [
    '-Y',
    'verify',
    '-I',
    'release/app',
    '-n',
    'file',
    '-f',
    'signers',
    '-s',
    'signature',
  ]
  try {
    const said = execFileSync('ssh-keygen', args, { cwd: directory, input: message, stdio: 'pipe' })
    say('ssh-keygen says', text.decode(said).trim())
  } catch (error) {
    if (!isSystemError(error) || error.code !== 'ENOENT') throw error
    say('not verified', 'ssh-keygen is not installed here')
  }
}

/** A file to sign where none is named. */
function example(): string {
  const file = join(directory, 'app.txt')
  writeFileSync(file, 'What is released\n')
  return file
}

function say(what: string, more: string): void {
  console.log(`${what.padEnd(17)} ${more}`)
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error
}
