/** What the command line asks of a question. */

/** The same for every question. */
export interface BenchOptions {
  /** A short version, for seeing that it runs. */
  quick: boolean
  /** Who is measured; all, when not given. */
  only: string[] | undefined
  /** What is measured; all, when not given. */
  measures: string[] | undefined
  /** Where processes write CPU profiles. */
  profile: string | undefined
  /** What was typed. */
  command: string
}
