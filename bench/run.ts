/**
 * `npm run bench -- [QUESTION] [--quick] [--only NAME,…] [--measure NAME,…] [--profile DIR]`. Each question is a file
 * beside this one. Nothing here is a test: what comes out depends on the machine.
 */
import { parseArgs } from 'node:util'

import type { BenchOptions } from './options.ts'

const QUESTIONS: Record<string, () => Promise<{ run(options: BenchOptions): Promise<void> }>> = {
  p2p: () => import('./p2p.ts'),
  relay: () => import('./relay.ts'),
  sign: () => import('./sign.ts'),
  sync: () => import('./sync.ts'),
  vault: () => import('./vault.ts'),
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    measure: { type: 'string' },
    profile: { type: 'string' },
  },
})
const wanted = positionals.length > 0 ? positionals : Object.keys(QUESTIONS)
const unknown = wanted.filter((name) => QUESTIONS[name] === undefined)
if (unknown.length > 0) {
  console.error(`bench: error: no question is called ${unknown.join(', ')}`)
  console.error(`bench: hint: ${Object.keys(QUESTIONS).join(', ')}`)
  process.exit(2)
}
try {
  for (const name of wanted) {
    const question = await QUESTIONS[name]!()
    await question.run({
      quick: values.quick,
      only: values.only?.split(','),
      measures: values.measure?.split(','),
      profile: values.profile,
      command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    })
  }
} catch (error) {
  console.error(`bench: error: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
