/** What goes wrong by itself is told once for as long as it stays the same. */
import { expect, test } from 'vitest'

import { Complaints } from '../../src/daemon/complaints.ts'

test('a failure is told once, another and one after a success again, each partner apart', () => {
  const told: string[] = []
  const complaints = new Complaints((text) => told.push(text))
  const [gone, full] = [new Error('Cannot reach nas: it is gone'), new Error('Cannot write: full')]
  for (let again = 0; again < 3; again++) {
    complaints.wrong('nas', gone)
    complaints.wrong('box', full)
  }
  expect(told).toHaveLength(2)
  complaints.wrong('nas', full)
  complaints.well('nas')
  complaints.wrong('nas', full)
  complaints.tell('box', 'box is stopped')
  expect(told.slice(2)).toEqual([told[1], told[1], 'box is stopped'])
})
