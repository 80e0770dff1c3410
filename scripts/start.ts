/** `npm start`: shows `examples/greet.ts` as two processes side by side, and ends when both have ended. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { styleText } from 'node:util'

const GREET = fileURLToPath(new URL('../examples/greet.ts', import.meta.url))
/** Longest it may take; a second is usual. */
const TIMEOUT_MS = 60_000

const children: ChildProcess[] = []
const timer = setTimeout(() => {
  console.error(`start: error: two nodes did not greet within ${TIMEOUT_MS / 1000} s`)
  end(1)
}, TIMEOUT_MS)

console.log('Two processes of Node.js, each a node of its own, over TCP with Noise:\n')
const home = start('home', [])
const codes = [exitOf(home)]
home.onLine((line) => {
  const address = /^listening on (\S+)/.exec(line)?.[1]
  if (address !== undefined) codes.push(exitOf(start('away', [address])))
})
const homeCode = await codes[0]
const all = [homeCode, ...(await Promise.all(codes.slice(1)))]
clearTimeout(timer)
if (all.length === 2 && all.every((code) => code === 0)) {
  console.log('\nBoth greeted, both are through. What each line did: examples/greet.ts')
} else {
  console.error('start: error: a node ended early; what it said stands above')
  end(1)
}

interface Shown {
  child: ChildProcess
  onLine(listener: (line: string) => void): void
}

/** Starts one side and shows its lines behind its name. */
function start(name: 'home' | 'away', args: string[]): Shown {
  const child = spawn(process.execPath, ['--conditions=@stronghold/source', GREET, name, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.push(child)
  const listeners: ((line: string) => void)[] = []
  const label = styleText(name === 'home' ? 'cyan' : 'yellow', `${name} │`)
  for (const output of [child.stdout, child.stderr]) {
    createInterface({ input: output }).on('line', (line) => {
      console.log(`  ${label} ${line}`)
      for (const listener of listeners) listener(line)
    })
  }
  return { child, onLine: (listener) => void listeners.push(listener) }
}

function exitOf({ child }: Shown): Promise<number> {
  return new Promise((resolve) => {
    child.on('error', () => resolve(1))
    child.on('close', (code) => resolve(code ?? 1))
  })
}

function end(code: number): void {
  for (const child of children) child.kill()
  process.exitCode = code
}
