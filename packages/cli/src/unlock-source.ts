/** Where what unlocks a vault comes from, as flags, environment and configuration say it. Pure; it reads none of it. */
import type { Config } from './config.ts'
import { Failure, quoted } from './failure.ts'

/** Where what unlocks comes from. */
export type UnlockSource =
  | { readonly from: 'file'; readonly path: string }
  | { readonly from: 'descriptor'; readonly descriptor: number }
  | { readonly from: 'key-file'; readonly path: string }
  | { readonly from: 'person' }

/**
 * Which source there is: a flag goes before the environment and the file. `undefined` where only a person is left.
 *
 * @throws `Failure` `usage` for several flags at once, and a descriptor that is none
 */
export function sourceOf(
  options: Readonly<Record<string, unknown>>,
  config: Config,
): UnlockSource | undefined {
  const flags = ['passphrase-file', 'passphrase-fd', 'key-file'].filter(
    (name) => options[name] !== undefined,
  )
  if (flags.length > 1) {
    throw new Failure('usage', 'cannot unlock the vault', {
      reason: `${flags.map((name) => `--${name}`).join(' and ')} say different things`,
    })
  }
  const descriptor = options['passphrase-fd']
  if (typeof descriptor === 'string') {
    if (!/^[0-9]{1,3}$/.test(descriptor)) {
      throw new Failure('usage', 'cannot read the passphrase', {
        reason: `--passphrase-fd is ${quoted(descriptor)}, no number of an open descriptor`,
      })
    }
    return { from: 'descriptor', descriptor: Number(descriptor) }
  }
  const rank = { flag: 0, environment: 1, file: 2, default: 3 }
  const [first] = [config.find('passphrase_file'), config.find('key_file')]
    .filter(({ value }) => value !== undefined)
    .sort((a, b) => rank[a.origin] - rank[b.origin])
  if (first === undefined) return undefined
  const path = String(first.value)
  return first.key === 'key_file' ? { from: 'key-file', path } : { from: 'file', path }
}
