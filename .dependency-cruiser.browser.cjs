/** The entries that run in a browser, as it sees them: no way leads to Node.js or to the server's WebSocket. */
const { options } = require('./.dependency-cruiser.cjs')

module.exports = {
  forbidden: [
    {
      name: 'browser-entry',
      comment: 'what needs Node.js is reached through #runtime, by runtime/node.ts alone',
      severity: 'error',
      from: {
        path: '^packages/((core|p2p)/src/(index|testing|libp2p)|remote/src/connect|guard/src/proofs)\\.ts$',
      },
      to: {
        path: '(^node:|^(fs|net|tls|dgram|dns|http|https|crypto|os|path|stream)$|(^|/)ws(/|$))',
        reachable: true,
      },
    },
  ],
  options: {
    ...options,
    // What is imported for its type alone is not there when it runs.
    tsPreCompilationDeps: false,
    enhancedResolveOptions: {
      ...options.enhancedResolveOptions,
      conditionNames: ['@stronghold/source', 'browser', 'import', 'default', 'types'],
    },
  },
}
