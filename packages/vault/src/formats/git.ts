/**
 * The commits and tags that git asks a key to sign, read so that people see what they approve. The signature itself is an
 * SSHSIG with the namespace `git` over these bytes. It decides nothing, and texts may hold anything: who shows them
 * escapes control characters.
 */
import { decodeUtf8 } from '@stronghold/core'

/** The namespace of git's signatures. */
export const GIT_NAMESPACE = 'git'

/** Who, and when by their own word. */
export interface GitPerson {
  readonly name: string
  readonly email: string
  /** Seconds since the epoch. */
  readonly timeSeconds: number
  /** Offset from UTC as git writes it, as `+0200`. */
  readonly zone: string
}

/** A commit. Object names are lower-case hex of SHA-1 or SHA-256. */
export interface GitCommit {
  readonly kind: 'commit'
  readonly tree: string
  readonly parents: readonly string[]
  readonly author: GitPerson
  readonly committer: GitPerson
  readonly message: string
  /** Names of further headers, as `mergetag`. */
  readonly others: readonly string[]
}

/** An annotated tag. */
export interface GitTag {
  readonly kind: 'tag'
  /** What is tagged. */
  readonly object: string
  readonly type: 'commit' | 'tree' | 'blob' | 'tag'
  readonly name: string
  readonly tagger?: GitPerson
  readonly message: string
}

/**
 * Reads what git hands over to be signed.
 *
 * @param payload - a commit or tag object without its signature
 * @throws `SyntaxError` for anything else, also for text that is not UTF-8, and what is signed already
 */
export function readGitObject(payload: Uint8Array): GitCommit | GitTag {
  // An object ends its headers with an empty line, also where no message follows.
  const text = decodeUtf8(payload)
  const end = text.indexOf('\n\n')
  if (end === -1) throw refuse('no end of its headers')
  const headers = new Headers(text.slice(0, end))
  const message = text.slice(end + 2)
  return headers.has('tree') ? readCommit(headers, message) : readTag(headers, message)
}

function readCommit(headers: Headers, message: string): GitCommit {
  const tree = objectName(headers.take('tree'))
  const parents: string[] = []
  while (headers.has('parent')) parents.push(objectName(headers.take('parent')))
  const author = person(headers.take('author'))
  const committer = person(headers.take('committer'))
  const others: string[] = []
  for (const [name, value] of headers.rest()) {
    if (name.startsWith('gpgsig')) throw refuse('it is signed already')
    if (['tree', 'parent', 'author', 'committer'].includes(name)) throw refuse(`"${name}" again`)
    if (name === 'encoding' && !/^utf-?8$/i.test(value)) throw refuse('another encoding than UTF-8')
    others.push(name)
  }
  return { kind: 'commit', tree, parents, author, committer, message, others }
}

function readTag(headers: Headers, message: string): GitTag {
  const object = objectName(headers.take('object'))
  const type = headers.take('type')
  if (type !== 'commit' && type !== 'tree' && type !== 'blob' && type !== 'tag') {
    throw refuse('a tag of no known type')
  }
  const name = headers.take('tag')
  if (name === '') throw refuse('a tag without a name')
  const tagger = headers.has('tagger') ? person(headers.take('tagger')) : undefined
  if (headers.rest().length > 0) throw refuse('headers that no tag has')
  if (/^-----BEGIN (?:SSH|PGP|SIGNED)/m.test(message)) throw refuse('it is signed already')
  return { kind: 'tag', object, type, name, ...(tagger !== undefined && { tagger }), message }
}

/** The lines before the message, in their order. */
class Headers {
  readonly #fields: (readonly [string, string])[]
  #at = 0

  constructor(text: string) {
    // A line that begins with a space goes on with the one before.
    this.#fields = text.split(/\n(?! )/).map((line) => {
      const space = line.indexOf(' ')
      if (space < 1) throw refuse('a header without a value')
      return [line.slice(0, space), line.slice(space + 1)]
    })
  }

  has(name: string): boolean {
    return this.#fields[this.#at]?.[0] === name
  }

  take(name: string): string {
    const field = this.#fields[this.#at]
    if (field?.[0] !== name) throw refuse(`no "${name}" where it has to be`)
    this.#at += 1
    return field[1]
  }

  rest(): readonly (readonly [string, string])[] {
    return this.#fields.slice(this.#at)
  }
}

function objectName(text: string): string {
  if (!/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text)) throw refuse('no name of an object')
  return text
}

function person(text: string): GitPerson {
  const [, name, email, time, zone] =
    /^([^<>\n]*?) ?<([^<>\n]*)> (0|[1-9][0-9]{0,14}) ([+-][0-9]{4})$/.exec(text) ?? []
  if (name === undefined || email === undefined || time === undefined || zone === undefined) {
    throw refuse('no person with a time')
  }
  return { name, email, timeSeconds: Number(time), zone }
}

function refuse(state: string): SyntaxError {
  return new SyntaxError(`Cannot read git object: ${state}`)
}
