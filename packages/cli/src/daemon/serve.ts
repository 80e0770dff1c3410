/**
 * A Stronghold that stays: a node, the keeper with its vault in a thread of its own, the vault served to peers, and the
 * control socket. It opens all of it in order, and closes it in the other.
 */
import { openKeeper } from '@stronghold/guard/keeper'
import type { Keeper } from '@stronghold/guard/keeper'
import { DoorError, openSocket } from '@stronghold/guard/socket'
import { servePairing, serveSync, serveVault } from '@stronghold/remote'
import type { PairingDoor } from '@stronghold/remote'

import { noteInBook } from '../book.ts'
import { parseDuration } from '../duration.ts'
import { Failure, quoted } from '../failure.ts'
import { hasVault, makeHome, peerOf, socketsOf } from '../home.ts'
import { within } from '../io.ts'
import { CLOSE_TIMEOUT_MS } from '../limits.ts'
import { NODE_METHODS, nodeCalls, nodeDoorOf } from '../node/door.ts'
import type { NodeDoor } from '../node/door.ts'
import { runningDoor } from '../node/pick.ts'
import type { PickInit } from '../node/pick.ts'
import { openRunningNode } from '../node/running.ts'
import { notifyApprovals } from './notify.ts'
import type { OpenNodeInit } from '../node/running.ts'
import { confirmsApprovals, retryHeld } from '../door.ts'

/** What is to stay. */
export interface ServeInit extends PickInit {
  readonly kind: 'up' | 'relay'
  /** The command as a second process is told it. */
  readonly command: string
  readonly node: NonNullable<OpenNodeInit['node']>
}

/** A Stronghold that runs in this process. */
export interface Serving extends AsyncDisposable {
  readonly door: NodeDoor
  /** `undefined` where it serves no vault. Locked at first. */
  readonly keeper: Keeper | undefined
  /** Settles when it was asked to end, or has to: then with why. */
  readonly ended: Promise<Error | undefined>
}

/**
 * Starts a Stronghold; resolves when everything listens.
 *
 * @throws `Failure` `conflict` where one runs in this home already, or another process holds its vault for longer than 5 s;
 *   `P2pError` for addresses that cannot be listened on
 */
export async function serve(init: ServeInit): Promise<Serving> {
  const { io, home, config, kind } = init
  const before = await runningDoor(init)
  if (before !== undefined) {
    const { pid } = await before.status()
    throw new Failure('conflict', `cannot start in home ${quoted(home.path)}`, {
      reason: `a Stronghold runs there already, process ${pid}`,
      hint: 'stronghold status, or end it: stronghold down',
    })
  }
  makeHome(home)
  await using started = new AsyncDisposableStack()
  const keeper = kind === 'up' && hasVault(home) ? await openVaultOf(init) : undefined
  if (keeper !== undefined) started.use(keeper)
  const stopped = Promise.withResolvers<Error | undefined>()
  const running = await openRunningNode({
    ...init,
    stop: () => {
      stopped.resolve(undefined)
    },
  })
  started.defer(() => running.node.stop())
  if (keeper !== undefined) {
    started.use(serveVault(running.node, keeper))
    started.use(serveSync(running.node, keeper))
    const pairing = started.use(servePairing(running.node, noted(keeper, home)))
    const closing = new AbortController()
    started.defer(() => {
      closing.abort()
    })
    void offerPairing(keeper, pairing, closing.signal)
    void notifyApprovals({
      owner: keeper.owner,
      command: config.list('approvals.notify'),
      signal: closing.signal,
      log: (line) => void io.stderr.write(`stronghold: ${line}\n`),
      clock: io.clock,
      env: { ...io.env, STRONGHOLD_HOME: home.path },
    })
    void keeper.ended.then((error) => {
      stopped.resolve(error)
    })
  }
  const door = nodeDoorOf(running)
  const socket = await openSocket({
    path: socketsOf(home, io.env).control,
    methods: NODE_METHODS,
    admit: () => nodeCalls(door),
  })
  started.defer(() => socket.close())
  const opened = started.move()
  let closed: Promise<void> | undefined
  return {
    door,
    keeper,
    ended: stopped.promise,
    // What does not want to end in time ends with the process.
    [Symbol.asyncDispose]: () =>
      (closed ??= within(io.clock, CLOSE_TIMEOUT_MS, opened.disposeAsync())),
  }
}

/** Pairing that puts whoever pairs into the book as well, whether or not somebody waits for it. */
function noted({ network }: Keeper, home: ServeInit['home']): PairingDoor {
  return {
    network: {
      pair: async (asker, ticket, proof) => {
        const answer = await network.pair(asker, ticket, proof)
        if (answer.paired) noteInBook(home, { peer: asker.peer, name: answer.name })
        return answer
      },
    },
  }
}

/** The keeper of a home's vault, locked. */
async function openVaultOf({ io, home, config, command }: ServeInit): Promise<Keeper> {
  const peer = await peerOf(home)
  const sockets = socketsOf(home, io.env)
  const after = config.text('lock.after') ?? '0'
  return await retryHeld(io, () =>
    openKeeper({
      vault: {
        at: home.vault,
        command: `stronghold ${command}`,
        socket: sockets.owner,
        memory: { requireLocked: config.switch('memory.require_locked') },
        ...(after === '0' ? {} : { autoLockMs: parseDuration(after) }),
      },
      peer,
      limits: { maxAuditBytes: config.number('audit.max_bytes') },
      confirmApprovals: confirmsApprovals(config),
      socket: {
        path: sockets.owner,
        tokens: { admin: home.adminToken, approver: home.approverToken },
      },
    }),
  )
}

/** Pairing is offered for as long as a ticket is open. */
async function offerPairing(
  { network }: Keeper,
  pairing: ReturnType<typeof servePairing>,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const open of network.pairing({ signal })) pairing.setOpen(open)
  } catch (error) {
    // The keeper is gone, which ends everything.
    if (!(error instanceof DoorError)) throw error
  }
}
