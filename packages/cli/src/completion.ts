/** Completion for shells, from the table of commands: plain lists, so that nothing is run while somebody types. Pure. */
import { optionsOf } from './command.ts'
import type { Command } from './command.ts'

/** Shells that are completed for. */
export const SHELLS = ['bash', 'fish', 'zsh'] as const

/** What the shell is to load. */
export function completionScript(
  shell: (typeof SHELLS)[number],
  commands: readonly Command[],
): string {
  switch (shell) {
    case 'bash':
      return bash(commands)
    case 'zsh':
      return `#compdef stronghold\nautoload -U +X bashcompinit && bashcompinit\n${bash(commands)}`
    case 'fish':
      return fish(commands)
  }
}

/** Words by what stands before them: nouns by nothing, verbs by their noun. */
function verbsByNoun(commands: readonly Command[]): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const { name } of commands) {
    const [noun = '', verb] = name.split(' ')
    found.set(noun, [...(found.get(noun) ?? []), ...(verb === undefined ? [] : [verb])])
  }
  return found
}

function bash(commands: readonly Command[]): string {
  const nouns = verbsByNoun(commands)
  const verbs = [...nouns].filter(([, all]) => all.length > 0)
  const choices = commands.flatMap((command) =>
    Object.entries(optionsOf(command)).flatMap(([option, { choices: some }]) =>
      some === undefined ? [] : `    '${command.name} --${option}') words='${some.join(' ')}' ;;`,
    ),
  )
  return `# Completes stronghold. Load it by: source <(stronghold completion bash)
_stronghold() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  local command= words= word at
  for ((at = 1; at < COMP_CWORD; at++)); do
    word=\${COMP_WORDS[at]}
    case $word in
      --home) ((at++)) ;;
      -*) ;;
      *)
        if [[ -z $command ]]; then
          command=$word
        else
          case $command in
${verbs.map(([noun, all]) => `            ${noun}) case $word in ${all.join('|')}) command="$command $word" ;; esac ;;`).join('\n')}
          esac
          break
        fi ;;
    esac
  done
  case "$command $previous" in
${choices.join('\n')}
    *' --in'|*' --out'|*' --sig'|*' --key'|*-file|*' --home')
      COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  if [[ -z $words ]]; then
    case $command in
      '') words='${[...nouns.keys()].join(' ')} --help' ;;
${verbs.map(([noun, all]) => `      '${noun}') words='${all.join(' ')}' ;;`).join('\n')}
${commands
  .filter(({ name }) => (nouns.get(name)?.length ?? 0) === 0)
  .map((command) => `      '${command.name}') words='${dashed(command).join(' ')}' ;;`)
  .join('\n')}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [[ \${#COMPREPLY[@]} -eq 0 && $current != -* ]]; then
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}
complete -o filenames -F _stronghold stronghold
`
}

function fish(commands: readonly Command[]): string {
  const nouns = verbsByNoun(commands)
  const lines = ['# Completes stronghold. Load it by: stronghold completion fish | source']
  for (const [noun, verbs] of nouns) {
    const says = commands.find(({ name }) => name === noun)?.says ?? verbs.join(', ')
    lines.push(
      `complete -c stronghold -n __fish_use_subcommand -f -a ${noun} -d '${escaped(says)}'`,
    )
  }
  for (const command of commands) {
    const [noun = '', verb] = command.name.split(' ')
    const seen = `__fish_seen_subcommand_from ${noun}`
    if (verb !== undefined) {
      lines.push(
        `complete -c stronghold -n '${seen}; and not __fish_seen_subcommand_from ${(nouns.get(noun) ?? []).join(' ')}' -f -a ${verb} -d '${escaped(command.says)}'`,
      )
    }
    const when = verb === undefined ? seen : `${seen}; and __fish_seen_subcommand_from ${verb}`
    for (const [option, { value, says, choices }] of Object.entries(optionsOf(command))) {
      const takes =
        value === undefined ? '' : choices === undefined ? ' -r' : ` -x -a '${choices.join(' ')}'`
      lines.push(`complete -c stronghold -n '${when}' -l ${option}${takes} -d '${escaped(says)}'`)
    }
  }
  return `${lines.join('\n')}\n`
}

function dashed(command: Command): string[] {
  return Object.keys(optionsOf(command)).map((name) => `--${name}`)
}

function escaped(text: string): string {
  return text.replaceAll("'", "\\'")
}
