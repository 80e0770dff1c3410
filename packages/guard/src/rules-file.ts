/** Rules as a TOML file: what an owner edits, keeps in a repository and applies. */
import { parse, stringify, TomlError } from 'smol-toml'

import { parseRules, writeRule } from './rules/parse.ts'
import type { ParseContext } from './rules/parse.ts'
import type { Rule, Vocabulary } from './rules/rule.ts'

/** Longest rules file, in characters. */
const MAX_FILE_LENGTH = 1024 * 1024

/**
 * Reads `[[rule]]` tables, in order.
 *
 * @throws `SyntaxError` with line and column, or naming rule and field, for a file that is not rules from end to end
 */
export function parseRulesFile(text: string, context: ParseContext): Rule[] {
  if (text.length > MAX_FILE_LENGTH) throw new SyntaxError('Cannot read rules: over 1 MiB of text')
  let file
  try {
    file = parse(text)
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause
    const [why = 'not TOML'] = cause.message.replace('Invalid TOML document: ', '').split('\n')
    throw new SyntaxError(`Cannot read rules: line ${cause.line}, column ${cause.column}: ${why}`, {
      cause,
    })
  }
  for (const key of Object.keys(file)) {
    if (key !== 'rule') {
      throw new SyntaxError(
        `Cannot read rules: unknown table ${JSON.stringify(key.slice(0, 64))}; rules are [[rule]]`,
      )
    }
  }
  return parseRules(file['rule'] ?? [], context)
}

/** Rules as the file that `parseRulesFile` reads back; empty rules give an empty file. */
export function printRulesFile(rules: readonly Rule[], vocabulary: Vocabulary): string {
  if (rules.length === 0) return ''
  return `${stringify({ rule: rules.map((rule) => writeRule(rule, vocabulary)) }).trim()}\n`
}
