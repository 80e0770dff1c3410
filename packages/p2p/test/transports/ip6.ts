/** Whether this machine has IPv6 at all. */
import { networkInterfaces } from 'node:os'

export const hasIp6: boolean = Object.values(networkInterfaces())
  .flat()
  .some((address) => address?.address === '::1')
