/** The one table of commands, in the order in which help shows them. */
import type { Command } from '../command.ts'
import { ABOUT_COMMANDS } from './about.ts'
import { APPROVAL_COMMANDS, DECIDING_COMMANDS } from './approval.ts'
import { AUDIT_COMMANDS } from './audit.ts'
import { BACKUP_COMMANDS } from './backup.ts'
import { CIPHER_COMMANDS } from './cipher.ts'
import { CONFIG_COMMANDS } from './config.ts'
import { doctor } from './doctor.ts'
import { GRANT_COMMANDS } from './grant.ts'
import { init } from './init.ts'
import { keyImport } from './key-import.ts'
import { KEY_COMMANDS } from './key.ts'
import { PAIR_COMMANDS } from './pair.ts'
import { NET_COMMANDS } from './net.ts'
import { PEER_COMMANDS } from './peer.ts'
import { PEER_LIVE_COMMANDS } from './peer-live.ts'
import { PROC_COMMANDS } from './proc.ts'
import { RECEIPT_COMMANDS } from './receipt.ts'
import { REQUEST_COMMANDS } from './request.ts'
import { RELAY_COMMANDS } from './relay.ts'
import { RULE_COMMANDS } from './rule.ts'
import { TOKEN_COMMANDS } from './token.ts'
import { SIGNING_COMMANDS } from './signing.ts'
import { status } from './status.ts'
import { SYNC_COMMANDS } from './sync.ts'
import { tour } from './tour.ts'
import { LIFE_COMMANDS } from './up.ts'
import { STORE_COMMANDS } from './store.ts'

/** Every command there is. */
export const COMMANDS: readonly Command[] = Object.freeze([
  init,
  ...LIFE_COMMANDS,
  status,
  ...SIGNING_COMMANDS,
  ...CIPHER_COMMANDS,
  ...DECIDING_COMMANDS,
  doctor,
  tour,
  ...ABOUT_COMMANDS,
  ...KEY_COMMANDS,
  keyImport,
  ...STORE_COMMANDS,
  ...PROC_COMMANDS,
  ...PAIR_COMMANDS,
  ...PEER_COMMANDS,
  ...PEER_LIVE_COMMANDS,
  ...NET_COMMANDS,
  ...RELAY_COMMANDS,
  ...RULE_COMMANDS,
  ...REQUEST_COMMANDS,
  ...APPROVAL_COMMANDS,
  ...TOKEN_COMMANDS,
  ...GRANT_COMMANDS,
  ...AUDIT_COMMANDS,
  ...RECEIPT_COMMANDS,
  ...SYNC_COMMANDS,
  ...BACKUP_COMMANDS,
  ...CONFIG_COMMANDS,
])
