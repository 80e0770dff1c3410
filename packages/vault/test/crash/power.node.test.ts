import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'

import { afterAll, expect, it } from 'vitest'

import { Lane } from './lane.ts'

/**
 * Power cuts: a file system of its own on a loop device, shut down under the writer without writing anything more, as a
 * cut of the power does. By option, since it needs root, mkfs.ext4 and perl: `STRONGHOLD_POWER_CUTS=1000`.
 */
const CUTS = Number(process.env['STRONGHOLD_POWER_CUTS'] ?? 0)

const root = mkdtempSync(join(tmpdir(), 'stronghold-power-'))
const image = join(root, 'image')
const mounted = join(root, 'mounted')
afterAll(() => {
  spawnSync('umount', [mounted])
  rmSync(root, { recursive: true })
})

function must(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`)
  return stdout
}

// EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32), with EXT4_GOING_FLAGS_NOLOGFLUSH: what is not on the medium is gone. Perl
// begins in a few milliseconds, which is most of what a cut takes.
const CUT = `
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
sysopen(my $mounted, $ARGV[0], 0) or die $!;
my $how = pack("L", 2);
my $now = clock_gettime(CLOCK_MONOTONIC);
ioctl($mounted, 0x8004587d, $how) or die $!;
printf("%d", $now * 1e9);
`

/** As after the power came back: what is on the medium, and a file system that lives. */
async function mountAgain(): Promise<void> {
  for (;;) {
    must('mount', '-o', 'loop', image, mounted)
    try {
      writeFileSync(join(mounted, 'alive'), '')
      return
    } catch {
      // Another namespace of mounts, begun meanwhile, still holds the one that was shut down: this is that one again.
      must('umount', mounted)
      await wait(100)
    }
  }
}

it.skipIf(CUTS === 0)(
  `no acknowledged commit is lost in ${CUTS} power cuts${CUTS === 0 ? ' (skipped: STRONGHOLD_POWER_CUTS is not set)' : ''}`,
  { timeout: 60_000 + CUTS * 10_000 },
  async () => {
    must('truncate', '-s', '64M', image)
    must('mkfs.ext4', '-q', '-F', image)
    mkdirSync(mounted)
    must('mount', '-o', 'loop', image, mounted)
    const vault = new Lane(mounted)
    let commits = 0
    for (let cut = 0; cut < CUTS; cut++) {
      if (cut % 25 === 24) vault.next()
      const after = Math.floor(Math.random() * 40)
      const laterMs = Math.random() * 4
      let cutting = false
      let cutAt: bigint | undefined
      const ran = await vault.run({
        // A sync that is under way in a file system that shuts down may return as if it had been done; where the power
        // fails nobody would hear of it any more.
        endedAt: () => cutAt,
        onLine: (line, kill) => {
          if (Number(line) % 40 !== after || cutting) return
          cutting = true
          setTimeout(() => {
            cutAt = BigInt(must('perl', '-e', CUT, mounted))
            kill()
          }, laterMs)
        },
      })
      expect(cutAt).toBeDefined()
      commits += ran.lines.length
      must('umount', mounted)
      await mountAgain()
      vault.check()
    }
    expect(commits).toBeGreaterThan(CUTS)
    vault[Symbol.dispose]()
  },
)
