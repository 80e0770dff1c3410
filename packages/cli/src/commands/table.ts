/**
 * The one table of commands, in the order in which help shows them. What carries a command out is loaded where somebody asks
 * for it: each start would else wait for all of them.
 */
import type { Command } from '../command.ts'

/** Commands of one file. */
interface Group {
  /** The first words of their names. */
  readonly words: readonly string[]
  load(): Promise<readonly Command[]>
}

const GROUPS: readonly Group[] = [
  { words: ['init'], load: async () => [(await import('./init.ts')).init] },
  {
    words: ['up', 'down', 'lock', 'unlock'],
    load: async () => (await import('./up.ts')).LIFE_COMMANDS,
  },
  { words: ['status'], load: async () => [(await import('./status.ts')).status] },
  {
    words: ['sign', 'verify', 'pub'],
    load: async () => (await import('./signing.ts')).SIGNING_COMMANDS,
  },
  {
    words: ['encrypt', 'decrypt', 'random'],
    load: async () => (await import('./cipher.ts')).CIPHER_COMMANDS,
  },
  {
    words: ['approve', 'deny'],
    load: async () => (await import('./approval.ts')).DECIDING_COMMANDS,
  },
  { words: ['doctor'], load: async () => [(await import('./doctor.ts')).doctor] },
  { words: ['tour'], load: async () => [(await import('./tour.ts')).tour] },
  {
    words: ['version', 'completion'],
    load: async () => (await import('./about.ts')).ABOUT_COMMANDS,
  },
  { words: ['key'], load: async () => (await import('./key.ts')).KEY_COMMANDS },
  { words: ['key'], load: async () => [(await import('./key-import.ts')).keyImport] },
  { words: ['store'], load: async () => (await import('./store.ts')).STORE_COMMANDS },
  { words: ['proc'], load: async () => (await import('./proc.ts')).PROC_COMMANDS },
  { words: ['pair'], load: async () => (await import('./pair.ts')).PAIR_COMMANDS },
  { words: ['peer'], load: async () => (await import('./peer.ts')).PEER_COMMANDS },
  { words: ['peer'], load: async () => (await import('./peer-live.ts')).PEER_LIVE_COMMANDS },
  { words: ['net'], load: async () => (await import('./net.ts')).NET_COMMANDS },
  { words: ['relay'], load: async () => (await import('./relay.ts')).RELAY_COMMANDS },
  { words: ['rule'], load: async () => (await import('./rule.ts')).RULE_COMMANDS },
  { words: ['request'], load: async () => (await import('./request.ts')).REQUEST_COMMANDS },
  { words: ['approval'], load: async () => (await import('./approval.ts')).APPROVAL_COMMANDS },
  { words: ['token'], load: async () => (await import('./token.ts')).TOKEN_COMMANDS },
  { words: ['grant'], load: async () => (await import('./grant.ts')).GRANT_COMMANDS },
  { words: ['audit'], load: async () => (await import('./audit.ts')).AUDIT_COMMANDS },
  { words: ['receipt'], load: async () => (await import('./receipt.ts')).RECEIPT_COMMANDS },
  { words: ['sync'], load: async () => (await import('./sync.ts')).SYNC_COMMANDS },
  { words: ['backup'], load: async () => (await import('./backup.ts')).BACKUP_COMMANDS },
  { words: ['config'], load: async () => (await import('./config.ts')).CONFIG_COMMANDS },
]

/** Every command there is. */
export async function allCommands(): Promise<readonly Command[]> {
  return await loaded(GROUPS)
}

/** Those whose names begin with a word; every command there is where none does. */
export async function commandsOf(word: string | undefined): Promise<readonly Command[]> {
  const groups = GROUPS.filter(({ words }) => word !== undefined && words.includes(word))
  return await loaded(groups.length === 0 ? GROUPS : groups)
}

async function loaded(groups: readonly Group[]): Promise<readonly Command[]> {
  return (await Promise.all(groups.map((group) => group.load()))).flat()
}
