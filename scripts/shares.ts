/**
 * How long each part of `npm test` may take, in minutes on two cores, so that the whole stays below fifteen. A part
 * that takes half as much again fails: `npm run test:long` is the place for what needs longer.
 */

/** One part of the test run. */
export interface Share {
  name: string
  minutes: number
  /** Where its tests are, from the root of the project. */
  paths: readonly string[]
  /** What stands under these and belongs to another part. */
  except?: readonly string[]
  /** Foreign peers and type tests are counted with this part. */
  foreign?: boolean
}

/** The parts, in the order in which they run. */
export const SHARES: readonly Share[] = [
  {
    name: 'communication layer',
    minutes: 4,
    paths: ['packages/core/', 'packages/p2p/', 'packages/testkit/', 'examples/', 'scripts/'],
    except: ['packages/p2p/test/find/', 'packages/p2p/test/reach/'],
    foreign: true,
  },
  { name: 'vault', minutes: 3, paths: ['packages/vault/'] },
  {
    name: 'main job',
    minutes: 3,
    paths: ['packages/guard/', 'packages/remote/', 'packages/cli/'],
    except: ['packages/guard/test/sync/', 'packages/cli/test/sync/'],
  },
  { name: 'reach', minutes: 2, paths: ['packages/p2p/test/find/', 'packages/p2p/test/reach/'] },
  {
    name: 'synchronisation',
    minutes: 1.5,
    paths: ['packages/guard/test/sync/', 'packages/cli/test/sync/'],
  },
]

/** Does a run of this length fail its part? */
export function isOverShare(share: Share, ms: number): boolean {
  return ms > share.minutes * 60_000 * 1.5
}
