/** Everything that waits for a person, from the pages in which an owner door gives it. It knows no guard. */
import type { OwnerDoor, PendingApproval } from './doors.ts'

/** All pages, in the order in which it was asked. Rejects as the door does. */
export async function allApprovals(
  door: Pick<OwnerDoor, 'approvals'>,
): Promise<readonly PendingApproval[]> {
  let page = await door.approvals()
  const approvals = [...page.approvals]
  while (page.next !== undefined) {
    page = await door.approvals({ from: page.next })
    approvals.push(...page.approvals)
  }
  return approvals
}
