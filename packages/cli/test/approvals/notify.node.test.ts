/** `approvals.notify`: a program of the owner's, run for what a person is asked. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { OwnerDoor, PendingApproval } from '@stronghold/guard'
import { manualClock } from '@stronghold/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { notifyApprovals } from '../../src/daemon/notify.ts'
import {
  MAX_NOTIFIED_AT_ONCE,
  MAX_NOTIFIED_PER_MINUTE,
  MAX_NOTIFIERS,
  NOTIFIER_TIMEOUT_MS,
} from '../../src/limits.ts'
import { asked } from './asked.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'stronghold-notify-'))
})
afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** Notifies of approvals that a test asks for. */
class Notifying implements AsyncDisposable {
  readonly clock = manualClock()
  readonly log: string[] = []
  readonly #queue: PendingApproval[] = []
  readonly #stop = new AbortController()
  readonly #done: Promise<void>
  #wake: () => void = () => {}

  constructor(
    command: readonly string[],
    env: Readonly<Record<string, string>> = {},
    fails?: Error,
  ) {
    const take = (): PendingApproval | undefined => this.#queue.shift()
    const waits = (wake: () => void): void => {
      this.#wake = wake
    }
    const owner: Pick<OwnerDoor, 'watchApprovals'> = {
      async *watchApprovals({ signal }) {
        if (fails !== undefined) throw fails
        const gone = new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => {
            resolve()
          })
        })
        while (!signal.aborted) {
          const approval = take()
          if (approval !== undefined) yield { type: 'asked', approval }
          else {
            const more = new Promise<void>(waits)
            await Promise.race([more, gone])
          }
        }
      },
    }
    this.#done = notifyApprovals({
      owner,
      command,
      signal: this.#stop.signal,
      log: (line) => this.log.push(line),
      clock: this.clock,
      env: { PATH: process.env['PATH'] ?? '', ...env },
    })
  }

  ask(count = 1): void {
    for (let n = 0; n < count; n++) {
      this.#queue.push(asked(n % 256, { reason: '$(touch pwned); `id`; "quoted"' }))
    }
    this.#wake()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#done
  }
}

/** A program that says how often it ran, and does what it is told. */
function program(name: string, body: string): readonly string[] {
  const path = join(folder, `${name}.sh`)
  writeFileSync(path, body, { mode: 0o700 })
  return ['/bin/sh', path]
}

const linesOf = (path: string): string[] =>
  existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : []

describe('approvals.notify', () => {
  test('gets the request as JSON on stdin, without a shell and without secrets in its environment', async () => {
    const out = join(folder, 'told')
    const command = program(
      'tell',
      `cat > ${out}.part; env > ${out}.env; echo "$1" >> ${out}.env\nmv ${out}.part ${out}\n`,
    )
    const secret = { STRONGHOLD_PASSPHRASE_FILE: '/secret/file', AWS_SECRET_ACCESS_KEY: 'abc' }
    await using notifying = new Notifying([...command, '$(touch pwned)'], { ...secret, LANG: 'C' })
    notifying.ask()
    await expect.poll(() => linesOf(out)).toHaveLength(1)
    const { v, event, approval } = JSON.parse(readFileSync(out, 'utf8')) as Record<string, unknown>
    expect({ v, event }).toEqual({ v: 1, event: 'asked' })
    expect(approval).toMatchObject({ peerName: 'ci', reason: '$(touch pwned); `id`; "quoted"' })
    const env = readFileSync(`${out}.env`, 'utf8')
    expect(env).toContain('LANG=C')
    expect(env).toContain('$(touch pwned)')
    expect(env).not.toMatch(/PASSPHRASE|AWS|NODE/)
    expect(notifying.log).toEqual([])
  })

  test('MAX_NOTIFIERS: so many run at a time, and for one more none is run', async () => {
    const out = join(folder, 'slow')
    const command = program('slow', `echo x >> ${out}; exec sleep 60\n`)
    await using notifying = new Notifying(command)
    notifying.ask(MAX_NOTIFIERS + 2)
    await expect.poll(() => linesOf(out)).toHaveLength(MAX_NOTIFIERS)
    notifying.clock.advance(60_000 - 1)
    // NOTIFIER_TIMEOUT_MS: by now they were ended, and there is room again.
    expect(NOTIFIER_TIMEOUT_MS).toBeLessThan(60_000)
    const late = `it was ended after ${NOTIFIER_TIMEOUT_MS / 1000} seconds`
    await expect.poll(() => notifying.log.filter((line) => line.includes(late))).toHaveLength(4)
    notifying.clock.advance(1)
    expect(notifying.log.at(-1)).toContain('2 requests came too fast to notify of')
    notifying.ask()
    await expect.poll(() => linesOf(out)).toHaveLength(MAX_NOTIFIERS + 1)
  })

  test('MAX_NOTIFIED_AT_ONCE, MAX_NOTIFIED_PER_MINUTE: a flood is told of so often, and counted in one line', async () => {
    const out = join(folder, 'flood')
    const command = program('flood', `echo x >> ${out}\n`)
    await using notifying = new Notifying(command)
    for (let n = 0; n < MAX_NOTIFIED_AT_ONCE; n++) {
      notifying.ask()
      await expect.poll(() => linesOf(out)).toHaveLength(n + 1)
    }
    notifying.ask(500)
    await expect.poll(() => notifying.clock.timers).toBeGreaterThan(0)
    notifying.clock.advance(60_000 / MAX_NOTIFIED_PER_MINUTE)
    notifying.ask()
    await expect.poll(() => linesOf(out)).toHaveLength(MAX_NOTIFIED_AT_ONCE + 1)
    notifying.clock.advance(60_000)
    expect(notifying.log.filter((line) => line.includes('too fast'))).toHaveLength(1)
  })

  test('that fails, or is not there, is logged, and the next is told all the same', async () => {
    await using failing = new Notifying(program('fails', 'exit 3\n'))
    failing.ask()
    await expect.poll(() => failing.log).toEqual([expect.stringContaining('it ended with 3')])
    await using missing = new Notifying(['/nowhere/at-all'])
    missing.ask()
    await expect.poll(() => missing.log).toEqual([expect.stringContaining('ENOENT')])
  })

  test('ends with the door, and says so; no program is none', async () => {
    await using broken = new Notifying(['/bin/true'], {}, new Error('Cannot reach keeper'))
    await expect
      .poll(() => broken.log)
      .toEqual([expect.stringContaining('nobody is notified any more')])
    await using none = new Notifying([])
    none.ask()
    expect(none.log).toEqual([])
  })
})
