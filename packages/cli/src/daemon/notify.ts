/**
 * Runs a program of the owner's for what a person is asked: `approvals.notify`. It tells, and hears no answer. The program
 * is run without a shell, what a peer said reaches it only as JSON on its standard input, and no flood of requests makes more
 * of it run than the limits say.
 */
import { spawn } from 'node:child_process'
import { kill } from 'node:process'

import type { OwnerDoor, PendingApproval } from '@stronghold/guard'
import type { Clock } from '@stronghold/vault'

import { approvalJson } from '../approvals/json.ts'
import { quoted } from '../failure.ts'
import type { Io } from '../io.ts'
import {
  MAX_NOTIFIED_PER_MINUTE,
  MAX_NOTIFIERS,
  MAX_NOTIFIED_AT_ONCE,
  NOTIFIER_TIMEOUT_MS,
} from '../limits.ts'

/** What is run, and for whose requests. */
export interface NotifyInit {
  readonly owner: Pick<OwnerDoor, 'watchApprovals'>
  /** Program and arguments. Empty: nothing is run. */
  readonly command: readonly string[]
  /** Ends it; what runs then is ended, too. */
  readonly signal: AbortSignal
  /** Takes a sentence for the owner. */
  readonly log: (line: string) => void
  readonly clock: Clock
  /** Of it, the program gets what a program of a desktop needs, and nothing of ours but the home. */
  readonly env: Io['env']
}

/** What a program gets of the environment. Whatever is not named here may be a secret. */
const PASSED: readonly string[] = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'LANG',
  'LC_ALL',
  'LC_CTYPE',
  'TZ',
  'TMPDIR',
  'DISPLAY',
  'WAYLAND_DISPLAY',
  'XAUTHORITY',
  'XDG_RUNTIME_DIR',
  'DBUS_SESSION_BUS_ADDRESS',
  'STRONGHOLD_HOME',
]

/** Runs the program for each request, until the signal or the end of the door. Never rejects: its failures are logged. */
export async function notifyApprovals(init: NotifyInit): Promise<void> {
  const { owner, command, signal, log } = init
  if (command.length === 0) return
  const notifiers = new Notifiers(init)
  try {
    for await (const event of owner.watchApprovals({ signal })) {
      if (event.type === 'asked') notifiers.tell(event.approval)
    }
  } catch (error) {
    if (!signal.aborted) log(`nobody is notified any more: ${sentence(error)}`)
  } finally {
    notifiers.stop()
  }
}

class Notifiers {
  readonly #init: NotifyInit
  readonly #running = new Set<() => void>()
  #tokens = MAX_NOTIFIED_AT_ONCE
  #filledAtMs: number
  #untold = 0
  #stopSaying: (() => void) | undefined

  constructor(init: NotifyInit) {
    this.#init = init
    this.#filledAtMs = init.clock.nowMs()
  }

  tell(approval: PendingApproval): void {
    if (this.#running.size >= MAX_NOTIFIERS || !this.#take()) {
      this.#notTold()
      return
    }
    const { command, env, clock, log } = this.#init
    const [program = '', ...args] = command
    const given = PASSED.flatMap((name): [string, string | undefined][] =>
      env[name] === undefined ? [] : [[name, env[name]]],
    )
    const name = quoted(program)
    let end: () => void
    try {
      const child = spawn(program, args, {
        cwd: '/',
        env: Object.fromEntries(given),
        // A group of its own, so that what it starts ends with it.
        detached: true,
        stdio: ['pipe', 'ignore', 'ignore'],
      })
      let isLate = false
      end = () => {
        try {
          if (child.pid !== undefined) kill(-child.pid, 'SIGKILL')
        } catch {
          // It has ended by itself.
        }
      }
      const done = (why: string | undefined): void => {
        if (!this.#running.delete(end)) return
        stopTimer()
        if (why !== undefined) log(`approvals.notify ran ${name}: ${why}`)
      }
      const stopTimer = clock.setTimer(NOTIFIER_TIMEOUT_MS, () => {
        isLate = true
        end()
      })
      this.#running.add(end)
      child.once('error', (error) => {
        done(`it cannot be started: ${sentence(error)}`)
      })
      child.once('exit', (code, killedBy) => {
        done(
          isLate
            ? `it was ended after ${NOTIFIER_TIMEOUT_MS / 1000} seconds`
            : code === 0
              ? undefined
              : `it ended with ${code ?? killedBy ?? 'an error'}`,
        )
      })
      // It need not read what it is told.
      child.stdin.on('error', () => {})
      child.stdin.end(
        `${JSON.stringify({ v: 1, event: 'asked', approval: approvalJson(approval) })}\n`,
      )
      // What it does must not keep us from ending.
      child.unref()
    } catch (error) {
      log(`approvals.notify cannot run ${name}: ${sentence(error)}`)
    }
  }

  stop(): void {
    this.#stopSaying?.()
    for (const end of this.#running) end()
  }

  #take(): boolean {
    const nowMs = this.#init.clock.nowMs()
    const gained = ((nowMs - this.#filledAtMs) * MAX_NOTIFIED_PER_MINUTE) / 60_000
    this.#tokens = Math.min(this.#tokens + Math.max(gained, 0), MAX_NOTIFIED_AT_ONCE)
    this.#filledAtMs = nowMs
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  /** Counted, and said once a minute: a log can be flooded, too. */
  #notTold(): void {
    this.#untold++
    this.#stopSaying ??= this.#init.clock.setTimer(60_000, () => {
      this.#stopSaying = undefined
      this.#init.log(
        `${this.#untold} requests came too fast to notify of: stronghold approval list`,
      )
      this.#untold = 0
    })
  }
}

function sentence(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  const code: unknown = 'code' in error ? error.code : undefined
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : quoted(error.message)
}
