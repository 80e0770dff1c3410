/** What may import what: STYLE of the project as rules. Each rule says why it stands here. */

const PACKAGES = '^packages/([^/]+)/src/'
/** Rings from the inside out: what each package may import of the others. */
const RINGS = {
  core: [],
  p2p: ['core'],
  vault: ['core'],
  guard: ['core', 'vault'],
  remote: ['core', 'p2p', 'vault', 'guard'],
  cli: ['core', 'p2p', 'vault', 'guard', 'remote'],
}
/** Modules of p2p that take values and return values. */
const PURE_P2P =
  '^packages/p2p/src/(channel/(?!channel\\.ts$)|firewall/|connection/(yamux[a-z-]*|token-bucket|multistream)\\.ts$)'
/** Modules of guard that take values and return values: requesters anywhere use some of them. */
const PURE_GUARD =
  '^packages/guard/src/(rules/|(approvals|fields|grants|hashed|heads|ids|merkle|receipts|usage)\\.ts$)'

const rings = Object.entries(RINGS).map(([name, others]) => ({
  name: `ring-${name}`,
  comment: `${name} may import ${others.length === 0 ? 'no other package' : others.join(', ')}`,
  severity: 'error',
  from: { path: `^packages/${name}/src/` },
  to: {
    path: '(^packages/[^/]+/|^@stronghold/)',
    pathNot: `^(packages/|@stronghold/)(${[name, ...others].join('|')})(/|$)`,
  },
}))

module.exports = {
  forbidden: [
    ...rings,
    {
      name: 'no-cycles',
      comment: 'two files that need each other are one idea, or three',
      severity: 'error',
      from: { path: PACKAGES },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-own-index',
      comment: 'index.ts is for the world outside; inside, name the file',
      severity: 'error',
      from: { path: PACKAGES },
      to: { path: '^packages/$1/src/index\\.ts$' },
    },
    {
      name: 'no-deep-import',
      comment: 'another package is used by its entries, not by its files',
      severity: 'error',
      from: { path: PACKAGES },
      to: {
        path: '^packages/([^/]+)/src/',
        pathNot: [
          '^packages/$1/',
          '^packages/[^/]+/src/(index|testing|libp2p|connect|proofs|catalog/index)\\.ts$',
          // Entry `errors` of vault, entries `keeper`, `owner` and `socket` of guard.
          '^packages/vault/src/errors\\.ts$',
          '^packages/guard/src/keeper/(client|owner-client|socket-entry)\\.ts$',
        ],
      },
    },
    {
      name: 'private-files',
      comment: '_name.ts is private to its folder',
      severity: 'error',
      from: { path: '^(packages/.+/)[^/]+$' },
      to: { path: '/_[^/]+\\.ts$', pathNot: '^$1[^/]+$' },
    },
    {
      name: 'no-testkit-in-src',
      comment: 'what the tests share never ships',
      severity: 'error',
      from: { path: PACKAGES, pathNot: '^packages/testkit/' },
      to: { path: '(^packages/testkit/|^@stronghold/testkit|/test/)' },
    },
    {
      name: 'no-workspace-outside',
      comment: 'a package ships alone: nothing of the workspace around it',
      severity: 'error',
      from: { path: PACKAGES },
      to: { path: '^(scripts|bench|e2e|examples|interop)/' },
    },
    {
      name: 'no-dev-dependency',
      comment: 'src imports only what its package.json names as a dependency',
      severity: 'error',
      from: { path: PACKAGES, pathNot: '^packages/testkit/' },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'],
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: 'not-resolvable',
      comment: 'an import that leads nowhere',
      severity: 'error',
      from: { path: PACKAGES },
      to: { couldNotResolve: true },
    },
    {
      name: 'core-is-bare',
      comment: 'core has no I/O, no libp2p, no Node.js',
      severity: 'error',
      from: { path: '^packages/core/src/' },
      to: { dependencyTypes: ['core', 'npm'], pathNot: ['@standard-schema/spec', '@noble/hashes'] },
    },
    {
      name: 'p2p-pure-middle',
      comment: 'formats, rules and state machines: core and each other, no libp2p, no Node.js',
      severity: 'error',
      from: { path: PURE_P2P },
      to: {
        pathNot: [
          '^packages/core/src/index\\.ts$',
          PURE_P2P,
          // Words that all of the package shares and that import nothing else.
          '^packages/p2p/src/(errors|limits|identity|protocol|varint|clock)\\.ts$',
        ],
      },
    },
    {
      name: 'p2p-pure-types',
      comment: 'what a peer id is, a pure module need not know: it takes the type and no function',
      severity: 'error',
      from: { path: PURE_P2P },
      to: { path: '^packages/p2p/src/identity\\.ts$', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'p2p-node-only-by-runtime',
      comment:
        'the root entry runs in a browser: files that need Node.js are reached by #runtime only',
      severity: 'error',
      from: { path: '^packages/p2p/src/' },
      to: {
        path: '^packages/p2p/src/runtime/node\\.ts$',
        dependencyTypesNot: ['aliased-subpath-import'],
      },
    },
    {
      name: 'vault-knows-no-network',
      comment:
        'the vault knows neither p2p nor rules; the keeper alone has a socket, for its owner',
      severity: 'error',
      from: { path: '^packages/(vault|guard)/src/', pathNot: '^packages/guard/src/keeper/' },
      to: { path: '(libp2p|multiformats|^node:(net|tls|dgram|http|http2)$)' },
    },
    {
      name: 'vault-catalog-is-pure',
      comment: 'requesters and browsers import the catalog',
      severity: 'error',
      from: { path: '^packages/vault/src/catalog/' },
      to: { pathNot: ['^packages/vault/src/catalog/', '^packages/core/src/index\\.ts$', '/zod/'] },
    },
    {
      name: 'vault-secrets-not-in-javascript',
      comment: 'cryptography in JavaScript never touches a secret; Keccak hashes public bytes only',
      severity: 'error',
      from: {
        path: '^packages/vault/src/',
        pathNot: '^packages/vault/src/primitives/keccak256\\.ts$',
      },
      to: { path: '/@(noble|scure)/' },
    },
    {
      name: 'vault-files-at-the-edge',
      comment: 'who reaches a file or the database is named: the directory, the store, the backup',
      severity: 'error',
      from: {
        path: '^packages/vault/src/',
        pathNot:
          '^packages/vault/src/(directory|file|credential|secret|primitives/secp256k1|stores/(sqlite|schema)|backup/[a-z-]+|backup)\\.ts$',
      },
      to: { path: '^(node:)?(fs|sqlite|child_process|os|worker_threads)(/|$)' },
    },
    {
      name: 'vault-engine-knows-no-disk',
      comment:
        'chains, steps and labels see records and handles, never a store, a seal or an unlocker',
      severity: 'error',
      from: {
        path: '^packages/vault/src/(engine|step|input|record|info|draft|procedures/[a-z-]+)\\.ts$',
      },
      to: { path: '^packages/vault/src/(stores/|seal|unlock|header|directory|session|vault)' },
    },
    {
      name: 'vault-one-composer',
      comment: 'vault.ts puts the parts together, and nobody needs it but the world outside',
      severity: 'error',
      from: { path: '^packages/vault/src/', pathNot: '^packages/vault/src/(index|vault)\\.ts$' },
      to: { path: '^packages/vault/src/vault\\.ts$', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'guard-knows-no-keeper',
      comment: 'a guard is the same in any thread',
      severity: 'error',
      from: { path: '^packages/guard/src/', pathNot: '^packages/guard/src/keeper/' },
      to: { path: '^packages/guard/src/keeper/' },
    },
    {
      name: 'guard-pure-middle',
      comment: 'rules, approvals and receipts take values and return values',
      severity: 'error',
      from: { path: PURE_GUARD },
      to: {
        pathNot: [
          PURE_GUARD,
          '^packages/guard/src/(limits|errors)\\.ts$',
          // Types of what comes in and goes out.
          '^packages/guard/src/doors\\.ts$',
          '^packages/core/src/index\\.ts$',
          '^packages/vault/src/catalog/index\\.ts$',
        ],
      },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^packages/[^/]+/(dist|test)/' },
    tsPreCompilationDeps: true,
    detectProcessBuiltinModuleCalls: true,
    tsConfig: { fileName: 'tsconfig.check.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['@stronghold/source', 'import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.d.ts'],
    },
  },
}
