/** A CPU profile of this process for as long as one measure goes on, so that starting up is not in it. */
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'

/** Samples this often: rarer than a request, often enough for a second. */
const INTERVAL_US = 200

/** Begins; what it gives ends it and writes the file. */
export async function startProfile(): Promise<(file: string) => Promise<void>> {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.setSamplingInterval', { interval: INTERVAL_US })
  await session.post('Profiler.start')
  return async (file) => {
    const { profile } = await session.post('Profiler.stop')
    session.disconnect()
    writeFileSync(file, JSON.stringify(profile))
  }
}
