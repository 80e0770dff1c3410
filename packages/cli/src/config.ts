/**
 * Settings: one schema, from which come checking, `config show`, and the table in `docs/cli.md`. A flag goes before the
 * environment, that before the file, that before the default. It reads one file and knows no command.
 */
import { nearest } from '@stronghold/core'

import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

import { parse, stringify, TomlError } from 'smol-toml'
import { z } from 'zod'

import { Failure, quoted } from './failure.ts'
import { makeDirectory } from './home.ts'

/** What a setting may be. */
export type Value = string | number | boolean | readonly string[]

/** One setting. */
interface Setting {
  /** What it does, unit and effect. */
  readonly says: string
  readonly schema: z.ZodType<Value>
  /** What holds where nobody says; `undefined` for nothing. */
  readonly usual: Value | undefined
  /** An option of the command line that goes before it. */
  readonly flag?: string
}

const file = z.string().min(1).max(4096)
const addresses = z.array(z.string().startsWith('/').max(1024)).max(32).readonly()
const duration = z
  .string()
  .regex(/^(?:0|(?:[0-9]{1,9}(?:ms|[smhdw]))+)$/, 'it is not like 15m or 0')

/** Every setting, by its dotted key. */
export const SETTINGS = {
  passphrase_file: {
    says: 'file of one line that unlocks the vault; relative to the configuration file',
    schema: file,
    usual: undefined,
    flag: 'passphrase-file',
  },
  key_file: {
    says: 'key file that unlocks the vault; relative to the configuration file',
    schema: file,
    usual: undefined,
    flag: 'key-file',
  },
  'memory.require_locked': {
    says: 'refuse to hold secrets in memory that the system does not keep out of swap',
    schema: z.boolean(),
    usual: false,
  },
  'audit.max_bytes': {
    says: 'bytes that the audit may take up, the last 64 MiB for denying and revoking alone; a full one refuses whatever has to be written',
    schema: z
      .int()
      .min(64 * 1024 ** 2)
      .max(2 ** 50),
    usual: 4 * 1024 ** 3,
  },
  listen: {
    says: 'addresses that `up` listens on; several with commas between them',
    schema: addresses,
    usual: ['/ip4/0.0.0.0/tcp/7430', '/ip6/::/tcp/7430'],
    flag: 'listen',
  },
  announce: {
    says: 'addresses that others are told in the place of those listened on, as behind a router',
    schema: addresses,
    usual: [],
  },
  'lock.after': {
    says: 'time without a call after which a running Stronghold locks its vault; 0 for never',
    schema: duration,
    usual: '0',
  },
  'net.ban': {
    says: 'IP addresses and prefixes that no connection is made with',
    schema: z
      .array(z.string().regex(/^[0-9a-fA-F.:]{2,45}(?:\/[0-9]{1,3})?$/, 'no IP address or prefix'))
      .max(256)
      .readonly(),
    usual: [],
  },
  'reach.check': {
    says: 'have peers check which addresses of this machine others can reach (AutoNAT)',
    schema: z.boolean(),
    usual: true,
  },
  'reach.map_ports': {
    says: "ask the network's router to let through the ports that are listened on (UPnP)",
    schema: z.boolean(),
    usual: false,
  },
  'relay.use': {
    says: 'relays that `up` is reached through, each RELAY-ADDRESS/p2p-circuit',
    schema: addresses,
    usual: [],
  },
  'relay.punch': {
    says: 'try for a direct connection once one through a relay stands',
    schema: z.boolean(),
    usual: true,
  },
  'find.mdns': {
    says: 'find peers on this network, and let them find this one (mDNS)',
    schema: z.boolean(),
    usual: true,
  },
  'find.rendezvous': {
    says: 'rendezvous points at which peers are found, each ADDRESS/p2p/PEER-ID',
    schema: addresses,
    usual: [],
  },
  'find.dht': {
    says: 'find peers by asking ones way through a network of others (Kademlia)',
    schema: z.boolean(),
    usual: false,
  },
  'find.dht_network': {
    says: 'which network: `private`, one of Strongholds; `public`, that of strangers; or a protocol id, as /example/kad/1.0.0',
    schema: z
      .string()
      .regex(
        /^(?:private|public|\/[\x21-\x7e]{1,127})$/,
        'neither private, public nor a protocol id',
      ),
    usual: 'private',
  },
  'find.dht_bootstrap': {
    says: 'where that network is entered, each ADDRESS/p2p/PEER-ID',
    schema: addresses,
    usual: [],
  },
  'backup.directory': {
    says: 'directory of scheduled backups; relative to the configuration file',
    schema: file,
    usual: undefined,
  },
  'backup.every': {
    says: 'time between backups that a running Stronghold writes there; 0 for none',
    schema: duration,
    usual: '0',
  },
  'backup.keep': {
    says: 'how many of these stay; older ones that it wrote itself are taken away',
    schema: z.int().min(1).max(48),
    usual: 7,
  },
  'backup.recipients': {
    says: 'who can open backups, each an age1… recipient',
    schema: z
      .array(z.string().regex(/^age1[0-9a-z]{8,128}$/, 'no age recipient'))
      .max(64)
      .readonly(),
    usual: [],
  },
  'approvals.notify': {
    says: 'program, with its arguments, that is run for what a person is asked; it gets JSON on stdin',
    schema: z.array(z.string().max(4096)).max(16).readonly(),
    usual: [],
  },
  'approvals.confirm': {
    says: '`passphrase`: whoever approves says it again; `none`: nothing is asked',
    schema: z.enum(['none', 'passphrase']),
    usual: 'none',
  },
} as const satisfies Readonly<Record<string, Setting>>

/** The dotted key of a setting. */
export type Key = keyof typeof SETTINGS

/** Keys of the settings that are of one type. */
export type KeyOf<T> = {
  [K in Key]: z.output<(typeof SETTINGS)[K]['schema']> extends T ? K : never
}[Key]

/** Where a value comes from. */
export type Origin = 'flag' | 'environment' | 'file' | 'default'

/** A value with its origin. */
export interface Found {
  readonly key: Key
  readonly value: Value | undefined
  readonly origin: Origin
}

/** What the settings of one run are made of. */
export interface ConfigInit {
  /** The configuration file, which need not be there. */
  readonly path: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Options of the command line. */
  readonly flags?: Readonly<Record<string, unknown>>
  /** What relative paths of flags and environment begin at. */
  readonly cwd: string
}

/** The settings of one run. */
export class Config {
  readonly path: string
  readonly #found: ReadonlyMap<Key, Found>

  constructor(path: string, found: ReadonlyMap<Key, Found>) {
    this.path = path
    this.#found = found
  }

  /** All of them, in the order of the schema. */
  all(): Found[] {
    return [...this.#found.values()]
  }

  /** @throws `Failure` `usage` for a key that is none, with the one that was probably meant */
  find(key: string): Found {
    return this.#found.get(assertKey(key)) as Found
  }

  /** A setting that is text. */
  text(key: KeyOf<string>): string | undefined {
    return this.#found.get(key)?.value as string | undefined
  }

  /** A setting that is a number. */
  number(key: KeyOf<number>): number {
    return this.#found.get(key)?.value as number
  }

  /** A setting that is yes or no. */
  switch(key: KeyOf<boolean>): boolean {
    return this.#found.get(key)?.value as boolean
  }

  /** A setting that is a list. */
  list(key: KeyOf<readonly string[]>): readonly string[] {
    return (this.#found.get(key)?.value ?? []) as readonly string[]
  }
}

/**
 * Reads the settings.
 *
 * @throws `Failure` `usage` for a file that is not TOML, an unknown key and a value that does not fit
 */
export function readConfig({ path, env, flags = {}, cwd }: ConfigInit): Config {
  const inFile = readFile(path)
  const found = new Map<Key, Found>()
  for (const key of Object.keys(SETTINGS) as Key[]) {
    const { usual, flag } = SETTINGS[key] as Setting
    const given = flag === undefined ? undefined : flags[flag]
    const variable = env[variableOf(key)]
    const entry = ((): Found => {
      if (typeof given === 'string') {
        return { key, origin: 'flag', value: placed(key, given, cwd) }
      }
      if (Array.isArray(given)) {
        return { key, origin: 'flag', value: check(key, given, `--${flag}`) }
      }
      if (variable !== undefined && variable !== '') {
        const value = check(key, fromText(key, variable), variableOf(key))
        return { key, origin: 'environment', value: placed(key, value, cwd) }
      }
      const value = inFile.get(key)
      return value === undefined
        ? { key, origin: 'default', value: usual }
        : { key, origin: 'file', value: placed(key, value, dirname(path)) }
    })()
    found.set(key, entry)
  }
  return new Config(path, found)
}

/** The variable of a key: `audit.max_bytes` is `STRONGHOLD_AUDIT_MAX_BYTES`. */
export function variableOf(key: Key): string {
  return `STRONGHOLD_${key.toUpperCase().replaceAll('.', '_')}`
}

/** A value as TOML writes it, and `config` prints it. */
export function printValue(value: Value): string {
  return stringify({ value }).slice('value = '.length).trim()
}

/**
 * A file with one setting changed; comments and everything else stay. Pure.
 *
 * @throws `Failure` `usage` for a key or a value that does not fit
 */
export function changed(text: string, key: string, value: string): string {
  const known = assertKey(key)
  const printed = printValue(check(known, fromText(known, value), known))
  const dot = known.lastIndexOf('.')
  const table = dot === -1 ? '' : known.slice(0, dot)
  const name = known.slice(dot + 1)
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n')
  let current = ''
  let end = table === '' ? 0 : -1
  for (const [index, line] of lines.entries()) {
    const header = /^\s*\[([^[\]]+)\]/.exec(line)?.[1]?.trim()
    if (header !== undefined) {
      current = header
      if (header === table) end = index + 1
      continue
    }
    if (current !== table) continue
    const comment = new RegExp(`^(\\s*)${name}\\s*=[^#]*(#.*)?$`).exec(line)
    if (comment !== null) {
      const [, indent = '', rest] = comment
      lines[index] = `${indent}${name} = ${printed}${rest === undefined ? '' : ` ${rest}`}`
      return `${lines.join('\n')}\n`
    }
    if (line.trim() !== '') end = index + 1
  }
  const line = `${name} = ${printed}`
  if (end === -1) lines.push(...(lines.length > 0 ? [''] : []), `[${table}]`, line)
  else lines.splice(end, 0, line)
  return `${lines.join('\n')}\n`
}

/** Writes one setting into the file, whole or not at all. @throws as `changed` and `readConfig` */
export function writeSetting(path: string, key: string, value: string): void {
  readFile(path)
  const text = changed(textOf(path), key, value)
  makeDirectory(dirname(path))
  const temporary = `${path}.${process.pid}.tmp`
  try {
    writeFileSync(temporary, text, { mode: 0o600 })
    readFile(temporary)
    renameSync(temporary, path)
  } finally {
    rmSync(temporary, { force: true })
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}

function readFile(path: string): Map<Key, Value> {
  let tables
  try {
    tables = parse(textOf(path))
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    throw new Failure('usage', `cannot read ${quoted(path)}`, {
      reason: `line ${error.line}, column ${error.column}: no TOML`,
      cause: error,
    })
  }
  const values = new Map<Key, Value>()
  const walk = (table: Readonly<Record<string, unknown>>, front: string): void => {
    for (const [name, value] of Object.entries(table)) {
      const key = `${front}${name}`
      const isTable = typeof value === 'object' && value !== null && !Array.isArray(value)
      if (isTable && Object.keys(SETTINGS).some((one) => one.startsWith(`${key}.`))) {
        walk(value as Readonly<Record<string, unknown>>, `${key}.`)
      } else {
        const known = assertKey(key, path)
        values.set(known, check(known, value, key))
      }
    }
  }
  walk(tables, '')
  return values
}

function assertKey(key: string, path?: string): Key {
  if (Object.hasOwn(SETTINGS, key)) return key as Key
  const meant = nearest(key, Object.keys(SETTINGS))
  throw new Failure(
    'usage',
    path === undefined ? 'cannot use setting' : `cannot read ${quoted(path)}`,
    {
      reason: `there is no setting ${quoted(key)}`,
      hint: meant === undefined ? 'stronghold config show' : `write ${meant}`,
    },
  )
}

function check(key: Key, value: unknown, where: string): Value {
  const { schema, says } = SETTINGS[key] as Setting
  const found = schema.safeParse(value)
  if (found.success) return found.data
  throw new Failure('usage', `cannot use setting ${key}`, {
    reason: `${where} is ${quoted(String(value))}: ${found.error.issues[0]?.message ?? 'it does not fit'}`,
    hint: `${key}: ${says}`,
  })
}

/** Text of a flag, a variable or an operand as the value that a key takes. */
function fromText(key: Key, text: string): unknown {
  const { usual } = SETTINGS[key] as Setting
  if (typeof usual === 'boolean') return text === 'true' ? true : text === 'false' ? false : text
  if (typeof usual === 'number') return /^-?[0-9]{1,15}$/.test(text) ? Number(text) : text
  if (Array.isArray(usual)) return text === '' ? [] : text.split(',').map((one) => one.trim())
  return text
}

/** Files are relative to where they were named. */
function placed(key: Key, value: Value, from: string): Value {
  return typeof value === 'string' && (key.endsWith('_file') || key === 'backup.directory')
    ? resolve(from, value)
    : value
}
