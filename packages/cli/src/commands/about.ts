/** `version`, `completion`. */
import { readFileSync } from 'node:fs'

import { z } from 'zod'

import { defineCommand } from '../command.ts'
import type { Command } from '../command.ts'
import { completionScript, SHELLS } from '../completion.ts'
import { Failure, quoted } from '../failure.ts'

const version = defineCommand({
  name: 'version',
  says: 'Show the version of this program and of what it runs on',
  examples: [
    ['stronghold version', 'one line'],
    ['stronghold version --json', 'for a program'],
  ],
  prints: z.object({ stronghold: z.string(), node: z.string(), platform: z.string() }),
  async run({ terminal }) {
    const stronghold = ownVersion()
    const node = process.versions.node
    const platform = `${process.platform}-${process.arch}`
    await terminal.result(
      { stronghold, node, platform },
      `stronghold ${stronghold}, Node.js ${node}, ${platform}`,
    )
  },
})

/** As `package.json` says, beside `src` and `dist` alike. */
function ownVersion(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

const completion = defineCommand({
  name: 'completion',
  says: 'Print what completes commands and options in a shell',
  operands: 'SHELL',
  examples: [
    ['source <(stronghold completion bash)', 'in ~/.bashrc'],
    ['stronghold completion fish | source', 'in ~/.config/fish/config.fish'],
  ],
  prints: z.object({ script: z.string() }),
  async run({ operands, terminal, commands }) {
    const shell = SHELLS.find((one) => one === operands[0])
    if (shell === undefined) {
      throw new Failure('usage', `cannot complete for ${quoted(operands[0] ?? '')}`, {
        reason: `it knows ${SHELLS.join(', ')}`,
        hint: 'stronghold completion bash',
      })
    }
    const script = completionScript(shell, await commands())
    await terminal.result({ script }, script)
  },
})

/** `version`, `completion`. */
export const ABOUT_COMMANDS: readonly Command[] = [version, completion]
