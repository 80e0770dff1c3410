// The assertions that the foreign suites import as `aegir/chai`: chai with the same plug-ins in the same order.
// The rest of that tool is a compiler, a release machine and two browsers, which no suite here uses.
import chai from 'chai'
import chaiAsPromised from 'chai-as-promised'
import chaiBites from 'chai-bites'
import chaiParentheses from 'chai-parentheses'
import chaiString from 'chai-string'
import chaiSubset from 'chai-subset'

for (const plugin of [chaiAsPromised, chaiParentheses, chaiSubset, chaiBites, chaiString]) {
  chai.use(plugin)
}

export const expect = chai.expect
export const assert = chai.assert
export { chai }
