/** The example in the README runs and says what its reader expects. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

test('the example in README.md runs as it stands there', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const [, code = ''] = /```ts\n([^]*?)```/.exec(readme) ?? []
  expect(code).toBe(readFileSync(new URL('two-nodes.ts', import.meta.url), 'utf8'))
  const output = execFileSync(
    process.execPath,
    ['--conditions=@stronghold/source', '--input-type=module-typescript', '-'],
    { cwd: ROOT, input: code, encoding: 'utf8', timeout: 30_000 },
  )
  expect(output).toBe("{ text: 'kept at home' }\npermission_denied no firewall\n")
}, 40_000)
