/** A keeper as somebody starts it who installed the packages: by name, unlocked by descriptor 3. Prints how it stands. */
import { openKeeper } from '@stronghold/guard/keeper'
import { connectOwner, createToken, readToken } from '@stronghold/guard/owner'
import { createVault } from '@stronghold/vault'

const home = process.argv[2] ?? ''
const passphrase = new TextEncoder().encode('correct horse')
const kdf = { memoryKiB: 19_456, passes: 2 }
const vault = await createVault({ at: `${home}/vault`, credential: { passphrase }, kdf })
await vault.close()
const tokens = { admin: `${home}/admin.token`, approver: `${home}/approver.token` }
createToken(tokens.admin)
createToken(tokens.approver)
await using _ = await openKeeper({
  vault: { at: `${home}/vault` },
  peer: '12D3KooWHome1111111111111111111111111111111111111111',
  socket: { path: `${home}/owner.sock`, tokens },
  unlock: { by: 'descriptor', descriptor: 3 },
})
const { locked } = await connectOwner(`${home}/owner.sock`, readToken(tokens.admin)).status()
process.stdout.write(
  `${locked ? 'locked' : 'unlocked'} ${import.meta.resolve('@stronghold/guard/keeper-worker')}\n`,
)
